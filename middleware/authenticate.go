package middleware

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/sessiongate/sessiongate/internal/browser"
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

// Authenticator finds out who a request comes from: by the access token in its
// Authorization header, or else by the one in a browser's cookie. A token in the
// query or in a form is not looked at (RFC 9700 §4.3.2).
type Authenticator struct {
	Tokens   tokenVerifier
	Sessions sessionValidator
	Activity tracker
	Now      func() time.Time // Redis's clock

	Origins *browser.Origins // who may use a browser's cookie
	Cookies browser.Cookies
}

// Live lets through who presents a good token of a live session, with the
// session.Caller in the request's context. It costs one round trip to Redis.
func (a *Authenticator) Live() gin.HandlerFunc {
	return func(c *gin.Context) {
		caller, err := a.caller(c.Request)
		ctx := c.Request.Context()
		if err == nil {
			caller.Session, err = a.Sessions.Validate(ctx, caller.Token)
			err = problem.ForToken(err, caller.Token, a.Now())
		}
		if err != nil {
			a.refuse(c, caller.ByCookie, err)
			return
		}
		a.Activity.Seen(caller.Token, a.Now())
		handOn(c, session.NewContext(ctx, caller))
	}
}

// Signed lets through who presents a token that we signed and whose time is not
// up, whether its session lives or not; the Caller in the context has no
// Session. It is for the endpoints that ask Redis in their own way: refresh and
// logout.
func (a *Authenticator) Signed() gin.HandlerFunc {
	return func(c *gin.Context) {
		caller, err := a.caller(c.Request)
		if err != nil {
			a.refuse(c, caller.ByCookie, err)
			return
		}
		handOn(c, session.NewContext(c.Request.Context(), caller))
	}
}

// handOn gives the request its context. It writes it into the request that the
// server made and nobody else has: a copy would be half of what a request
// allocates. WithContext is inlined here, so its own copy stays on the stack.
func handOn(c *gin.Context, ctx context.Context) { *c.Request = *c.Request.WithContext(ctx) }

// caller returns whose token the request brings. An Authorization header counts
// before the cookie, whatever is in it: who sends one means it, and a second
// identity must not stand in for a first that failed.
func (a *Authenticator) caller(r *http.Request) (who session.Caller, err error) {
	var raw string
	if len(r.Header["Authorization"]) > 0 {
		raw, err = bearer(r.Header)
	} else {
		raw, err = a.cookie(r)
		who.ByCookie = err == nil
	}
	if err == nil {
		who.Token, err = a.Tokens.Verify(raw)
	}
	return who, err
}

func (a *Authenticator) cookie(r *http.Request) (string, error) {
	raw, err := browser.Read(r.Header, browser.SessionCookie)
	switch {
	case err != nil:
		return "", err
	case raw == "":
		return "", problem.ErrUnauthenticated
	}
	return raw, a.Origins.Check(r)
}

func (a *Authenticator) refuse(c *gin.Context, byCookie bool, err error) {
	if byCookie && browser.IsOver(err) {
		a.Cookies.ClearSession(c.Writer.Header())
	}
	problem.Write(c, err)
}

// bearer returns the token of RFC 6750 §2.1 from the header, which is there. The
// scheme's case does not matter (RFC 9110 §11.1).
func bearer(h http.Header) (string, error) {
	values := h["Authorization"]
	if len(values) != 1 {
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
