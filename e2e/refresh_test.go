package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func testRefresh(t *testing.T, g *gateway) {
	id := newID()
	first, other := g.open(t, id), g.open(t, id)
	deadline := func(s sess) time.Duration { return must(t, g.stack.redis.PExpireTime(t.Context(), sessionKey(s.ID))) }
	otherDeadline := deadline(other.Session)
	_, before := parts(t, first.AccessToken)

	// A new second, so that the deadline has somewhere to move.
	eventually(t, func() error {
		if now := time.Now(); !now.After(first.Session.ExpiresAt.Add(-30 * time.Minute)) {
			return fmt.Errorf("it is still %v", now)
		}
		return nil
	})
	second := g.refresh(t, first.AccessToken)
	checkGrant(t, second)
	_, after := parts(t, second.AccessToken)
	if second.Session.ID != first.Session.ID || after["sid"] != before["sid"] || after["sub"] != before["sub"] {
		t.Errorf("another session: %+v, before %+v", second.Session, first.Session)
	}
	if after["jti"] == before["jti"] || after["auth_time"] != before["auth_time"] {
		t.Errorf("claims are %v, before %v: want another jti and the same auth_time", after, before)
	}
	if !second.Session.ExpiresAt.After(first.Session.ExpiresAt.Time) || !second.Session.LastActivity.After(first.Session.LastActivity.Time) ||
		second.Session.CreatedAt != first.Session.CreatedAt {
		t.Errorf("session is %+v, before %+v", second.Session, first.Session)
	}
	if got := deadline(second.Session); got != time.Duration(second.Session.ExpiresAt.UnixMilli())*time.Millisecond {
		t.Errorf("the key lives until %v, the session until %v", got, second.Session.ExpiresAt)
	}
	if got := deadline(other.Session); got != otherDeadline {
		t.Errorf("the other device's deadline moved from %v to %v", otherDeadline, got)
	}
	g.alive(t, second.AccessToken)

	r := one(t, g.stack.logged(t, id, "login", "login", "token_refresh"), "token_refresh")
	if r.sid != first.Session.ID || r.ip != "127.0.0.1" || r.token != fingerprint(r.sid) {
		t.Errorf("row is %+v", r)
	}
	const grown = "SELECT expires_at = $2 AND last_activity > created_at FROM user_sessions WHERE id = $1"
	if !scalar[bool](t, g.stack, grown, r.sid, second.Session.ExpiresAt.Time) {
		t.Error("user_sessions does not have the new deadline")
	}
	// A body is not needed; what is in one must make sense.
	empty := refreshCall(second.AccessToken)
	empty.json = object{}
	decode[grant](t, g.do(t, empty), http.StatusOK)
	odd := refreshCall(second.AccessToken)
	odd.json = object{"grant_type": "refresh_token"}
	g.do(t, odd).problem(t, http.StatusBadRequest, "invalid_request", "")
	g.do(t, refreshCall("")).problem(t, http.StatusUnauthorized, "unauthenticated", "")
}

// testLostAnswer: who did not get the answer asks again with the token they have,
// and gets the very same successor.
func testLostAnswer(t *testing.T, g *gateway) {
	id := newID()
	first := g.open(t, id)
	second := g.refresh(t, first.AccessToken)
	for range 3 {
		if again := g.refresh(t, first.AccessToken); again.AccessToken != second.AccessToken {
			t.Errorf("another successor: %+v, want %+v", again, second)
		}
		g.alive(t, first.AccessToken) // until the successor is in use, and the grace is over
	}
	g.alive(t, second.AccessToken)
	third := g.refresh(t, second.AccessToken)
	if third.AccessToken == second.AccessToken {
		t.Error("the successor's successor is itself")
	}
	g.stack.logged(t, id, "login", "token_refresh", "token_refresh")
}

const atTheSameTime = 50

// refreshAll presents one token atTheSameTime times at once, to each of the
// gateways in turn, and returns the one successor.
func refreshAll(t *testing.T, token string, gateways ...*gateway) string {
	t.Helper()
	successors := make([]string, atTheSameTime)
	gate := make(chan struct{})
	var wg sync.WaitGroup
	for i := range successors {
		wg.Go(func() {
			<-gate
			a, err := gateways[i%len(gateways)].send(t.Context(), refreshCall(token))
			if err != nil || a.status != http.StatusOK {
				successors[i] = fmt.Sprintf("%s, %v", a, err)
				return
			}
			successors[i] = between(a.body, `"access_token":"`)
		})
	}
	close(gate)
	wg.Wait()
	slices.Sort(successors)
	if distinct := slices.Compact(successors); len(distinct) != 1 || distinct[0] == "" || distinct[0] == token {
		t.Fatalf("the answers are %s, want one successor", strings.Join(distinct, "\n"))
	}
	return successors[0]
}

func testFiftyRefreshes(t *testing.T, g *gateway) {
	id := newID()
	token := g.open(t, id).AccessToken
	want := []string{"login"}
	for range 3 {
		token = refreshAll(t, token, g)
		want = append(want, "token_refresh")
	}
	g.alive(t, token)
	if n := must(t, g.stack.redis.ZCard(t.Context(), userKey(id))); n != 1 {
		t.Errorf("the user has %d sessions, want 1", n)
	}
	g.stack.logged(t, id, want...)
}

// testReuse: a token older than the previous one ends its session, and no other
// (RFC 9700 §4.14.2).
func testReuse(t *testing.T, g *gateway) {
	id := newID()
	first, other := g.open(t, id), g.open(t, id)
	second := g.refresh(t, first.AccessToken)
	third := g.refresh(t, second.AccessToken)

	g.do(t, statusCall(first.AccessToken)).problem(t, http.StatusUnauthorized, "unauthenticated", "superseded")
	g.inactive(t, first.AccessToken)
	g.alive(t, third.AccessToken) // asking alone ends nothing

	g.do(t, refreshCall(first.AccessToken)).problem(t, http.StatusUnauthorized, "unauthenticated", "refresh_reused")
	for _, token := range []string{first.AccessToken, second.AccessToken, third.AccessToken} {
		g.over(t, token, "logged_out_or_revoked")
		g.do(t, refreshCall(token)).problem(t, http.StatusUnauthorized, "unauthenticated", "logged_out_or_revoked")
	}
	g.alive(t, other.AccessToken)
	rows := g.stack.logged(t, id, "login", "login", "token_refresh", "token_refresh",
		"token_refresh! refresh_reused", "logout (refresh_reused)")
	if r := one(t, rows, "token_refresh! refresh_reused"); r.sid != first.Session.ID {
		t.Errorf("row is %+v", r)
	}
}

// testNothingComesBack: a refresh never brings a session back to life, and
// creates no key.
func testNothingComesBack(t *testing.T, g *gateway) {
	ctx := t.Context()
	for name, end := range map[string]func(grant){
		"logout":      func(s grant) { g.do(t, logoutCall(s.AccessToken)).want(t, http.StatusNoContent) },
		"logout-all":  func(s grant) { g.do(t, logoutAllCall(s.AccessToken)).want(t, http.StatusOK) },
		"session key": func(s grant) { must(t, g.stack.redis.Del(ctx, sessionKey(s.Session.ID))) },
		"user key":    func(s grant) { must(t, g.stack.redis.Del(ctx, userKey(s.Session.UserID))) },
	} {
		s := g.open(t, newID())
		end(s)
		for range 2 {
			g.do(t, refreshCall(s.AccessToken)).problem(t, http.StatusUnauthorized, "unauthenticated", "logged_out_or_revoked")
		}
		g.over(t, s.AccessToken, "logged_out_or_revoked")
		listed := must(t, g.stack.redis.Exists(ctx, userKey(s.Session.UserID)))
		if both := must(t, g.stack.redis.Exists(ctx, sessionKey(s.Session.ID))) + listed; both > 1 || name != "user key" && name != "session key" && both > 0 {
			t.Errorf("%s: %d keys are there after the refresh", name, both)
		}
	}
}

// TestRotationWithoutGrace: once the successor is in use and no grace is left,
// its predecessor is good for nothing, and to refresh with it is reuse.
func TestRotationWithoutGrace(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.start(t, "SESSIONGATE_SESSIONS_GRACE=0s")
	id := newID()
	first := g.open(t, id)
	second := g.refresh(t, first.AccessToken)
	// While the successor is unused its predecessor is still good, grace or not:
	// the answer may have been lost.
	g.alive(t, first.AccessToken)
	if again := g.refresh(t, first.AccessToken); again.AccessToken != second.AccessToken {
		t.Errorf("a lost answer comes back as %+v, want %+v", again, second)
	}
	g.alive(t, second.AccessToken)
	eventually(t, func() error { // the use is written down within a second
		if a := g.do(t, statusCall(first.AccessToken)); a.status != http.StatusUnauthorized {
			return fmt.Errorf("%s, want 401", a)
		}
		return nil
	})
	g.over(t, first.AccessToken, "superseded")
	g.alive(t, second.AccessToken)
	g.do(t, refreshCall(first.AccessToken)).problem(t, http.StatusUnauthorized, "unauthenticated", "refresh_reused")
	g.over(t, second.AccessToken, "logged_out_or_revoked")
	s.logged(t, id, "login", "token_refresh", "token_refresh! refresh_reused", "logout (refresh_reused)")
}
