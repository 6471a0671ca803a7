package handlers_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/internal/config"
)

func TestStatus(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	status := func(token string) answer { return g.do(http.MethodGet, "/sessions/status", token, "") }
	token, sid := g.open("u1")
	a := g.want(status(token), http.StatusOK)
	want := []string{"absolute_expires_in", "active", "expires_in", "refresh_after", "server_time", "session"}
	if got := slices.Sorted(maps.Keys(a.body)); !slices.Equal(got, want) {
		t.Errorf("members %v, want %v", got, want)
	}
	if left := g.number(a, "expires_in"); a.body["active"] != true || left < 1740 || left > 1800 {
		t.Errorf("%s", a.raw)
	}
	if s := a.session(); s["id"] != sid || s["current"] != true || s["device_info"] != "a device" || s["ip_address"] != "203.0.113.7" {
		t.Errorf("session %v", s)
	}

	expired := g.read(token)
	expired.ExpiresAt = expired.IssuedAt.Add(-time.Minute)
	expired.IssuedAt = expired.ExpiresAt.Add(-time.Minute)
	foreign := token[:len(token)-4] + "AAAA"
	g.wantProblem(status(g.sign(expired)), 401, "unauthenticated", "expired")
	g.wantProblem(status(foreign), 401, "unauthenticated", "invalid")
	g.wantProblem(status(strings.Repeat(".", 8000)), 401, "unauthenticated", "invalid")
	g.wantProblem(status(""), 401, "unauthenticated", "")
	g.wantProblem(g.do(http.MethodGet, "/sessions/status?access_token="+token, "", ""), 401, "unauthenticated", "")

	// The keys are the contract: what redis-cli does counts at once.
	byUser, _ := g.open("u2")
	g.redis.Del(t.Context(), "sg:{0}:user:u2")
	g.wantProblem(status(byUser), 401, "unauthenticated", "logged_out_or_revoked")
	bySession, sid := g.open("u2")
	g.redis.Del(t.Context(), "sg:{0}:session:"+sid)
	g.wantProblem(status(bySession), 401, "unauthenticated", "logged_out_or_revoked")
}

func TestRefresh(t *testing.T) {
	t.Parallel()
	g := start(t, func(c *config.Config) { c.Sessions.Grace = 0 })
	refresh := func(token string) answer { return g.do(http.MethodPost, "/sessions/refresh", token, "") }
	status := func(token string) answer { return g.do(http.MethodGet, "/sessions/status", token, "") }
	first, sid := g.open("u1")

	a := g.want(refresh(first), http.StatusOK)
	g.wantGrant(a, "u1", "shop")
	second := a.text("access_token")
	if second == first || a.session()["id"] != sid || a.session()["device_info"] != "a device" {
		t.Errorf("refreshed to %s", a.raw)
	}
	// The answer was lost: the same successor, as often as it takes.
	again := g.want(refresh(first), http.StatusOK)
	if again.text("access_token") != second {
		t.Error("a lost answer's retry gets another token")
	}
	if left := g.number(again, "expires_in"); left > 1800 || left < 1740 {
		t.Errorf("expires_in is %d", left)
	}
	g.want(status(second), http.StatusOK) // the successor is in use now, and with the next second all gateways know
	g.eventually("the use of the successor", func() bool { return status(first).status == 401 })
	g.wantProblem(status(first), 401, "unauthenticated", "superseded")
	g.wantProblem(refresh(first), 401, "unauthenticated", "refresh_reused")
	g.wantProblem(refresh(second), 401, "unauthenticated", "logged_out_or_revoked")
	g.wantProblem(status(second), 401, "unauthenticated", "logged_out_or_revoked")

	witness, _ := g.open("u1")
	rows := g.logs(witness, 5)
	var got []string
	for _, r := range rows {
		got = append(got, fmt.Sprintf("%v %v %v", r["action"], r["success"], r["error_message"]))
	}
	slices.Sort(got)
	want := []string{"login true <nil>", "login true <nil>", "logout true <nil>", "token_refresh false refresh_reused", "token_refresh true <nil>"}
	if !slices.Equal(got, want) {
		t.Errorf("the log has %q, want %q", got, want)
	}

	g.wantProblem(g.do(http.MethodPost, "/sessions/refresh", witness, `{"refresh_token":"x"}`), 400, "invalid_request", "")
	g.want(g.do(http.MethodPost, "/sessions/refresh", witness, `{}`), http.StatusOK)
	g.wantProblem(refresh("x"), 401, "unauthenticated", "invalid")
	g.wantProblem(refresh(""), 401, "unauthenticated", "")
}

func TestRefreshTogether(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	token, _ := g.open("u1")
	got := make([]answer, 20)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() { got[i] = g.do(http.MethodPost, "/sessions/refresh", token, "") })
	}
	wg.Wait()
	for _, a := range got {
		if a.status != http.StatusOK || a.text("access_token") != got[0].text("access_token") {
			t.Fatalf("%d %s, want the successor %s", a.status, a.raw, got[0].raw)
		}
	}
	g.logs(got[0].text("access_token"), 2) // the login and one refresh
}

func TestLogout(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	logout := func(token, body string) answer { return g.do(http.MethodPost, "/sessions/logout", token, body) }
	witness, _ := g.open("u1")
	token, sid := g.open("u1")
	for range 3 { // idempotent
		if a := g.want(logout(token, `{"reason":"sold\u0000 the phone"}`), http.StatusNoContent); a.raw != "" {
			t.Errorf("body %q", a.raw)
		}
	}
	g.wantProblem(g.do(http.MethodGet, "/sessions/status", token, ""), 401, "unauthenticated", "logged_out_or_revoked")
	g.want(g.do(http.MethodGet, "/sessions/status", witness, ""), http.StatusOK)
	row := g.logs(witness, 3)[0]
	if row["action"] != "logout" || row["session_id"] != sid || row["success"] != true {
		t.Errorf("logged as %v", row)
	}

	old, _ := g.open("u2")
	current := g.want(g.do(http.MethodPost, "/sessions/refresh", old, ""), http.StatusOK).text("access_token")
	g.want(logout(old, ""), http.StatusNoContent)
	g.wantProblem(g.do(http.MethodGet, "/sessions/status", current, ""), 401, "unauthenticated", "logged_out_or_revoked")

	expired := g.read(witness)
	expired.ExpiresAt = expired.IssuedAt.Add(-time.Minute)
	expired.IssuedAt = expired.ExpiresAt.Add(-time.Minute)
	g.wantProblem(logout(g.sign(expired), ""), 401, "unauthenticated", "expired")
	g.wantProblem(logout("x", ""), 401, "unauthenticated", "invalid")
	g.wantProblem(logout("", ""), 401, "unauthenticated", "")
	g.wantProblem(logout(witness, `{"reason":1}`), 400, "invalid_request", "")
	g.wantProblem(logout(witness, `{"scope":"others"}`), 400, "invalid_request", "")
	g.want(g.do(http.MethodGet, "/sessions/status", witness, ""), http.StatusOK)
}

func TestLogoutAll(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	all := func(token, body string) answer { return g.do(http.MethodPost, "/sessions/logout-all", token, body) }
	first, _ := g.open("u1")
	second, _ := g.open("u1")
	other, _ := g.open("u2")

	a := g.want(all(first, `{"except_current":true,"reason":"lost a phone"}`), http.StatusOK)
	if g.number(a, "revoked") != 1 || g.moment(a.body["effective_at"]).IsZero() || len(a.body) != 2 {
		t.Errorf("%s", a.raw)
	}
	g.wantProblem(g.do(http.MethodGet, "/sessions/status", second, ""), 401, "unauthenticated", "logged_out_or_revoked")
	g.want(g.do(http.MethodGet, "/sessions/status", first, ""), http.StatusOK)

	if a := g.want(all(first, ""), http.StatusOK); g.number(a, "revoked") != 1 {
		t.Errorf("%s", a.raw)
	}
	next, _ := g.open("u1")
	g.want(g.do(http.MethodGet, "/sessions/status", next, ""), http.StatusOK)
	g.want(g.do(http.MethodGet, "/sessions/status", other, ""), http.StatusOK)
	g.wantProblem(all(first, ""), 401, "unauthenticated", "logged_out_or_revoked")
	g.wantProblem(all("", ""), 401, "unauthenticated", "")
	g.wantProblem(all(next, `{"except_current":"yes"}`), 400, "invalid_request", "")
	g.want(g.do(http.MethodGet, "/sessions/status", next, ""), http.StatusOK)
}
