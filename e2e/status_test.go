package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// status is the answer of GET /sessions/status.
type status struct {
	Active       bool  `json:"active"`
	ExpiresIn    int   `json:"expires_in"`
	RefreshAfter int   `json:"refresh_after"`
	ServerTime   stamp `json:"server_time"`
	Session      sess  `json:"session"`

	IdleExpiresIn     *int `json:"idle_expires_in"`
	AbsoluteExpiresIn *int `json:"absolute_expires_in"`
}

func testStatus(t *testing.T, g *gateway) {
	granted := g.login(t, g.stack.user(t))
	key := sessionKey(granted.Session.ID)
	deadline := must(t, g.stack.redis.PExpireTime(t.Context(), key))
	a := g.do(t, statusCall(granted.AccessToken))
	got := decode[status](t, a, http.StatusOK)
	if !got.Active || got.ExpiresIn > 1800 || got.ExpiresIn < 1700 || got.RefreshAfter >= got.ExpiresIn || got.RefreshAfter < 1000 {
		t.Errorf("%s", a)
	}
	want := granted.Session
	if got.Session.ID != want.ID || got.Session.ExpiresAt != want.ExpiresAt || got.Session.UserAgent != want.UserAgent ||
		got.Session.DeviceInfo != want.DeviceInfo || !got.Session.Current {
		t.Errorf("session is %+v, at login it was %+v", got.Session, want)
	}
	if what := betrays(a.body); what != "" {
		t.Errorf("%s holds %s", a, what)
	}
	// Asking moves no deadline and is no event.
	if after := must(t, g.stack.redis.PExpireTime(t.Context(), key)); after != deadline {
		t.Errorf("the deadline was %v and is %v", deadline, after)
	}
	g.stack.flushed(t)
	g.stack.logged(t, want.UserID, "login")
	g.do(t, call{method: "HEAD", path: "/sessions/status", token: granted.AccessToken}).want(t, http.StatusOK)
}

func testStatusRefused(t *testing.T, g *gateway) {
	live, ended := g.open(t, newID()), g.open(t, newID())
	g.do(t, logoutCall(ended.AccessToken)).want(t, http.StatusNoContent)
	const noCode, invalid = `Bearer realm="sessiongate"`, `error="invalid_token"`
	bearer := func(s string) http.Header { return http.Header{"Authorization": {s}} }
	for _, tt := range []struct {
		name, path    string
		header        http.Header
		reason        string
		challenge     string
		challengeLess string
	}{
		{"no token", "", nil, "", noCode, "error="},
		{"in the query", "?access_token=" + live.AccessToken, nil, "", noCode, "error="},
		{"another scheme", "", bearer("Token " + live.AccessToken), "", noCode, "error="},
		{"an empty token", "", bearer("Bearer "), "", noCode, "error="},
		{"garbage", "", bearer("Bearer garbage"), "invalid", invalid, ""},
		{"ended", "", bearer("Bearer " + ended.AccessToken), "logged_out_or_revoked", invalid, ""},
	} {
		a := g.do(t, call{method: "GET", path: "/sessions/status" + tt.path, header: tt.header})
		a.problem(t, http.StatusUnauthorized, "unauthenticated", tt.reason)
		challenge := a.header.Get("WWW-Authenticate")
		if !strings.Contains(challenge, tt.challenge) || tt.challengeLess != "" && strings.Contains(challenge, tt.challengeLess) {
			t.Errorf("%s: WWW-Authenticate is %q", tt.name, challenge)
		}
	}
	two := http.Header{"Authorization": {"Bearer " + live.AccessToken, "Bearer " + ended.AccessToken}}
	g.do(t, call{method: "GET", path: "/sessions/status", header: two}).problem(t, http.StatusBadRequest, "invalid_request", "")
	g.do(t, call{method: "GET", path: "/sessions/status", header: bearer("bEARER " + live.AccessToken)}).want(t, http.StatusOK)
}

// testActivity: use reaches last_activity, in the list at once and in Postgres
// with the jobs, although asking writes nothing.
func testActivity(t *testing.T, g *gateway) {
	for name, use := range map[string]func(token string) call{"status": statusCall, "introspection": introspectCall} {
		granted := g.open(t, newID())
		began := granted.Session.CreatedAt.Time
		g.stack.logged(t, granted.Session.UserID, "login")
		eventually(t, func() error {
			g.do(t, use(granted.AccessToken)).want(t, http.StatusOK)
			at := scalar[time.Time](t, g.stack, "SELECT last_activity FROM user_sessions WHERE id = $1", granted.Session.ID)
			if !at.After(began) {
				return fmt.Errorf("%s: last_activity is still %v, want it to be later than the login", name, at)
			}
			return nil
		})
		page := decode[sessionPage](t, g.do(t, get("/sessions/my-sessions", granted.AccessToken)), http.StatusOK)
		if len(page.Sessions) != 1 || !page.Sessions[0].LastActivity.After(began) {
			t.Errorf("%s: the list has %+v", name, page.Sessions)
		}
		g.stack.logged(t, granted.Session.UserID, "login")
	}
}
