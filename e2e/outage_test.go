package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"syscall"
	"testing"
	"time"
)

// The tests of this file that measure time do not run beside others.

// answerLimit is how soon a gateway has to say that it can't say.
const answerLimit = 300 * time.Millisecond

// unavailable makes each call three times, and wants a 503 every time, never a
// 401, and in time. What else the machine does only adds to that, so where all
// were late it tries some more.
func (g *gateway) unavailable(t *testing.T, calls ...call) {
	t.Helper()
	for _, c := range calls {
		var took []time.Duration
		for len(took) < 3 || slices.Min(took) > answerLimit && len(took) < 20 {
			a := g.do(t, c)
			var err error
			if c.path == "/oauth2/introspect" {
				err = a.checkOAuthUnavailable()
			} else {
				err = a.checkProblem(http.StatusServiceUnavailable, "store_unavailable", "")
			}
			if err != nil {
				t.Fatal(err)
			}
			took = append(took, a.took)
		}
		if slices.Min(took) > answerLimit {
			t.Errorf("%s took %v, want at most %v", c, took, answerLimit)
		}
	}
}

func (a answer) checkOAuthUnavailable() error {
	if a.status != http.StatusServiceUnavailable {
		return fmt.Errorf("%s, want 503", a)
	}
	return a.checkErrorHeaders()
}

// recovers waits until the gateway says yes again.
func (g *gateway) recovers(t *testing.T, token string) {
	t.Helper()
	eventually(t, func() error {
		if a := g.do(t, statusCall(token)); a.status != http.StatusOK {
			return errors.New(a.String())
		}
		return nil
	})
}

func TestRedisOutage(t *testing.T) {
	s, r := ownRedis(t)
	g := s.start(t, "SESSIONGATE_REDIS_TIMEOUT=200ms")
	u := s.user(t)
	token, ended := g.login(t, u).AccessToken, g.login(t, u).AccessToken
	g.do(t, logoutCall(ended)).want(t, http.StatusNoContent)
	// What a frozen Redis was asked it may do later, when nobody waits any more: so
	// what ends sessions ends others.
	doomed := g.open(t, newID())
	calls := []call{
		statusCall(token), refreshCall(token), introspectCall(token),
		statusCall(ended), introspectCall(ended), // nobody can say that it has ended, either
		get("/sessions/my-sessions", token), get("/sessions/my-session-logs", token), openCall(u.id),
		loginCall(u.identifier, password), loginCall(u.identifier, wrongPassword), loginCall(newID(), wrongPassword),
		logoutCall(doomed.AccessToken), logoutAllCall(doomed.AccessToken),
		{method: "DELETE", path: "/sessions/my-sessions/" + doomed.Session.ID, token: doomed.AccessToken},
	}
	for _, fault := range []struct {
		name       string
		break_, by func() error
	}{
		{"stopped", r.Stop, func() error { return r.Start(t.Context()) }},
		{"silent", func() error { return syscall.Kill(r.Pid(), syscall.SIGSTOP) }, func() error { return syscall.Kill(r.Pid(), syscall.SIGCONT) }},
		{"killed", r.Kill, func() error { return r.Start(t.Context()) }},
	} {
		t.Run(fault.name, func(t *testing.T) {
			if err := fault.break_(); err != nil {
				t.Fatal(err)
			}
			mended := false
			mend := func() {
				if !mended {
					mended = true
					if err := fault.by(); err != nil {
						t.Fatal(err)
					}
				}
			}
			defer mend()
			g.unavailable(t, calls...)
			if got := g.readyz(t, http.StatusServiceUnavailable); got.Status != "unavailable" || got.Redis != "unavailable" || got.Postgres != "ok" {
				t.Errorf("readyz is %+v", got)
			}
			g.do(t, call{method: "GET", path: "/livez"}).want(t, http.StatusOK)
			// What is known without Redis is still said.
			g.do(t, statusCall("garbage")).problem(t, http.StatusUnauthorized, "unauthenticated", "invalid")
			g.do(t, statusCall("")).problem(t, http.StatusUnauthorized, "unauthenticated", "")

			mend()
			g.recovers(t, token)
			g.over(t, ended, "logged_out_or_revoked")
			if err := g.becomes(t.Context(), "ready"); err != nil {
				t.Error(err)
			}
		})
	}
	// Nothing that was answered 503 has happened by halves: a session is there
	// with its row, or neither is.
	token = g.refresh(t, token).AccessToken
	g.alive(t, token)
	s.flushed(t)
	live := must(t, s.redis.ZCard(t.Context(), userKey(u.id)))
	const active = "SELECT count(*) FROM user_sessions WHERE user_id = $1 AND is_active"
	if n := scalar[int64](t, s, active, u.id); n != live {
		t.Errorf("%d sessions are active in Postgres and %d in Redis", n, live)
	}
}

func TestPostgresOutage(t *testing.T) {
	s, p := ownPostgres(t)
	g := s.start(t, "SESSIONGATE_REDIS_TIMEOUT=200ms")
	u := s.user(t)
	staying, leaving := g.login(t, u), g.login(t, u)
	s.flushed(t)
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	g.unavailable(t, loginCall(u.identifier, password), loginCall(u.identifier, wrongPassword), loginCall(newID(), password))
	g.unavailable(t, get("/sessions/my-session-logs", staying.AccessToken), get("/sessions/my-sessions?state=ended", staying.AccessToken))

	// All else goes on, as fast as ever.
	want := []string{"login", "login"}
	for range 3 {
		g.alive(t, staying.AccessToken)
		staying = g.refresh(t, staying.AccessToken)
		want = append(want, "token_refresh")
		if !decode[introspection](t, g.do(t, introspectCall(staying.AccessToken)), http.StatusOK).Active {
			t.Error("inactive while Postgres is away")
		}
	}
	if got := len(mySessions(t, g, staying.AccessToken, "").Sessions); got != 2 {
		t.Errorf("%d sessions are listed, want 2", got)
	}
	g.do(t, logoutCall(leaving.AccessToken)).want(t, http.StatusNoContent)
	stranger := g.open(t, newID())
	if got := g.readyz(t, http.StatusOK); got.Status != "degraded" || got.Redis != "ok" || got.Postgres != "unavailable" {
		t.Errorf("readyz is %+v", got)
	}
	if n := must(t, s.redis.XLen(t.Context(), eventsKey)); n < 5 {
		t.Errorf("%d events wait, want all 5", n)
	}

	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.logged(t, u.id, append(want, "logout (logout)")...)
	s.logged(t, stranger.Session.UserID, "login")
	if err := g.becomes(t.Context(), "ready"); err != nil {
		t.Error(err)
	}
	g.login(t, u)
	g.alive(t, staying.AccessToken)
}

// TestStartWithoutPostgres: a gateway that starts while Postgres is away serves
// what needs only Redis, and brings the schema up to date when it can.
func TestStartWithoutPostgres(t *testing.T) {
	t.Parallel()
	s, p := ownPostgres(t)
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	g := s.startAs(t, "degraded")
	opened := g.open(t, newID())
	id := opened.Session.UserID
	opened = g.refresh(t, opened.AccessToken)
	g.alive(t, opened.AccessToken)
	g.do(t, loginCall("ana", password)).problem(t, http.StatusServiceUnavailable, "store_unavailable", "")
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := g.becomes(t.Context(), "ready"); err != nil {
		t.Fatal(err)
	}
	s.logged(t, id, "login", "token_refresh")
	g.login(t, s.user(t))
}

// TestRedisLosesEverything: everybody signs in again, and nobody twice.
func TestRedisLosesEverything(t *testing.T) {
	t.Parallel()
	s, _ := ownRedis(t)
	g := s.start(t)
	u := s.user(t)
	old := g.login(t, u)
	s.flushed(t)
	must(t, s.redis.FlushAll(t.Context()))
	g.over(t, old.AccessToken, "logged_out_or_revoked")
	again := g.login(t, u)
	g.alive(t, again.AccessToken)
	s.logged(t, u.id, "login", "login")
	g.do(t, logoutCall(again.AccessToken)).want(t, http.StatusNoContent)
	s.logged(t, u.id, "login", "login", "logout (logout)")
}

// TestScriptsAreFlushed: a Redis that has forgotten its scripts is told again.
func TestScriptsAreFlushed(t *testing.T) {
	t.Parallel()
	s, _ := ownRedis(t)
	g := s.start(t)
	ctx, cancel := context.WithCancel(t.Context())
	flushing := make(chan struct{})
	go func() {
		defer close(flushing)
		for ctx.Err() == nil {
			s.redis.ScriptFlush(ctx)
		}
	}()
	id := newID()
	want := []string{}
	for range 20 {
		token := g.open(t, id).AccessToken
		token = g.refresh(t, token).AccessToken
		g.alive(t, token)
		g.do(t, logoutCall(token)).want(t, http.StatusNoContent)
		want = append(want, "login", "token_refresh", "logout (logout)")
	}
	cancel()
	<-flushing
	s.logged(t, id, want...)
}
