package store

import (
	"context"
	"database/sql"

	"github.com/lib/pq"

	"github.com/sessiongate/sessiongate/session"
	schema "github.com/sessiongate/sessiongate/sql"
)

var (
	insertStubUsers   = schema.Query("insert_stub_users")
	mergeUserSessions = schema.Query("merge_user_sessions")
	endUserSessions   = schema.Query("end_user_sessions")
	insertSessionLogs = schema.Query("insert_session_logs")
)

// WriteResult says what became of a batch of entries. What is in neither was
// there already, or came second to another ending of its session.
type WriteResult struct {
	Inserted int // new rows in session_logs
	Dead     int // new rows in session_logs_dead
}

// WriteEvents writes a batch of entries: what they say about their sessions into
// user_sessions, themselves into session_logs. Without an error all of them are
// settled and may be acknowledged. With one, none is to be: some may be written,
// and writing them again changes nothing. So repeat it, with the same entries or
// others, in any order, in any number of gateways at once.
//
// The whole batch is one transaction. If it fails because of what is in a row,
// its halves are tried in turn, down to the one entry, which goes to
// session_logs_dead with the reason, as does one that could not be read. Where
// more than the odd one does (Dead), somebody should look.
//
// Five round trips, one more for endings, and one if anybody is to be told.
func (p *Postgres) WriteEvents(ctx context.Context, entries []Entry) (WriteResult, error) {
	var r WriteResult
	var dead []deadLetter
	readable := make([]*Entry, 0, len(entries))
	for i := range entries {
		if e := &entries[i]; e.Err != nil {
			dead = append(dead, newDeadLetter(e, "", e.Err))
		} else {
			readable = append(readable, e)
		}
	}
	err := p.park(ctx, dead, &r)
	if err == nil && len(readable) > 0 {
		err = p.writeHalving(ctx, readable, &r)
	}
	return r, pgError("write events", err)
}

// writeHalving writes the entries in order, in as few transactions as bad rows
// allow: one, or about 2 log₂ n for each bad row among n.
func (p *Postgres) writeHalving(ctx context.Context, entries []*Entry, r *WriteResult) error {
	n, err := p.writeOnce(ctx, entries)
	if err == nil {
		r.Inserted += n
		return nil
	}
	f, sqlstate := faultOf(err)
	if f != faultData {
		return err
	}
	if len(entries) == 1 {
		return p.park(ctx, []deadLetter{newDeadLetter(entries[0], sqlstate, err)}, r)
	}
	half := len(entries) / 2
	if err := p.writeHalving(ctx, entries[:half], r); err != nil {
		return err
	}
	return p.writeHalving(ctx, entries[half:], r)
}

// writeOnce writes the entries in one transaction and returns how many rows of
// session_logs were new. Every transaction takes its locks in the same order
// (users, sessions, logs, devices, networks, notices; in each by key), so that no two
// can deadlock.
func (p *Postgres) writeOnce(ctx context.Context, entries []*Entry) (inserted int, err error) {
	b := newBatch(entries, p.fingerprint())
	err = inTx(ctx, p.db, func(tx *sql.Tx) error {
		if err := b.writeSessions(ctx, tx); err != nil {
			return err
		}
		ended, err := b.endSessions(ctx, tx)
		if err != nil {
			return err
		}
		if inserted, err = p.writeAssessed(ctx, tx, b, ended); err != nil {
			return err
		}
		return p.writeNotices(ctx, tx, b, ended)
	})
	return inserted, err
}

// writeAssessed appends the batch's events with what is unusual about them, which
// stands in Event.Risk of each from here on, and learns from them.
func (p *Postgres) writeAssessed(
	ctx context.Context, tx *sql.Tx, b *batch, ended map[session.ID]bool,
) (inserted int, err error) {
	if !p.rules.On() {
		return b.writeLogs(ctx, tx, ended)
	}
	if err := b.assess(ctx, tx, p.rules); err != nil {
		return 0, err
	}
	if inserted, err = b.writeLogs(ctx, tx, ended); err != nil {
		return 0, err
	}
	return inserted, b.learn(ctx, tx, p.rules)
}

// writeSessions brings the rows of the batch's sessions up to date, and locks
// them.
func (b *batch) writeSessions(ctx context.Context, tx *sql.Tx) error {
	if len(b.sessions) == 0 {
		return nil
	}
	if _, err := tx.ExecContext(ctx, insertStubUsers, pq.StringArray(b.users())); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, mergeUserSessions, b.sessionColumns().args()...)
	return err
}

// endSessions ends the sessions whose ending is in the batch and returns those
// that had not ended before.
func (b *batch) endSessions(ctx context.Context, tx *sql.Tx) (map[session.ID]bool, error) {
	if len(b.endings) == 0 {
		return nil, nil
	}
	rows, err := tx.QueryContext(ctx, endUserSessions, b.endingColumns().args()...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	ended := make(map[session.ID]bool, len(b.endings))
	for rows.Next() {
		var id session.ID
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ended[id] = true
	}
	return ended, rows.Err()
}

// writeLogs appends the batch's events: of its endings only those that ended
// their session.
func (b *batch) writeLogs(ctx context.Context, tx *sql.Tx, ended map[session.ID]bool) (int, error) {
	c := b.logColumns(ended)
	if c.rows == 0 {
		return 0, nil
	}
	res, err := tx.ExecContext(ctx, insertSessionLogs, c.args()...)
	if err != nil {
		return 0, err
	}
	n, err := res.RowsAffected()
	return int(n), err
}
