package handlers

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/sessiongate/sessiongate/internal/problem"
	"github.com/sessiongate/sessiongate/session"
)

// tokenVerifier says whether a token is ours, as tokens.Verifier does.
type tokenVerifier interface {
	// Verify asks no store. Its errors are session.ErrInvalidToken and
	// session.ErrTokenExpired.
	Verify(raw string) (session.Token, error)
}

// sessionValidator says whether the session behind a token is live and the token
// still good, as store.Redis does.
type sessionValidator interface {
	// Validate returns session.ErrEnded and session.ErrSuperseded for tokens that
	// are known to be no good.
	Validate(ctx context.Context, t session.Token) (session.Session, error)
}

// tracker gathers that a token was accepted, as jobs.Tracker does. It must not
// wait for anything.
type tracker interface {
	Seen(t session.Token, now time.Time)
}

// Introspect serves POST /oauth2/introspect (RFC 7662).
type Introspect struct {
	Tokens   tokenVerifier
	Sessions sessionValidator
	Activity tracker
	Issuer   string // iss and aud of every token of ours
	Audience string
	Now      func() time.Time // Redis's clock
}

// Handle says whether the token in the form is good right now. Asking counts as
// use of its session.
//
// A token that is not, for whatever reason, gets {"active":false} and no reason
// (RFC 7662 §2.2). Only when Redis can't be asked does the call fail, with 503:
// "don't know" must not look like "no". token_type_hint and parameters that
// nobody knows make no difference.
func (h *Introspect) Handle(c *gin.Context) {
	raw := c.Request.PostForm.Get("token")
	if raw == "" {
		problem.WriteOAuth(c, &problem.Invalid{Field: "token", Reason: "is required"})
		return
	}
	t, err := h.Tokens.Verify(raw)
	if err != nil {
		h.inactive(c, err)
		return
	}
	if _, err := h.Sessions.Validate(c.Request.Context(), t); err != nil {
		h.inactive(c, err)
		return
	}
	h.Activity.Seen(t, h.Now())
	h.active(c, &t)
}

func (h *Introspect) inactive(c *gin.Context, err error) {
	for _, no := range []error{
		session.ErrInvalidToken, session.ErrTokenExpired, session.ErrEnded, session.ErrSuperseded,
	} {
		if errors.Is(err, no) {
			e := newEncoder()
			e.open('{')
			e.flag("active", false)
			e.close('}')
			e.send(c, http.StatusOK)
			return
		}
	}
	problem.WriteOAuth(c, err)
}

func (h *Introspect) active(c *gin.Context, t *session.Token) {
	e := newEncoder()
	e.open('{')
	e.flag("active", true)
	e.text("iss", h.Issuer)
	e.text("sub", t.UserID)
	e.text("aud", h.Audience)
	e.text("client_id", t.ClientID)
	e.textIf("scope", t.Scope)
	e.text("token_type", "Bearer")
	e.number("exp", t.ExpiresAt.Unix())
	e.number("iat", t.IssuedAt.Unix())
	e.text("jti", t.ID)
	e.text("sid", string(t.SessionID))
	if !t.AuthTime.IsZero() {
		e.number("auth_time", t.AuthTime.Unix())
	}
	if len(t.AMR) > 0 {
		e.texts("amr", t.AMR)
	}
	e.close('}')
	e.send(c, http.StatusOK)
}
