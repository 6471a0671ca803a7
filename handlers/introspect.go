package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/sessiongate/sessiongate/internal/problem"
	"github.com/sessiongate/sessiongate/session"
	"github.com/sessiongate/sessiongate/tokens"
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

// tracker gathers that a token was accepted, as jobs.Tracker does: for something its
// user did, or only because a client asked about its own session. It must not wait for
// anything.
type tracker interface {
	Seen(t session.Token, now time.Time)
	Asked(t session.Token, now time.Time)
}

// introspectionSigner makes an answer that proves where it comes from, as
// tokens.Issuer does.
type introspectionSigner interface {
	// SignIntrospection returns a JWT for the audience whose token_introspection is
	// answer (RFC 9701 §5), or tokens.ErrSymmetric.
	SignIntrospection(audience string, answer any, now time.Time) (string, error)
}

// Asker is a client that the guard let through, as far as answers depend on it.
type Asker struct {
	ID      string
	Scopes  []string // those it may see; empty: all
	Passive bool     // its questions are no use of the session
}

// askerOf returns who asks, as the wiring reads it from middleware.ClientFrom.
type askerOf func(context.Context) Asker

// Introspect serves POST /oauth2/introspect (RFC 7662, RFC 9701) and its batch.
type Introspect struct {
	Tokens   tokenVerifier
	Sessions sessionValidator
	Many     manyValidator // the same sessions
	Activity tracker
	Asker    askerOf
	Signer   introspectionSigner
	Issuer   string // iss and aud of every token of ours
	Audience string
	Now      func() time.Time // Redis's clock
}

// Handle says whether the token in the form is good right now. Asking counts as
// use of its session, unless the client is passive.
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
	ctx := c.Request.Context()
	who := h.Asker(ctx)
	t, err := h.Tokens.Verify(raw)
	if err == nil {
		_, err = h.Sessions.Validate(ctx, t)
	}
	if err != nil && !isInactive(err) {
		problem.WriteOAuth(c, err)
		return
	}
	e := newEncoder()
	h.answer(e, &t, &who, err == nil)
	if signed, plain := answerForms(c.Request); signed {
		h.sendSigned(c, e, who.ID, plain)
		return
	}
	e.send(c, http.StatusOK)
}

// isInactive says whether it is known that the token is no good.
func isInactive(err error) bool {
	for _, no := range []error{
		session.ErrInvalidToken, session.ErrTokenExpired, session.ErrEnded, session.ErrSuperseded,
	} {
		if errors.Is(err, no) {
			return true
		}
	}
	return false
}

// answer writes what the client may know of a token.
func (h *Introspect) answer(e *encoder, t *session.Token, who *Asker, active bool) {
	e.open('{')
	e.flag("active", active)
	if active {
		if !who.Passive {
			h.Activity.Seen(*t, h.Now())
		}
		h.claims(e, t, who)
	}
	e.close('}')
}

func (h *Introspect) claims(e *encoder, t *session.Token, who *Asker) {
	e.text("iss", h.Issuer)
	e.text("sub", t.UserID)
	e.text("aud", h.Audience)
	e.text("client_id", t.ClientID)
	e.textIf("username", t.Username)
	e.textIf("scope", who.sees(t.Scope))
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
	if len(t.Roles) > 0 {
		e.texts("roles", t.Roles)
	}
}

// sees returns those of the scopes that the client may see (RFC 7662 §2.2: "the
// authorization server MAY respond differently to different protected resources").
func (a *Asker) sees(scope string) string {
	if len(a.Scopes) == 0 || scope == "" {
		return scope
	}
	var seen []string
	for s := range strings.SplitSeq(scope, " ") {
		if slices.Contains(a.Scopes, s) {
			seen = append(seen, s)
		}
	}
	return strings.Join(seen, " ")
}

const jwtAnswer = "application/token-introspection+jwt"

// jwtAnswerType is shared by all such answers; see middleware.SecureHeaders.
var jwtAnswerType = []string{jwtAnswer}

// answerForms says whether an answer is to be signed, which a client asks for with
// Accept (RFC 9701 §4), and whether a plain one would do as well.
func answerForms(r *http.Request) (signed, plain bool) {
	accept := r.Header["Accept"]
	if len(accept) == 0 || len(accept) == 1 && (accept[0] == "*/*" || accept[0] == "application/json") {
		return false, true // as nearly everybody asks
	}
	jwt, json := readAccept(strings.ToLower(strings.Join(accept, ",")))
	return jwt > 0 && jwt >= json, json > 0
}

// sendSigned answers with a JWT for the client. Where tokens are signed with a
// shared secret there is none, since whoever could check it could make tokens: the
// client gets JSON if that will do, else 406 (RFC 9110 §12.5.1).
func (h *Introspect) sendSigned(c *gin.Context, e *encoder, client string, plain bool) {
	raw, err := h.Signer.SignIntrospection(client, json.RawMessage(e.b), h.Now())
	switch {
	case errors.Is(err, tokens.ErrSymmetric) && plain:
		e.send(c, http.StatusOK)
		return
	case errors.Is(err, tokens.ErrSymmetric):
		err = problem.ErrNotAcceptable
	}
	if err != nil {
		problem.WriteOAuth(c, err)
		return
	}
	e.b = append(e.b[:0], raw...)
	e.sendAs(c, http.StatusOK, jwtAnswerType)
}
