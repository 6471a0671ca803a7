package e2e

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

// short are settings under which a session that nobody refreshes lasts 3 s.
var short = []string{
	"SESSIONGATE_SESSIONS_TTL=3s", "SESSIONGATE_SESSIONS_REFRESH_AFTER=2s", "SESSIONGATE_SESSIONS_GRACE=1s",
	"SESSIONGATE_TOKENS_LEEWAY=1s",
}

// TestExpiry: sessions whose time runs out end by themselves, each once, at the
// moment when it ran out, however many gateways look for them.
func TestExpiry(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	a, b := s.start(t, short...), s.start(t, short...)
	type ended struct {
		grant
		want []string
	}
	var sessions []ended
	for i := range 20 {
		g := []*gateway{a, b}[i%2]
		e := ended{g.open(t, newID()), []string{"login", "session_expired (expired)"}}
		if i%4 == 3 { // its deadline moves once
			e.grant = g.refresh(t, e.AccessToken)
			e.want = append(e.want, "token_refresh")
		}
		sessions = append(sessions, e)
	}
	if got := sessions[0]; got.ExpiresIn != 3 || got.RefreshAfter >= 3 {
		t.Errorf("expires_in %d, refresh_after %d, want 3 and less", got.ExpiresIn, got.RefreshAfter)
	}
	check := func() {
		t.Helper()
		for _, e := range sessions {
			r := one(t, s.logged(t, e.Session.UserID, e.want...), "session_expired (expired)")
			if !r.at.Equal(e.Session.ExpiresAt.Time) || r.sid != e.Session.ID || r.token != fingerprint(r.sid) {
				t.Errorf("row is %+v, the session was good until %v", r, e.Session.ExpiresAt)
			}
			const ended = "SELECT NOT is_active AND end_reason = 'expired' AND ended_at = expires_at FROM user_sessions WHERE id = $1"
			if !scalar[bool](t, s, ended, r.sid) {
				t.Errorf("user_sessions does not say that %s has expired", r.sid)
			}
		}
	}
	check()
	for _, g := range []*gateway{a, b} {
		g.over(t, sessions[0].AccessToken, "expired")
		g.do(t, refreshCall(sessions[0].AccessToken)).problem(t, http.StatusUnauthorized, "unauthenticated", "expired")
		eventually(t, func() error { // once the leeway is over, too
			return g.do(t, logoutCall(sessions[0].AccessToken)).checkProblem(http.StatusUnauthorized, "unauthenticated", "expired")
		})
		g.runs(t, "sweep", 2)
		g.runs(t, "reconcile", 2)
	}
	check()
	for _, e := range sessions {
		if n := must(t, s.redis.Exists(t.Context(), sessionKey(e.Session.ID), userKey(e.Session.UserID))); n != 0 {
			t.Errorf("%d keys of an expired session are left", n)
		}
	}
}

// TestAbsoluteLifetime: no refresh carries a session beyond it.
func TestAbsoluteLifetime(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.start(t, append(short, "SESSIONGATE_SESSIONS_ABSOLUTE_LIFETIME=5s")...)
	id := newID()
	first := g.open(t, id)
	end := first.Session.AbsoluteExpiresAt.Time
	if life := end.Sub(first.Session.CreatedAt.Time); life < 5*time.Second || life > 6*time.Second {
		t.Errorf("the session may last %v, want 5 s", life)
	}
	want := []string{"login"}
	token := first.AccessToken
	poll := time.NewTicker(500 * time.Millisecond)
	defer poll.Stop()
	for {
		a := g.do(t, refreshCall(token))
		if a.status == http.StatusUnauthorized {
			a.problem(t, http.StatusUnauthorized, "unauthenticated", "expired")
			break
		}
		got := decode[grant](t, a, http.StatusOK)
		if got.Session.ExpiresAt.After(end) || !got.Session.AbsoluteExpiresAt.Equal(end) || got.RefreshAfter > got.ExpiresIn {
			t.Fatalf("%+v goes beyond %v", got, end)
		}
		token = got.AccessToken
		want = append(want, "token_refresh")
		<-poll.C
	}
	if d := time.Since(end); d < -time.Second {
		t.Errorf("refused %v before the end", -d)
	}
	r := one(t, s.logged(t, id, append(want, "session_expired (absolute_timeout)")...), "session_expired (absolute_timeout)")
	if !r.at.Equal(end) {
		t.Errorf("ended at %v, want %v", r.at, end)
	}
}

// TestRefreshKeepsAlive: who refreshes in time is never taken for expired, by
// whichever gateway and however close it gets.
func TestRefreshKeepsAlive(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	settings := append(short, "SESSIONGATE_SESSIONS_TTL=5s")
	a, b := s.start(t, settings...), s.start(t, settings...)
	id := newID()
	current := a.open(t, id)
	want := []string{"login"}
	for i := range 3 {
		eventually(t, func() error {
			if left := time.Until(current.Session.ExpiresAt.Time); left > 2500*time.Millisecond {
				return fmt.Errorf("there are %v left", left)
			}
			return nil
		})
		current = []*gateway{b, a}[i%2].refresh(t, current.AccessToken)
		want = append(want, "token_refresh")
	}
	s.flushed(t)
	a.alive(t, current.AccessToken)
	rows, err := s.query(t.Context(), "user_id = $1", id)
	if err != nil || !sameTexts(texts(rows), want) {
		t.Errorf("rows are %s, %v, want %s", listed(texts(rows)), err, listed(want))
	}
}
