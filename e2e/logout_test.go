package e2e

import (
	"net/http"
	"testing"
	"time"
)

func testLogout(t *testing.T, g *gateway) {
	id := newID()
	s, other := g.open(t, id), g.open(t, id)
	c := logoutCall(s.AccessToken)
	c.json = object{"reason": "lost my phone"}
	c.header = http.Header{"User-Agent": {"the one that said goodbye"}}
	if a := g.do(t, c).want(t, http.StatusNoContent); a.body != "" || a.header.Get("Content-Type") != "" {
		t.Errorf("%s: a body with 204", a)
	}
	// At once, everywhere.
	for _, c := range []call{
		statusCall(s.AccessToken), refreshCall(s.AccessToken), logoutAllCall(s.AccessToken),
		get("/sessions/my-sessions", s.AccessToken), get("/sessions/my-session-logs", s.AccessToken),
		{method: "DELETE", path: "/sessions/my-sessions/" + other.Session.ID, token: s.AccessToken},
	} {
		g.do(t, c).problem(t, http.StatusUnauthorized, "unauthenticated", "logged_out_or_revoked")
	}
	g.inactive(t, s.AccessToken)
	g.alive(t, other.AccessToken)
	for range 3 {
		g.do(t, logoutCall(s.AccessToken)).want(t, http.StatusNoContent)
	}
	rows := g.stack.logged(t, id, "login", "login", "logout (lost my phone)")
	r := one(t, rows, "logout (lost my phone)")
	if r.sid != s.Session.ID || r.userAgent != "the one that said goodbye" || r.ip != "127.0.0.1" || r.token != fingerprint(r.sid) {
		t.Errorf("row is %+v", r)
	}
	const ended = "SELECT NOT is_active AND end_reason = 'logout' AND ended_at = $2 FROM user_sessions WHERE id = $1"
	if !scalar[bool](t, g.stack, ended, r.sid, r.at) {
		t.Error("user_sessions does not say that the session ended, when and why")
	}

	// Without a reason, and with a token that a refresh has replaced.
	g.refresh(t, other.AccessToken)
	g.do(t, logoutCall(other.AccessToken)).want(t, http.StatusNoContent)
	g.stack.logged(t, id, "login", "login", "token_refresh", "logout (lost my phone)", "logout (logout)")

	g.do(t, logoutCall("")).problem(t, http.StatusUnauthorized, "unauthenticated", "")
	g.do(t, logoutCall("garbage")).problem(t, http.StatusUnauthorized, "unauthenticated", "invalid")
	for _, body := range []object{{"reason": 1}, {"why": "x"}} {
		c := logoutCall(s.AccessToken)
		c.json = body
		g.do(t, c).problem(t, http.StatusBadRequest, "invalid_request", "")
	}
}

// revoked is the answer of logout-all.
type revoked struct {
	Revoked     int   `json:"revoked"`
	EffectiveAt stamp `json:"effective_at"`
}

func testLogoutAll(t *testing.T, g *gateway) {
	u := g.stack.user(t)
	phone, tablet, laptop := g.login(t, u), g.open(t, u.id), g.open(t, u.id)
	stranger := g.open(t, newID())

	c := logoutAllCall(laptop.AccessToken)
	c.json = object{"except_current": true}
	got := decode[revoked](t, g.do(t, c), http.StatusOK)
	if d := time.Since(got.EffectiveAt.Time).Abs(); got.Revoked != 2 || d > patience {
		t.Errorf("%+v, want 2, now", got)
	}
	g.over(t, phone.AccessToken, "logged_out_or_revoked")
	g.over(t, tablet.AccessToken, "logged_out_or_revoked")
	g.alive(t, laptop.AccessToken)
	if got := decode[revoked](t, g.do(t, c), http.StatusOK); got.Revoked != 0 {
		t.Errorf("%+v, want 0: there is nothing left but the current one", got)
	}

	c.json = object{"reason": "spring cleaning", "except_current": false}
	if got := decode[revoked](t, g.do(t, c), http.StatusOK); got.Revoked != 1 {
		t.Errorf("%+v, want 1", got)
	}
	again := g.login(t, u) // right after it
	g.over(t, laptop.AccessToken, "logged_out_or_revoked")
	g.alive(t, again.AccessToken)
	g.alive(t, stranger.AccessToken)
	g.do(t, c).problem(t, http.StatusUnauthorized, "unauthenticated", "logged_out_or_revoked")

	g.stack.logged(t, u.id, "login", "login", "login", "login", "logout (logout_all)", "logout (logout_all)", "logout (spring cleaning)")
	const reasons = "SELECT count(*) FROM user_sessions WHERE user_id = $1 AND end_reason = 'logout_all'"
	if n := scalar[int](t, g.stack, reasons, u.id); n != 3 {
		t.Errorf("%d sessions ended by logout_all, want 3", n)
	}
	g.do(t, logoutAllCall("")).problem(t, http.StatusUnauthorized, "unauthenticated", "")
	odd := logoutAllCall(again.AccessToken)
	odd.json = object{"except_current": "yes"}
	g.do(t, odd).problem(t, http.StatusBadRequest, "invalid_request", "")
	g.alive(t, again.AccessToken)
}
