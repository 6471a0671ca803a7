package handlers

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/sessiongate/sessiongate/internal/problem"
	"github.com/sessiongate/sessiongate/session"
)

// sessionRefresher rotates a session's token, as store.Redis does.
type sessionRefresher interface {
	// Refresh returns the session with its new deadline; rotated is false when the
	// token had been rotated before and its successor is handed out again. Where
	// op.ActiveAt is not zero, the user has done something. Its
	// errors are session.ErrEnded, ErrSuperseded, ErrReused and ErrUnavailable.
	Refresh(ctx context.Context, t session.Token, op session.Event) (s session.Session, rotated bool, err error)
}

// Refresh serves POST /sessions/refresh.
type Refresh struct {
	Sessions sessionRefresher
	Origin   originOf
	Grant    *Grant
}

// Handle exchanges the token for its successor, and moves the session's deadline.
// The same token may be sent again, in parallel or after a lost answer: it gets
// the same successor. A refresh is no activity of the user's, unless the client says
// that there was some.
func (h *Refresh) Handle(c *gin.Context) {
	var active bool
	if err := readJSON(c.Request, true, members{"active": takeFlag(&active)}); err != nil {
		problem.Write(c, err)
		return
	}
	t := caller(c).Token
	op := newEvent(h.Grant.Now(), h.Origin(c.Request))
	op.Action = session.ActionRefresh
	if active {
		op.ActiveAt = op.CreatedAt
	}
	s, rotated, err := h.Sessions.Refresh(c.Request.Context(), t, op)
	if err != nil {
		h.Grant.refuse(c, err)
		return
	}
	at := s.RotatedAt
	if !rotated {
		at = h.Grant.Now()
	}
	h.Grant.send(c, http.StatusOK, &s, at, carrierOf(c))
}
