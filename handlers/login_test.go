package handlers_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/internal/config"
)

// wantGrant checks an answer that hands out a session.
func (g *gateway) wantGrant(a answer, userID, clientID string) {
	g.t.Helper()
	wantKeys := []string{"absolute_expires_in", "access_token", "expires_in", "refresh_after", "server_time", "session", "token_type"}
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
		"user_agent":"Mozilla/5.0\u0007","scope":"read write:all","amr":["pwd","otp"],
		"username":"ana@example.com","roles":["admin","billing:read"]}`), http.StatusCreated)
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
	if tok := g.read(a.text("access_token")); tok.Scope != "read write:all" || fmt.Sprint(tok.AMR) != "[pwd otp]" ||
		tok.Username != "ana@example.com" || fmt.Sprint(tok.Roles) != "[admin billing:read]" {
		t.Errorf("token %+v", tok)
	}
	next := g.want(g.do(http.MethodPost, "/sessions/refresh", a.text("access_token"), ""), http.StatusOK)
	if tok := g.read(next.text("access_token")); tok.Generation != 1 || tok.Username != "ana@example.com" ||
		fmt.Sprint(tok.Roles) != "[admin billing:read]" {
		t.Errorf("token after a refresh %+v", tok)
	}
	row := g.logs(next.text("access_token"), 2)[1]
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
		`{"user_id":"` + strings.Repeat("é", 128) + `"}`:                "user_id must be at most 255 bytes, is 256",
		`{"user_id":"4","ip_address":"1.2.3"}`:                          "ip_address must be an IPv4 or IPv6 address",
		`{"user_id":"4","scope":"a  b"}`:                                "scope must be scope tokens with one space between them (RFC 6749 section 3.3)",
		`{"user_id":"4","scope":"a\"b"}`:                                "scope must be scope tokens with one space between them (RFC 6749 section 3.3)",
		`{"user_id":"4","scope":"` + strings.Repeat("x", 513) + `"}`:    "scope must be at most 512 bytes",
		`{"user_id":"4","amr":["a b"]}`:                                 "amr must hold names of 1 to 32 letters, digits, '.', '_' and '-'",
		`{"user_id":"4","amr":[""]}`:                                    "amr must hold names of 1 to 32 letters, digits, '.', '_' and '-'",
		`{"user_id":"4","username":"a\nb"}`:                             "username must not contain control characters",
		`{"user_id":"4","username":7}`:                                  "username must be a string",
		`{"user_id":"4","username":"` + strings.Repeat("a", 321) + `"}`: "username must be at most 320 bytes, is 321",
		`{"user_id":"4","roles":"admin"}`:                               "roles must be an array of strings",
		`{"user_id":"4","roles":["a,b"]}`:                               "roles must have 1 to 64 letters, digits, '.', '_', ':', '/', '@', '+' and '-' each",
		`{"user_id":"4","client_id":"x"}`:                               "client_id is not a field of this request",
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
