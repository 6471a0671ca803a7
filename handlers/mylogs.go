package handlers

import (
	"context"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/sessiongate/sessiongate/internal/problem"
	"github.com/sessiongate/sessiongate/session"
)

// LogQuery says which rows of a user's log. The zero value of each field stands
// for any.
type LogQuery struct {
	Action    session.Action
	SessionID session.ID
	From      time.Time // inclusive
	To        time.Time // exclusive
	// The rows before this one, in the order of time and id.
	BeforeAt time.Time
	BeforeID session.EventID
}

// logReader reads the audit log, as store.Postgres does.
type logReader interface {
	// Logs returns up to limit rows, by time and then by id, both falling.
	Logs(ctx context.Context, userID string, q LogQuery, limit int) ([]session.Log, error)
}

// MyLogs serves GET /sessions/my-session-logs: what happened to the user's
// sessions, by their own reading. An event is in it once the flush has written it,
// 2 s after its answer at most.
type MyLogs struct{ Logs logReader }

// List answers with a page, newest first. Rows that arrive between two pages do
// not move the second.
func (h *MyLogs) List(c *gin.Context) {
	q := newQuery(c)
	limit, from := q.limit(), q.cursor(logRows)
	ask := LogQuery{
		Action: q.action(), SessionID: q.sessionID(), From: q.time("from"), To: q.time("to"),
		BeforeAt: from.at, BeforeID: session.EventID(from.id),
	}
	if !ask.From.IsZero() && !ask.To.IsZero() && !ask.From.Before(ask.To) {
		q.fail("to", "must be after from")
	}
	if q.err != nil {
		problem.Write(c, q.err)
		return
	}
	userID := caller(c).Token.UserID
	rows, err := h.Logs.Logs(c.Request.Context(), userID, ask, limit+1)
	if err != nil {
		problem.Write(c, err)
		return
	}
	var next cursor
	if len(rows) > limit {
		rows = rows[:limit]
		last := &rows[limit-1]
		next = cursor{list: logRows, at: last.CreatedAt, id: string(last.ID)}
	}
	e := newEncoder()
	e.open('{')
	e.key("logs")
	e.open('[')
	for i := range rows {
		e.log(userID, &rows[i])
	}
	e.close(']')
	e.next(next)
	e.close('}')
	e.send(c, http.StatusOK)
}

func (e *encoder) log(userID string, l *session.Log) {
	e.open('{')
	e.text("id", string(l.ID))
	e.time("created_at", l.CreatedAt)
	e.text("user_id", userID)
	e.textIf("session_id", string(l.SessionID))
	e.text("action", string(l.Action))
	e.flag("success", l.Success)
	e.textIf("error_message", l.Error)
	e.textIf("reason", l.Reason)
	e.text("device_info", l.Device)
	e.text("ip_address", l.IP)
	e.text("user_agent", l.UserAgent)
	e.textIf("country", l.Country)
	e.close('}')
}

func (q *query) action() session.Action {
	a := session.Action(q.text("action"))
	switch a {
	case "", session.ActionLogin, session.ActionRefresh, session.ActionLogout, session.ActionExpired:
	default:
		q.fail("action", "must be login, token_refresh, logout or session_expired")
	}
	return a
}

func (q *query) sessionID() session.ID {
	s := q.text("session_id")
	if s == "" {
		return ""
	}
	sid, err := session.ParseID(s)
	if err != nil {
		q.fail("session_id", "must be the id of a session")
	}
	return sid
}
