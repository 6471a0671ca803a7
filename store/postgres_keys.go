package store

import (
	"context"
	"database/sql"
	"time"

	schema "github.com/sessiongate/sessiongate/sql"

	"github.com/sessiongate/sessiongate/session"
)

var (
	lockSigningKeys   = schema.Query("lock_signing_keys")
	selectSigningKeys = schema.Query("select_signing_keys")
	upsertSigningKey  = schema.Query("upsert_signing_key")
)

// signingKeysLock is the advisory lock under which the keys are changed: "sg keys"
// in ASCII.
const signingKeysLock = 0x7367206b657973

// SigningKeys returns the signing keys in the order in which they sign, retired
// ones for 90 days. One round trip.
func (p *Postgres) SigningKeys(ctx context.Context) ([]session.SigningKey, error) {
	keys, err := readSigningKeys(ctx, p.db)
	return keys, pgError("get signing keys", err)
}

// ChangeSigningKeys calls change with the keys, and stores those that it returns,
// in that order, in the same transaction. No other gateway does either meanwhile.
// An error of change is returned and changes nothing.
func (p *Postgres) ChangeSigningKeys(
	ctx context.Context, change func([]session.SigningKey) ([]session.SigningKey, error),
) error {
	var refused error
	err := inTx(ctx, p.db, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, lockSigningKeys, int64(signingKeysLock)); err != nil {
			return err
		}
		keys, err := readSigningKeys(ctx, tx)
		if err != nil {
			return err
		}
		changed, err := change(keys)
		if err != nil {
			refused = err
			return err
		}
		for i := range changed {
			k := &changed[i]
			sealed := k.Sealed
			if sealed == nil {
				sealed = []byte{}
			}
			if _, err := tx.ExecContext(ctx, upsertSigningKey, k.ID, k.Algorithm, k.PublishedAt, k.SignsFrom,
				orNull(k.SignsUntil), orNull(k.VerifiesUntil), k.ChangedAt, sealed); err != nil {
				return err
			}
		}
		return nil
	})
	if refused != nil {
		return refused // not a word of Postgres's
	}
	return pgError("change signing keys", err)
}

func readSigningKeys(ctx context.Context, q querier) ([]session.SigningKey, error) {
	rows, err := q.QueryContext(ctx, selectSigningKeys)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var keys []session.SigningKey
	for rows.Next() {
		var k session.SigningKey
		var until, verifies sql.NullTime
		if err := rows.Scan(&k.ID, &k.Algorithm, &k.PublishedAt, &k.SignsFrom, &until, &verifies,
			&k.ChangedAt, &k.Sealed); err != nil {
			return nil, err
		}
		k.SignsUntil, k.VerifiesUntil = until.Time, verifies.Time
		for _, t := range []*time.Time{&k.PublishedAt, &k.SignsFrom, &k.SignsUntil, &k.VerifiesUntil, &k.ChangedAt} {
			*t = t.UTC()
		}
		keys = append(keys, k)
	}
	return keys, rows.Err()
}

// orNull makes NULL of the zero time.
func orNull(t time.Time) sql.NullTime { return sql.NullTime{Time: t, Valid: !t.IsZero()} }
