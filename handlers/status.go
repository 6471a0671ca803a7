package handlers

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/sessiongate/sessiongate/session"
)

// sessionChecker tells all about the session behind a token, as store.Redis does.
type sessionChecker interface {
	// Check returns session.ErrEnded and session.ErrSuperseded for tokens that are
	// known to be no good.
	Check(ctx context.Context, t session.Token) (session.Session, error)
}

// Status serves GET /sessions/status: is my token still good, and for how long?
type Status struct {
	Sessions sessionChecker
	Activity tracker
	Grant    *Grant
}

// Handle asks Redis once, for whether the token is good and for all else. It writes
// nothing: the deadline stays where it is until the client refreshes.
func (h *Status) Handle(c *gin.Context) {
	t := caller(c).Token
	s, err := h.Sessions.Check(c.Request.Context(), t)
	now := h.Grant.Now()
	if err != nil {
		h.Grant.refuse(c, err)
		return
	}
	h.Activity.Asked(t, now)
	e := newEncoder()
	e.open('{')
	e.flag("active", true)
	h.Grant.times(e, &s, &t, now)
	e.key("session")
	e.session(&s, true)
	e.close('}')
	e.send(c, http.StatusOK)
}
