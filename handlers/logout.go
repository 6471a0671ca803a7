package handlers

import (
	"context"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/sessiongate/sessiongate/internal/browser"
	"github.com/sessiongate/sessiongate/internal/problem"
	"github.com/sessiongate/sessiongate/session"
)

// sessionRevoker ends sessions, as store.Redis does. Both calls may be repeated.
type sessionRevoker interface {
	// Revoke reports whether there was anything to end.
	Revoke(ctx context.Context, userID string, sid session.ID, reason session.EndReason, op session.Event) (ended bool, err error)
	// RevokeUser ends all but the one named by except, if it is not "".
	RevokeUser(ctx context.Context, userID string, except session.ID, reason session.EndReason, op session.Event) (n int, at time.Time, err error)
}

// Logout serves POST /sessions/logout and POST /sessions/logout-all.
type Logout struct {
	Sessions sessionRevoker
	Origin   originOf
	Now      func() time.Time // Redis's clock
	Cookies  browser.Cookies
}

// Handle ends the session of the token. Any token of the session will do whose
// signature is ours and whose time is not up, also one that a refresh has
// replaced. A session that has ended already is no error: nothing is to be done
// and nothing is logged.
func (h *Logout) Handle(c *gin.Context) {
	var reason string
	err := readJSON(c.Request, true, members{"reason": takeClean(&reason, session.MaxReasonBytes)})
	if err != nil {
		problem.Write(c, err)
		return
	}
	t := caller(c).Token
	op := h.event(c, reason)
	if _, err := h.Sessions.Revoke(c.Request.Context(), t.UserID, t.SessionID, session.EndLogout, op); err != nil {
		problem.Write(c, err)
		return
	}
	h.forget(c)
	c.Status(http.StatusNoContent)
}

// forget takes the cookies back from the browser whose session has ended.
func (h *Logout) forget(c *gin.Context) {
	if caller(c).ByCookie {
		h.Cookies.ClearSession(c.Writer.Header())
		h.Cookies.ClearRemember(c.Writer.Header())
	}
}

// All ends all sessions of the user, or all but this one.
func (h *Logout) All(c *gin.Context) {
	var reason string
	var exceptCurrent bool
	err := readJSON(c.Request, true, members{
		"reason":         takeClean(&reason, session.MaxReasonBytes),
		"except_current": takeFlag(&exceptCurrent),
	})
	if err != nil {
		problem.Write(c, err)
		return
	}
	t := caller(c).Token
	var except session.ID
	if exceptCurrent {
		except = t.SessionID
	}
	n, at, err := h.Sessions.RevokeUser(c.Request.Context(), t.UserID, except, session.EndLogoutAll, h.event(c, reason))
	if err != nil {
		problem.Write(c, err)
		return
	}
	if !exceptCurrent {
		h.forget(c)
	}
	e := newEncoder()
	e.open('{')
	e.number("revoked", int64(n))
	e.time("effective_at", at)
	e.close('}')
	e.send(c, http.StatusOK)
}

func (h *Logout) event(c *gin.Context, reason string) session.Event {
	op := newEvent(h.Now(), h.Origin(c.Request))
	op.Action, op.Reason = session.ActionLogout, reason
	return op
}
