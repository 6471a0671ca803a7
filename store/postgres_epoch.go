package store

import (
	"context"
	"database/sql"
	"errors"

	schema "github.com/sessiongate/sessiongate/sql"
)

var (
	selectEpoch = schema.Query("select_epoch")
	upsertEpoch = schema.Query("upsert_epoch")
)

// Epoch returns the epoch of a Redis partition that was last recorded, "" if
// none ever was. One round trip.
func (p *Postgres) Epoch(ctx context.Context, partition int) (string, error) {
	var epoch string
	err := p.db.GetContext(ctx, &epoch, selectEpoch, partition)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return epoch, pgError("get epoch", err)
}

// SetEpoch records the epoch of a Redis partition: from now on its data is
// trusted.
func (p *Postgres) SetEpoch(ctx context.Context, partition int, epoch string) error {
	_, err := p.db.ExecContext(ctx, upsertEpoch, partition, epoch)
	return pgError("set epoch", err)
}
