package handlers

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/sessiongate/sessiongate/internal/problem"
	"github.com/sessiongate/sessiongate/session"
)

// sessionGetter tells all about one live session, as store.Redis does.
type sessionGetter interface {
	// Get returns session.ErrEnded if the session is not live.
	Get(ctx context.Context, userID string, sid session.ID) (session.Session, error)
}

// Status serves GET /sessions/status: is my token still good, and for how long?
type Status struct {
	Sessions sessionGetter
	Grant    *Grant
}

// Handle answers for a session that the guard found live. It writes nothing: the
// deadline stays where it is until the client refreshes.
func (h *Status) Handle(c *gin.Context) {
	t := caller(c).Token
	s, err := h.Sessions.Get(c.Request.Context(), t.UserID, t.SessionID)
	now := h.Grant.Now()
	if err != nil {
		problem.Write(c, problem.ForToken(err, t, now))
		return
	}
	e := newEncoder()
	e.open('{')
	e.flag("active", true)
	h.Grant.times(e, t, now)
	e.key("session")
	e.session(&s, true)
	e.close('}')
	e.send(c, http.StatusOK)
}
