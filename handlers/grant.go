package handlers

import (
	"context"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/sessiongate/sessiongate/internal/browser"
	"github.com/sessiongate/sessiongate/internal/problem"
	"github.com/sessiongate/sessiongate/session"
)

// signer makes the token of a session, as tokens.Issuer does.
type signer interface {
	Sign(t session.Token) (string, error)
}

// Grant is how a session is handed to a client: with its token and with when to
// refresh it. Login, Resume, Backend, Refresh and Status share one.
type Grant struct {
	Tokens signer
	Policy session.Policy
	Now    func() time.Time // Redis's clock

	Cookies browser.Cookies
}

// carrier is how a client holds its token.
type carrier bool

const (
	inBody   carrier = false // a program keeps it
	inCookie carrier = true  // the browser keeps it, and shows it to no script
)

// carrierOf returns how the caller holds theirs.
func carrierOf(c *gin.Context) carrier { return carrier(caller(c).ByCookie) }

// send answers with the session's current token, as the client wants to have it. at
// is when the lifetime that the answer speaks of is counted from: the token's
// beginning where this request made it, now where it is handed out again.
func (g *Grant) send(c *gin.Context, status int, s *session.Session, at time.Time, as carrier) {
	t := s.Token()
	raw, err := g.Tokens.Sign(t)
	if err != nil {
		problem.Write(c, err)
		return
	}
	if as == inCookie {
		if err := g.setCookies(c.Writer.Header(), s, raw, t.ExpiresAt.Sub(at)); err != nil {
			problem.Write(c, err)
			return
		}
	}
	e := newEncoder()
	e.open('{')
	if as == inBody {
		e.text("access_token", raw)
		e.text("token_type", "Bearer")
	}
	g.times(e, s, &t, at)
	if !s.Refresh.IsZero() {
		if as == inBody {
			e.text("refresh_token", s.Refresh.Text())
		}
		e.number("refresh_token_expires_in", secondsUntil(s.RefreshExpiresAt, g.Now()))
	}
	e.key("session")
	e.session(s, true)
	e.close('}')
	e.send(c, status)
}

// setCookies hands the browser its tokens.
func (g *Grant) setCookies(h http.Header, s *session.Session, raw string, life time.Duration) error {
	err := g.Cookies.SetSession(h, raw, life)
	if err == nil && !s.Refresh.IsZero() {
		err = g.Cookies.SetRemember(h, s.Refresh.Text(), s.RefreshExpiresAt.Sub(g.Now()))
	}
	return err
}

// refuse is problem.Write for what a store says of the caller's own token.
func (g *Grant) refuse(c *gin.Context, err error) {
	who := caller(c)
	err = problem.ForToken(err, who.Token, g.Now())
	if who.ByCookie && browser.IsOver(err) {
		g.Cookies.ClearSession(c.Writer.Header())
	}
	problem.Write(c, err)
}

// times writes how long the token is good, when to refresh it, and when its session
// ends though it be refreshed, in whole seconds from now on, so that no client has to
// compare its clock with ours.
func (g *Grant) times(e *encoder, s *session.Session, t *session.Token, at time.Time) {
	remaining := min(t.ExpiresAt.Sub(at), g.Policy.Lifetimes(t.ClientID, t.Roles).TTL)
	remaining = max(remaining, 0)
	refresh := g.Policy.RefreshIn(t.ExpiresAt.Sub(t.IssuedAt), remaining, rand.Float64())
	e.number("expires_in", int64(remaining/time.Second))
	e.number("refresh_after", int64(refresh/time.Second))
	if end := s.IdleExpiresAt(); !end.IsZero() {
		e.number("idle_expires_in", secondsUntil(end, at))
	}
	if end := s.AbsoluteExpiresAt; !end.IsZero() {
		e.number("absolute_expires_in", secondsUntil(end, at))
	}
	e.time("server_time", g.Now())
}

func secondsUntil(end, now time.Time) int64 { return int64(max(end.Sub(now), 0) / time.Second) }

// newEvent returns what Redis is told about a request that changes something: its
// own id and time, and where it came from.
func newEvent(now time.Time, o session.Origin) session.Event {
	id := session.NewEventID(now)
	return session.Event{ID: id, CreatedAt: id.Time(), Success: true, Origin: o}
}

// originOf tells where a request came from, as middleware.Addresses does.
type originOf func(*http.Request) session.Origin

// caller returns who the guard let through. Routes without a guard have none:
// asking there is a mistake in the table, and a test goes through all of it.
func caller(c *gin.Context) session.Caller {
	who, ok := session.FromContext(c.Request.Context())
	if !ok {
		panic("handlers: " + c.FullPath() + " has no guard")
	}
	return who
}

// clientOf returns the id of the client that the guard let through, as
// middleware.ClientID does.
type clientOf func(context.Context) string
