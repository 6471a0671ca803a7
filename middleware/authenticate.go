package middleware

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/sessiongate/sessiongate/internal/problem"
	"github.com/sessiongate/sessiongate/session"
)

// tokenVerifier says whether a token is ours, as tokens.Verifier does: no store
// is asked.
type tokenVerifier interface {
	Verify(raw string) (session.Token, error)
}

// sessionValidator says whether the session behind a token is live and the token
// still good, as store.Redis does.
type sessionValidator interface {
	Validate(ctx context.Context, t session.Token) (session.Session, error)
}

// tracker gathers that a token was accepted for something that its user did, as
// jobs.Tracker does. It must not wait for anything.
type tracker interface {
	Seen(t session.Token, now time.Time)
}

// Authenticator finds out who a request comes from, by the access token in its
// Authorization header and nothing else: a token in the query or in a form is
// not looked at (RFC 9700 §4.3.2).
type Authenticator struct {
	Tokens   tokenVerifier
	Sessions sessionValidator
	Activity tracker
	Now      func() time.Time // Redis's clock
}

// Live lets through who presents a good token of a live session, with the
// session.Caller in the request's context. It costs one round trip to Redis.
func (a *Authenticator) Live() gin.HandlerFunc {
	return func(c *gin.Context) {
		t, err := a.token(c.Request)
		if err != nil {
			problem.Write(c, err)
			return
		}
		ctx := c.Request.Context()
		s, err := a.Sessions.Validate(ctx, t)
		if err != nil {
			problem.Write(c, problem.ForToken(err, t, a.Now()))
			return
		}
		a.Activity.Seen(t, a.Now())
		handOn(c, session.NewContext(ctx, session.Caller{Token: t, Session: s}))
	}
}

// Signed lets through who presents a token that we signed and whose time is not
// up, whether its session lives or not; the Caller in the context has no
// Session. It is for the endpoints that ask Redis in their own way: refresh and
// logout.
func (a *Authenticator) Signed() gin.HandlerFunc {
	return func(c *gin.Context) {
		t, err := a.token(c.Request)
		if err != nil {
			problem.Write(c, err)
			return
		}
		handOn(c, session.NewContext(c.Request.Context(), session.Caller{Token: t}))
	}
}

// handOn gives the request its context. It writes it into the request that the
// server made and nobody else has: a copy would be half of what a request
// allocates. WithContext is inlined here, so its own copy stays on the stack.
func handOn(c *gin.Context, ctx context.Context) { *c.Request = *c.Request.WithContext(ctx) }

func (a *Authenticator) token(r *http.Request) (session.Token, error) {
	raw, err := bearer(r.Header)
	if err != nil {
		return session.Token{}, err
	}
	return a.Tokens.Verify(raw)
}

// bearer returns the token of RFC 6750 §2.1. The scheme's case does not matter
// (RFC 9110 §11.1).
func bearer(h http.Header) (string, error) {
	values := h["Authorization"]
	switch len(values) {
	case 0:
		return "", problem.ErrUnauthenticated
	case 1:
	default:
		return "", errTwoCredentials
	}
	scheme, raw, _ := strings.Cut(values[0], " ")
	raw = strings.Trim(raw, " ")
	if raw == "" || !strings.EqualFold(scheme, "Bearer") {
		return "", problem.ErrUnauthenticated
	}
	return raw, nil
}

// errTwoCredentials: which of them counts is for nobody to guess (RFC 6750 §2).
var errTwoCredentials = &problem.Invalid{Field: "Authorization", Reason: "must be sent once"}
