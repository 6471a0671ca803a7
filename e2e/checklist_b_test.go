package e2e

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

// TestChecklistB holds the lines on the life of sessions that need nothing but a
// gateway with its ordinary settings. Those that need others are TestB… beside what
// they are about.
func TestChecklistB(t *testing.T) {
	t.Parallel()
	g := newStack(t).start(t)
	together(t, g, []shared{
		{"B17 a new session at every login", testB17NewSessionAtEveryLogin},
		{"B18 a login ends the browser's old session", testB18LoginEndsTheBrowsersOldSession},
		{"B21, B22 a logout counts at once and everywhere, and again it is nothing", testLogout},
		{"B23, B32 logout-all ends all before it and none after it, or all but one", testLogoutAll},
		{"B23 a login right after logout-all lives", testB23LoginRightAfter},
		{"B24 what an administrator does with redis-cli", testDeletedKeys},
		{"B26 users see their sessions", testMySessions},
		{"B26 users end their sessions, and no others", testDeleteSession},
		{"B28 nothing comes back", testNothingComesBack},
		{"B29, C34 a refresh moves one deadline, and gives another token", testRefresh},
		{"B30 a look at the status changes nothing", testB30StatusIsReadOnly},
		{"B30 activity is no event", testActivity},
		{"B31 only POST changes anything", testB31OnlyPostChangesAnything},
		{"B33 pages of sessions", testMySessionsPages},
		{"B33 pages of the log", testLogPages},
	})
}

// shared is a line whose test shares its gateway with others.
type shared struct {
	name string
	test func(*testing.T, *gateway)
}

// together runs the lines at the same time.
func together(t *testing.T, g *gateway, lines []shared) {
	t.Helper()
	for _, l := range lines {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			l.test(t, g)
		})
	}
}

// testB23LoginRightAfter: what begins after the answer lives, in the same
// millisecond or not, and what began before it does not.
func testB23LoginRightAfter(t *testing.T, g *gateway) {
	id := newID()
	for range 50 {
		before := g.open(t, id)
		g.do(t, logoutAllCall(before.AccessToken)).want(t, http.StatusOK)
		after := g.open(t, id)
		g.do(t, statusCall(before.AccessToken)).problem(t, http.StatusUnauthorized, "unauthenticated", "logged_out_or_revoked")
		g.do(t, statusCall(after.AccessToken)).want(t, http.StatusOK)
	}
}

// testB30StatusIsReadOnly: it moves no deadline and is no event, however often.
func testB30StatusIsReadOnly(t *testing.T, g *gateway) {
	id := newID()
	s := g.open(t, id)
	deadline := func() time.Duration { return must(t, g.stack.redis.PExpireTime(t.Context(), sessionKey(s.Session.ID))) }
	before := deadline()
	eventually(t, func() error { // into another second, or there is nothing to see
		g.do(t, statusCall(s.AccessToken)).want(t, http.StatusOK)
		if since := time.Since(s.Session.CreatedAt.Time); since < 1500*time.Millisecond {
			return fmt.Errorf("%v after it began", since)
		}
		return nil
	})
	if after := deadline(); after != before {
		t.Errorf("the session's deadline moved from %v to %v", before, after)
	}
	g.stack.flushed(t)
	g.stack.logged(t, id, "login")
}
