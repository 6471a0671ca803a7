package store

import (
	"context"
	"time"

	"github.com/sessiongate/sessiongate/session"
	schema "github.com/sessiongate/sessiongate/sql"
)

var selectSessionLogs = schema.Query("select_session_logs")

// LogCursor is a place in a log: before the row with this time and id. The zero
// value is before nothing: the newest row comes first.
type LogCursor struct {
	CreatedAt time.Time
	ID        session.EventID
}

// LogFilter says which rows of a user's log. The zero value: all of them.
type LogFilter struct {
	Action    session.Action
	SessionID session.ID
	From      time.Time // inclusive
	To        time.Time // exclusive
	Before    LogCursor
}

// storedLog is a row of session_logs as the statement selects it.
type storedLog struct {
	ID        session.EventID `db:"id"`
	CreatedAt time.Time       `db:"created_at"`
	SessionID session.ID      `db:"session_id"`
	Action    session.Action  `db:"action"`
	Success   bool            `db:"success"`
	Error     string          `db:"error_message"`
	Reason    string          `db:"reason"`
	Device    string          `db:"device_info"`
	IP        string          `db:"ip_address"`
	UserAgent string          `db:"user_agent"`
	Country   string          `db:"country"`
}

// Logs returns rows of a user's log, newest first. f.SessionID has to be an id.
// One round trip; its cost does not grow with how far back the page is.
func (p *Postgres) Logs(ctx context.Context, userID string, f LogFilter, limit int) ([]session.Log, error) {
	if !storable(userID) {
		return []session.Log{}, nil
	}
	at, id := cursorArgs(f.Before.CreatedAt, string(f.Before.ID))
	var rows []storedLog
	err := p.db.SelectContext(ctx, &rows, selectSessionLogs, userID, f.Action, f.SessionID,
		timeOr(f.From, "-infinity"), timeOr(f.To, "infinity"), at, id, limit)
	if err != nil {
		return nil, pgError("list logs", err)
	}
	logs := make([]session.Log, len(rows))
	for i := range rows {
		logs[i] = session.Log(rows[i])
		logs[i].CreatedAt = logs[i].CreatedAt.UTC()
	}
	return logs, nil
}

func timeOr(t time.Time, ifZero string) any {
	if t.IsZero() {
		return ifZero
	}
	return t
}
