package handlers_test

import (
	"encoding/json"
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

// wantGrant checks an answer that hands out a session.
func (g *gateway) wantGrant(a answer, userID, clientID string) {
	g.t.Helper()
	wantKeys := []string{"access_token", "expires_in", "refresh_after", "server_time", "session", "token_type"}
	if got := slices.Sorted(maps.Keys(a.body)); !slices.Equal(got, wantKeys) {
		g.t.Errorf("members %v, want %v", got, wantKeys)
	}
	if a.body["token_type"] != "Bearer" || g.number(a, "expires_in") != 1800 {
		g.t.Errorf("%s", a.raw)
	}
	if after := g.number(a, "refresh_after"); after < 1424 || after > 1500 {
		g.t.Errorf("refresh_after is %d, want 25 min or up to 5 %% less", after)
	}
	if d := time.Since(g.moment(a.body["server_time"])); d < -time.Minute || d > time.Minute {
		g.t.Errorf("server_time is %v", a.body["server_time"])
	}
	s, t := a.session(), g.read(a.text("access_token"))
	if s["id"] != string(t.SessionID) || s["user_id"] != userID || t.UserID != userID || s["current"] != true ||
		s["is_active"] != true || s["client_id"] != clientID || t.ClientID != clientID {
		g.t.Errorf("session %v, token %+v", s, t)
	}
	if !g.moment(s["expires_at"]).Equal(t.ExpiresAt) || g.moment(s["absolute_expires_at"]).IsZero() {
		g.t.Errorf("session %v, token until %v", s, t.ExpiresAt)
	}
}

func TestLogin(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	ana := g.addUser("ana@example.com")
	bob := g.addUser("bob@example.com")
	if err := g.postgres.SetDisabled(t.Context(), bob, true); err != nil {
		t.Fatal(err)
	}

	good := g.want(g.login(" Ana@Example.com ", password), http.StatusCreated)
	g.wantGrant(good, ana, "sessiongate")
	s := good.session()
	for name, want := range map[string]any{
		"device_info": "Ana's iPhone (ios)", "device_id": "d1", "platform": "ios", "ip_address": "127.0.0.1",
		"user_agent": "App/1.0 (test)", "scope": "",
	} {
		if s[name] != want {
			t.Errorf("%s is %v, want %v", name, s[name], want)
		}
	}
	if amr := fmt.Sprint(s["amr"]); amr != "[pwd]" {
		t.Errorf("amr is %s", amr)
	}

	wrong, unknown, disabled := g.login("ana@example.com", "x"), g.login("nobody@example.com", password), g.login("bob@example.com", password)
	for _, a := range []answer{wrong, unknown, disabled} {
		g.wantProblem(a, http.StatusUnauthorized, "invalid_credentials", "")
		delete(a.body, "request_id")
		if fmt.Sprint(a.body) != fmt.Sprint(wrong.body) || strings.Contains(a.header.Get("WWW-Authenticate"), "error") {
			t.Errorf("%v %v differs from %v", a.body, a.header, wrong.body)
		}
	}
	rows := g.logs(good.text("access_token"), 2) // her own: the success and the wrong password
	if rows[0]["success"] != false || rows[0]["error_message"] != "wrong password" || rows[0]["action"] != "login" {
		t.Errorf("the failure is logged as %v", rows[0])
	}
	if rows[1]["success"] != true || rows[1]["session_id"] != s["id"] || rows[1]["device_info"] != "Ana's iPhone (ios)" {
		t.Errorf("the login is logged as %v", rows[1])
	}
}

func TestLoginRefusesBadRequests(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	for body, detail := range map[string]string{
		`{"identifier":"a"}`:                                 "password must not be empty",
		`{"password":"a"}`:                                   "identifier must not be empty",
		`{"identifier":1,"password":"a"}`:                    "identifier must be a string",
		`{"identifier":"a","password":"b","x":1}`:            "x is not a field of this request",
		`{"identifier":"a","password":"b"`:                   "the body is not valid JSON, at byte 32",
		`["a"]`:                                              "the body must be an object",
		`{"identifier":"a","password":"\ud800"}`:             "password must not contain half of a surrogate pair",
		`{"identifier":"a","password":"b","device_info":[]}`: "device_info must be a string or an object with name, platform and id",
	} {
		a := g.do(http.MethodPost, "/sessions/login", "", body)
		if g.wantProblem(a, http.StatusBadRequest, "invalid_request", ""); a.body["detail"] != detail {
			t.Errorf("%s: %v, want %s", body, a.body["detail"], detail)
		}
	}
	long := `{"identifier":"` + strings.Repeat("x", 64<<10) + `"}`
	g.wantProblem(g.do(http.MethodPost, "/sessions/login", "", long), http.StatusRequestEntityTooLarge, "body_too_large", "")
	g.wantProblem(g.asClient("", "", "/sessions/login", "text/plain", "{}"), http.StatusUnsupportedMediaType, "unsupported_media_type", "")
	// What nobody can be called is somebody who isn't there.
	for _, name := range []string{"\x00", "a\nb", strings.Repeat("x", 2000), "' OR 1=1 --"} {
		g.wantProblem(g.login(name, password), http.StatusUnauthorized, "invalid_credentials", "")
	}
}

func TestBackend(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	create := func(body string) answer {
		return g.asClient("shop", clientSecret, "/sessions", "application/json", body)
	}
	a := g.want(create(`{"user_id":"42/ü {x}","device_info":{"name":"Firefox","platform":"linux"},"ip_address":"::ffff:203.0.113.7",
		"user_agent":"Mozilla/5.0\u0007","scope":"read write:all","amr":["pwd","otp"]}`), http.StatusCreated)
	g.wantGrant(a, "42/ü {x}", "shop")
	s := a.session()
	for name, want := range map[string]any{
		"device_info": "Firefox (linux)", "platform": "linux", "ip_address": "203.0.113.7", "user_agent": "Mozilla/5.0",
		"scope": "read write:all",
	} {
		if s[name] != want {
			t.Errorf("%s is %v, want %v", name, s[name], want)
		}
	}
	if tok := g.read(a.text("access_token")); tok.Scope != "read write:all" || fmt.Sprint(tok.AMR) != "[pwd otp]" {
		t.Errorf("token %+v", tok)
	}
	row := g.logs(a.text("access_token"), 1)[0]
	if row["ip_address"] != "203.0.113.7" || row["user_agent"] != "Mozilla/5.0" || row["action"] != "login" || row["success"] != true {
		t.Errorf("logged as %v", row)
	}

	bare := g.want(create(`{"user_id":"43"}`), http.StatusCreated)
	if s := bare.session(); s["device_info"] != "" || s["ip_address"] != "" || s["user_agent"] != "" || fmt.Sprint(s["amr"]) != "[]" {
		t.Errorf("session %v", s)
	}
}

func TestBackendRefuses(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	for body, detail := range map[string]string{
		`{}`:                     "user_id must not be empty",
		`{"user_id":""}`:         "user_id must not be empty",
		`{"user_id":" 42"}`:      "user_id must not begin or end with a space",
		`{"user_id":"4\u00002"}`: "user_id must not contain control characters",
		`{"user_id":42}`:         "user_id must be a string",
		`{"user_id":"\udfff"}`:   "user_id must not contain half of a surrogate pair",
		`{"user_id":"` + strings.Repeat("é", 128) + `"}`:             "user_id must be at most 255 bytes, is 256",
		`{"user_id":"4","ip_address":"1.2.3"}`:                       "ip_address must be an IPv4 or IPv6 address",
		`{"user_id":"4","scope":"a  b"}`:                             "scope must be scope tokens with one space between them (RFC 6749 section 3.3)",
		`{"user_id":"4","scope":"a\"b"}`:                             "scope must be scope tokens with one space between them (RFC 6749 section 3.3)",
		`{"user_id":"4","scope":"` + strings.Repeat("x", 513) + `"}`: "scope must be at most 512 bytes",
		`{"user_id":"4","amr":["a b"]}`:                              "amr must hold names of 1 to 32 letters, digits, '.', '_' and '-'",
		`{"user_id":"4","amr":[""]}`:                                 "amr must hold names of 1 to 32 letters, digits, '.', '_' and '-'",
		`{"user_id":"4","client_id":"x"}`:                            "client_id is not a field of this request",
	} {
		a := g.asClient("shop", clientSecret, "/sessions", "application/json", body)
		if g.wantProblem(a, http.StatusBadRequest, "invalid_request", ""); a.body["detail"] != detail {
			t.Errorf("%.60s: %v, want %s", body, a.body["detail"], detail)
		}
	}
	body := `{"user_id":"4"}`
	g.wantProblem(g.asClient("", "", "/sessions", "application/json", body), 401, "invalid_client", "")
	g.wantProblem(g.asClient("shop", "wrong", "/sessions", "application/json", body), 401, "invalid_client", "")
	g.wantProblem(g.asClient("api gateway", clientSecret, "/sessions", "application/json", body), 403, "forbidden", "")
	g.wantProblem(g.asClient("shop", clientSecret, "/sessions", "text/plain", body), 415, "unsupported_media_type", "")
}

func TestBackendEvictsTheOldest(t *testing.T) {
	t.Parallel()
	g := start(t, func(c *config.Config) { c.Sessions.MaxPerUser = 2 })
	first, _ := g.open("u1")
	second, _ := g.open("u1")
	third, _ := g.open("u1")
	g.wantProblem(g.do(http.MethodGet, "/sessions/status", first, ""), 401, "unauthenticated", "logged_out_or_revoked")
	for _, token := range []string{second, third} {
		g.want(g.do(http.MethodGet, "/sessions/status", token, ""), 200)
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	status := func(token string) answer { return g.do(http.MethodGet, "/sessions/status", token, "") }
	token, sid := g.open("u1")
	a := g.want(status(token), http.StatusOK)
	want := []string{"active", "expires_in", "refresh_after", "server_time", "session"}
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

func TestMySessions(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	list := func(token, query string) answer {
		return g.do(http.MethodGet, "/sessions/my-sessions"+query, token, "")
	}
	var live []string
	var token string
	for range 5 {
		var sid string
		token, sid = g.open("u1")
		live = append([]string{sid}, live...)
	}
	g.open("u2")
	var gone []string
	for range 3 {
		_, sid := g.open("u1")
		gone = append([]string{sid}, gone...)
		g.want(g.do(http.MethodDelete, "/sessions/my-sessions/"+sid, token, ""), http.StatusNoContent)
	}
	g.eventually("the ended sessions", func() bool { return len(list(token, "?state=ended").list("sessions")) == 3 })

	if a := list(token, ""); a.body["next_cursor"] != nil || strings.Contains(a.raw, "eyJ") || strings.Contains(a.raw, "token") {
		t.Errorf("%s", a.raw)
	}
	tests := []struct {
		query string
		limit int
		want  []string
	}{
		{"?", 50, live},
		{"?state=active", 2, live},
		{"?state=ended", 50, gone},
		{"?state=ended", 1, gone},
		{"?state=all", 50, append(slices.Clone(live), gone...)},
		{"?state=all", 1, append(slices.Clone(live), gone...)},
		{"?state=all", 4, append(slices.Clone(live), gone...)},
		{"?state=all", 5, append(slices.Clone(live), gone...)},
		{"?state=all", 8, append(slices.Clone(live), gone...)},
	}
	for _, tt := range tests {
		query := fmt.Sprintf("%s&limit=%d", tt.query, tt.limit)
		var got []string
		var pages int
		for cursor := ""; ; pages++ {
			a := g.want(list(token, query+cursor), http.StatusOK)
			page := a.list("sessions")
			if len(page) > tt.limit || len(page) == 0 {
				t.Fatalf("%s: a page of %d", query, len(page))
			}
			for _, s := range page {
				id := s["id"].(string)
				got = append(got, id)
				if s["current"] != (id == live[0]) || s["is_active"] != slices.Contains(live, id) || s["user_id"] != "u1" {
					t.Errorf("%s: %v", query, s)
				}
				if slices.Contains(gone, id) && (s["end_reason"] != "revoked" || g.moment(s["ended_at"]).IsZero() || s["device_info"] != "a device") {
					t.Errorf("%s: %v", query, s)
				}
			}
			next, more := a.body["next_cursor"].(string)
			if !more {
				break
			}
			cursor = "&cursor=" + next
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", query, got, tt.want)
		}
	}
	for query, field := range map[string]string{
		"?state=x": "state", "?limit=0": "limit", "?limit=201": "limit", "?limit=1e9": "limit", "?limit=-1": "limit",
		"?limit=a": "limit", "?limit=01": "limit", "?limit=1&limit=2": "limit", "?cursor=x": "cursor", "?%zz": "the query",
	} {
		a := list(token, query)
		g.wantProblem(a, 400, "invalid_request", "")
		if detail := a.text("detail"); !strings.HasPrefix(detail, field+" ") {
			t.Errorf("%s: %s", query, detail)
		}
	}
	foreign := g.want(list(token, "?limit=1"), 200).text("next_cursor")
	g.wantProblem(list(token, "?state=ended&cursor="+foreign), 400, "invalid_request", "")
	g.want(list(token, "?utm_source=x"), http.StatusOK)
	g.wantProblem(list("", ""), 401, "unauthenticated", "")
}

func TestRevokeOwn(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	revoke := func(token, sid string) answer {
		return g.do(http.MethodDelete, "/sessions/my-sessions/"+sid, token, "")
	}
	token, own := g.open("u1")
	second, sid := g.open("u1")
	_, foreign := g.open("u2")

	g.wantProblem(revoke(token, foreign), 404, "not_found", "")
	g.wantProblem(revoke(token, "x"), 404, "not_found", "")
	g.wantProblem(revoke(token, strings.ToUpper(sid)), 404, "not_found", "")
	g.wantProblem(revoke(token, "%2e%2e%2fstatus"), 404, "not_found", "")
	g.wantProblem(revoke("", sid), 401, "unauthenticated", "")
	g.want(revoke(token, sid), http.StatusNoContent)
	g.wantProblem(revoke(token, sid), 404, "not_found", "")
	g.wantProblem(g.do(http.MethodGet, "/sessions/status", second, ""), 401, "unauthenticated", "logged_out_or_revoked")
	if row := g.logs(token, 3)[0]; row["action"] != "logout" || row["reason"] != "revoked" || row["session_id"] != sid {
		t.Errorf("logged as %v", row)
	}
	g.want(revoke(token, own), http.StatusNoContent) // this very one
	g.wantProblem(revoke(token, own), 401, "unauthenticated", "logged_out_or_revoked")
}

func TestMyLogs(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	list := func(token, query string) answer {
		return g.do(http.MethodGet, "/sessions/my-session-logs"+query, token, "")
	}
	token, sid := g.open("u1")
	g.open("u2")
	for range 4 {
		token = g.want(g.do(http.MethodPost, "/sessions/refresh", token, ""), http.StatusOK).text("access_token")
	}
	rows := g.logs(token, 5)
	for i, r := range rows {
		if r["user_id"] != "u1" || r["session_id"] != sid || r["success"] != true {
			t.Errorf("%v", r)
		}
		if i > 0 && g.moment(r["created_at"]).After(g.moment(rows[i-1]["created_at"])) {
			t.Errorf("%v comes after %v", r, rows[i-1])
		}
		for _, name := range []string{"error_message", "country", "reason", "session_token"} {
			if _, ok := r[name]; ok {
				t.Errorf("%s: %v", name, r[name])
			}
		}
	}

	var paged []map[string]any
	for cursor, more := "", true; more; {
		a := g.want(list(token, "?limit=2"+cursor), http.StatusOK)
		paged = append(paged, a.list("logs")...)
		var next string
		if next, more = a.body["next_cursor"].(string); more {
			// A row that arrives now does not move the next page.
			token = g.want(g.do(http.MethodPost, "/sessions/refresh", token, ""), http.StatusOK).text("access_token")
		}
		cursor = "&cursor=" + next
	}
	if fmt.Sprint(paged) != fmt.Sprint(rows) {
		t.Errorf("in pages: %v, want %v", paged, rows)
	}

	oldest, newest := rows[4]["created_at"].(string), rows[0]["created_at"].(string)
	for query, want := range map[string]int{
		"?action=login":                     1,
		"?action=session_expired":           0,
		"?session_id=" + sid:                5,
		"?session_id=" + sid[:35] + "0":     0,
		"?to=" + newest:                     4,
		"?from=2000-01-01T00:00:00Z":        5,
		"?from=" + oldest + "&to=" + newest: 4,
		"?to=" + oldest:                     0,
		"?from=9999-01-01T00:00:00%2B01:00": 0,
	} {
		if strings.HasSuffix(query, "0") && sid[35:] == "0" {
			continue
		}
		a := g.want(list(token, query+"&limit=5"), http.StatusOK)
		// Refreshes of the paging above may have come in, all newer than newest.
		if got := len(a.list("logs")); got != want {
			t.Errorf("%s: %d rows, want %d", query, got, want)
		}
	}
	for query, field := range map[string]string{
		"?action=x": "action", "?session_id=x": "session_id", "?from=yesterday": "from", "?to=2026-01-01": "to",
		"?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z": "to", "?limit=x": "limit", "?cursor=bA": "cursor",
	} {
		a := list(token, query)
		g.wantProblem(a, 400, "invalid_request", "")
		if detail := a.text("detail"); !strings.HasPrefix(detail, field+" ") {
			t.Errorf("%s: %s", query, detail)
		}
	}
	g.wantProblem(list("", ""), 401, "unauthenticated", "")
}

func TestAnswersAreJSONThatOthersRead(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	device := "\"\\/<script>&\u2028 é 😀"
	body, _ := json.Marshal(map[string]string{"user_id": "u\"1", "device_info": device})
	a := g.want(g.asClient("shop", clientSecret, "/sessions", "application/json", string(body)), http.StatusCreated)
	want := strings.ReplaceAll(device, "\u2028", "") // breaks lines
	if got := a.session()["device_info"]; got != want || a.session()["user_id"] != `u"1` {
		t.Errorf("%q, want %q", got, want)
	}
}
