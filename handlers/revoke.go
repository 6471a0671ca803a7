package handlers

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/sessiongate/sessiongate/internal/problem"
	"github.com/sessiongate/sessiongate/session"
)

// Revoke serves POST /oauth2/revoke (RFC 7009).
type Revoke struct {
	Tokens   tokenVerifier
	Sessions sessionRevoker
	Client   clientOf
	Origin   originOf
	Now      func() time.Time // Redis's clock
}

// Handle ends the session of the token in the form, if the client is the one that
// the session was opened for; any token of the session will do whose time is not
// up, as at logout. The audit log gets the same event.
//
// Everything else that could be presented (another client's token, one that is
// over, something that is no token) is left alone and answered 200 as well: "the
// purpose of the revocation request, invalidating the particular token, is already
// achieved" (§2.2), and nobody learns whether somebody else's token is good. What
// could not be carried out is a 503, never a 200 (§2.2.1). token_type_hint makes
// no difference.
func (h *Revoke) Handle(c *gin.Context) {
	raw := c.Request.PostForm.Get("token")
	if raw == "" {
		problem.WriteOAuth(c, &problem.Invalid{Field: "token", Reason: "is required"})
		return
	}
	ctx := c.Request.Context()
	t, err := h.Tokens.Verify(raw)
	switch {
	case err != nil && !isInactive(err):
		problem.WriteOAuth(c, err)
		return
	case err != nil || t.ClientID != h.Client(ctx):
		c.Status(http.StatusOK)
		return
	}
	op := newEvent(h.Now(), h.Origin(c.Request))
	op.Action = session.ActionLogout
	if _, err := h.Sessions.Revoke(ctx, t.UserID, t.SessionID, session.EndRevoked, op); err != nil {
		problem.WriteOAuth(c, err)
		return
	}
	c.Status(http.StatusOK)
}
