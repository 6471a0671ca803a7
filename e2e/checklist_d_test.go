package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/sessiongate/sessiongate/internal/devstack"
	"github.com/sessiongate/sessiongate/internal/testenv"
)

// checklistD is what the lines on OAuth's endpoints share: gateways on stores that
// they may break.
type checklistD struct {
	g        *gateway // with keys that it makes itself
	stack    *stack
	redis    *devstack.Redis
	postgres *devstack.Postgres
}

const issuerD = "https://login.example.com"

func TestChecklistD(t *testing.T) {
	t.Parallel()
	c := checklistD{redis: testenv.OwnRedis(t), postgres: testenv.OwnPostgres(t)}
	c.stack = stackOn(t, c.redis.URL(), c.postgres.URL())
	c.g = c.stack.start(t, "SESSIONGATE_TOKENS_ALGORITHM=ES256", "SESSIONGATE_TOKENS_SECRET=", "SESSIONGATE_TOKENS_KEYS=managed",
		"SESSIONGATE_TOKENS_SEALING_KEY="+sealingKey, "SESSIONGATE_TOKENS_RELOAD=1s", "SESSIONGATE_TOKENS_ISSUER="+issuerD,
		"SESSIONGATE_REDIS_TIMEOUT=1s",
		`SESSIONGATE_FORWARD_AUTH_POLICIES=[{"name":"billing","scopes":["billing:read"]}]`)
	check(t, []line{
		{"D41 introspection is for clients", c.d41},
		{"D42 what is inactive says nothing else", c.d42},
		{"D43 every way to end a session counts everywhere", c.d43},
		{"D44 what is active has its members, and is not kept", c.d44},
		{"D45 revocation, whatever the token", c.d45},
		{"D46 any token of a session ends all of it", c.d46},
		{"D47 errors of bearer tokens", c.d47},
		{"D48 a token in a query is none, and is in no log", c.d48},
		{"D49 metadata", c.d49},
		{"D50 the key set is public, and only that", c.d50},
		{"D51 a key is published, signs, verifies, is over", c.d51},
		{"D52 answers with tokens are not kept", c.d52},
		{"D53 problems are RFC 9457's, and tell nothing of the inside", c.d53},
		{"D45 revocation, Redis away", c.d45Outage}, // the last: it breaks Redis
	})
}

func revokeCall(token string, as client) call {
	return call{path: "/oauth2/revoke", client: &as, form: url.Values{"token": {token}}}
}

func (c checklistD) d41(t *testing.T) {
	token := c.g.open(t, newID()).AccessToken
	form := url.Values{"token": {token}}
	for name, as := range map[string]call{
		"nobody": {}, "a wrong secret": {client: &client{introspector.id, "x"}}, "an unknown client": {client: &client{"x", introspector.secret}},
		"a user": {token: token}, "an empty secret": {client: &client{introspector.id, ""}},
	} {
		as.path, as.form = "/oauth2/introspect", form
		t.Run(name, func(t *testing.T) { c.g.do(t, as).oauth(t, http.StatusUnauthorized, "invalid_client") })
		as.path, as.form, as.json = "/oauth2/introspect/batch", nil, object{"tokens": []string{token}}
		if a := c.g.do(t, as); a.status != http.StatusUnauthorized || a.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: %s, %v, want 401 and WWW-Authenticate", name, a, a.header)
		}
	}
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE"} {
		a := c.g.do(t, call{method: method, path: "/oauth2/introspect?token=" + token, client: &introspector})
		if a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != "POST" {
			t.Errorf("%s, Allow %q, want 405 and POST", a, a.header.Get("Allow"))
		}
	}
	c.g.do(t, call{path: "/oauth2/introspect?token=" + token, client: &introspector, form: url.Values{}}).oauth(t, 400, "invalid_request")
	if !decode[introspection](t, c.g.do(t, introspectCall(token)), http.StatusOK).Active {
		t.Error("inactive for a client that may ask")
	}
}

func (c checklistD) d42(t *testing.T) {
	ended, used, removed := c.g.open(t, newID()), c.g.open(t, newID()), c.g.open(t, newID())
	c.g.do(t, logoutCall(ended.AccessToken)).want(t, http.StatusNoContent)
	c.g.refresh(t, c.g.refresh(t, used.AccessToken).AccessToken)
	must(t, c.stack.redis.Del(t.Context(), userKey(removed.Session.UserID)))
	other := forge(t, object{"alg": "ES256", "kid": "x", "typ": "at+jwt"}, object{"iss": "https://other.example.com"}, func(string) []byte { return make([]byte, 64) })

	var headers http.Header
	for name, token := range map[string]string{
		"garbage": "garbage", "of another issuer": other, "ended": ended.AccessToken, "superseded": used.AccessToken,
		"of a user who was removed": removed.AccessToken, "cut": ended.AccessToken[:40], "long": strings.Repeat("x", 10000),
	} {
		a := c.g.do(t, introspectCall(token)).want(t, http.StatusOK)
		if a.body != `{"active":false}` {
			t.Errorf("%s: %s", name, a)
		}
		for _, own := range []string{"Date", "X-Request-Id"} {
			a.header.Del(own)
		}
		if headers == nil {
			headers = a.header
		}
		if !maps.EqualFunc(headers, a.header, slices.Equal) {
			t.Errorf("%s: headers %v, of another %v", name, a.header, headers)
		}
	}
}

// d43: a session, all of a user's, all there are; there is no layer by client.
func (c checklistD) d43(t *testing.T) {
	ctx := t.Context()
	for _, layer := range []struct {
		name string
		end  func(s grant)
	}{
		{"logout", func(s grant) { c.g.do(t, logoutCall(s.AccessToken)).want(t, http.StatusNoContent) }},
		{"revocation", func(s grant) { c.g.do(t, revokeCall(s.AccessToken, backend)).want(t, http.StatusOK) }},
		{"from my-sessions", func(s grant) {
			by := c.g.open(t, s.Session.UserID)
			c.g.do(t, call{method: "DELETE", path: "/sessions/my-sessions/" + s.Session.ID, token: by.AccessToken}).want(t, http.StatusNoContent)
		}},
		{"its key, by hand", func(s grant) { must(t, c.stack.redis.Del(ctx, sessionKey(s.Session.ID))) }},
		{"its place in the index, by hand", func(s grant) {
			must(t, c.stack.redis.ZRem(ctx, userKey(s.Session.UserID), s.Session.ID))
		}},
		{"logout-all", func(s grant) { c.g.do(t, logoutAllCall(s.AccessToken)).want(t, http.StatusOK) }},
		{"the user's index, by hand", func(s grant) { must(t, c.stack.redis.Del(ctx, userKey(s.Session.UserID))) }},
		{"all of Redis", func(grant) { must(t, c.stack.redis.FlushDB(ctx)) }},
	} {
		t.Run(layer.name, func(t *testing.T) {
			s := c.g.open(t, newID())
			c.g.passes(t, "before", s.AccessToken)
			layer.end(s)
			for _, ask := range []call{statusCall(s.AccessToken), refreshCall(s.AccessToken), get("/forward-auth", s.AccessToken)} {
				c.g.do(t, ask).problem(t, http.StatusUnauthorized, "unauthenticated", "logged_out_or_revoked")
			}
			c.g.inactive(t, s.AccessToken)
			c.g.passes(t, "another user's", c.g.open(t, newID()).AccessToken)
		})
	}
}

func (c checklistD) d44(t *testing.T) {
	granted := decode[grant](t, c.g.do(t, call{path: "/sessions", client: &backend, json: object{"user_id": newID(), "scope": "read"}}), http.StatusCreated)
	a := c.g.do(t, introspectCall(granted.AccessToken))
	var in object
	if err := json.Unmarshal([]byte(a.want(t, http.StatusOK).body), &in); err != nil {
		t.Fatal(err)
	}
	_, claims := parts(t, granted.AccessToken)
	for _, name := range []string{"exp", "iat", "sub", "client_id", "scope", "jti", "iss", "aud", "sid"} {
		if in[name] == nil || fmt.Sprint(in[name]) != fmt.Sprint(claims[name]) {
			t.Errorf("%s is %v, in the token %v", name, in[name], claims[name])
		}
	}
	if in["active"] != true || in["token_type"] != "Bearer" {
		t.Errorf("%s", a)
	}
	if a.header.Get("Cache-Control") != "no-store" || a.header.Get("Pragma") != "no-cache" {
		t.Errorf("headers %v", a.header)
	}
}

func (c checklistD) d45(t *testing.T) {
	token := c.g.open(t, newID()).AccessToken
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		a := c.g.do(t, call{method: method, path: "/oauth2/revoke?token=" + token, client: &backend})
		if a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != "POST" {
			t.Errorf("%s, Allow %q, want 405 and POST", a, a.header.Get("Allow"))
		}
	}
	c.g.do(t, call{path: "/oauth2/revoke", form: url.Values{"token": {token}}}).oauth(t, http.StatusUnauthorized, "invalid_client")
	c.g.do(t, revokeCall("unknown", backend)).want(t, http.StatusOK)
	c.g.do(t, revokeCall(token, awkward)).want(t, http.StatusOK) // another client's: left alone
	c.g.passes(t, "revoked by another client", token)
	for _, hint := range []string{"refresh_token", "access_token", "nonsense", ""} {
		s := c.g.open(t, newID())
		hinted := revokeCall(s.AccessToken, backend)
		hinted.form.Set("token_type_hint", hint)
		c.g.do(t, hinted).want(t, http.StatusOK)
		c.g.over(t, s.AccessToken, "logged_out_or_revoked")
		c.g.do(t, hinted).want(t, http.StatusOK) // again
		c.stack.logged(t, s.Session.UserID, "login", "logout (revoked)")
	}
}

func (c checklistD) d45Outage(t *testing.T) {
	token := c.g.open(t, newID()).AccessToken
	if err := c.redis.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, ask := range []call{revokeCall(token, backend), introspectCall(token)} {
		if err := c.g.do(t, ask).checkOAuthUnavailable(); err != nil { // with Retry-After
			t.Error(err)
		}
	}
	c.g.do(t, revokeCall("unknown", backend)).want(t, http.StatusOK) // nothing to carry out
	a := c.g.do(t, statusCall(token))
	if err := a.checkProblem(http.StatusServiceUnavailable, "store_unavailable", ""); err != nil {
		t.Error(err)
	}
	tellsNothing(t, a)
	if err := c.redis.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.g.recovers(t, token)
}

func (c checklistD) d46(t *testing.T) {
	s := c.g.open(t, newID())
	successor := c.g.refresh(t, s.AccessToken).AccessToken
	c.g.passes(t, "the successor", successor)
	c.g.do(t, revokeCall(s.AccessToken, backend)).want(t, http.StatusOK) // what refreshes is the token before
	c.g.over(t, successor, "logged_out_or_revoked")
	c.g.over(t, s.AccessToken, "logged_out_or_revoked")
}

func (c checklistD) d47(t *testing.T) {
	token := c.g.open(t, newID()).AccessToken
	for _, path := range []string{"/sessions/status", "/sessions/my-sessions", "/forward-auth"} {
		none := c.g.do(t, get(path, "")).want(t, http.StatusUnauthorized).header.Get("WWW-Authenticate")
		if !strings.HasPrefix(none, "Bearer realm=") || strings.Contains(none, "error") {
			t.Errorf("%s without a token: WWW-Authenticate is %q", path, none)
		}
		bad := c.g.do(t, get(path, "x")).want(t, http.StatusUnauthorized).header.Get("WWW-Authenticate")
		if !strings.HasPrefix(bad, "Bearer ") || !strings.Contains(bad, `error="invalid_token"`) {
			t.Errorf("%s with a bad one: WWW-Authenticate is %q", path, bad)
		}
	}
	two := get("/sessions/status", "")
	two.header = http.Header{"Authorization": {"Bearer " + token, "Bearer " + token}}
	c.g.do(t, two).problem(t, http.StatusBadRequest, "invalid_request", "")
	lacking := c.g.do(t, get("/forward-auth/policy/billing", token)).want(t, http.StatusForbidden)
	if got := lacking.header.Get("WWW-Authenticate"); !strings.Contains(got, `error="insufficient_scope"`) {
		t.Errorf("without the scope: WWW-Authenticate is %q", got)
	}
}

func (c checklistD) d48(t *testing.T) {
	token := c.g.open(t, newID()).AccessToken
	for _, path := range []string{"/sessions/status", "/sessions/my-sessions", "/sessions/my-session-logs", "/forward-auth", "/forward-auth/a"} {
		for _, name := range []string{"access_token", "token", "bearer", "jwt"} {
			c.g.do(t, get(path+"?"+name+"="+token, "")).want(t, http.StatusUnauthorized)
		}
	}
	for _, path := range []string{"/sessions/refresh", "/sessions/logout", "/sessions/logout-all"} {
		c.g.do(t, call{path: path + "?access_token=" + token}).want(t, http.StatusUnauthorized)
		form := call{path: path, form: url.Values{"access_token": {token}}} // RFC 6750 §2.2, which we don't take either
		c.g.do(t, form).want(t, http.StatusUnauthorized)
	}
	c.g.do(t, get("/"+token, "")).want(t, http.StatusNotFound)
	c.g.passes(t, "the token itself", token)
	c.stack.search(t) // Redis, Postgres and the log, of all that this test has done so far
}

func (c checklistD) d49(t *testing.T) {
	var texts []string
	for _, path := range []string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"} {
		a := c.g.do(t, call{method: "GET", path: path})
		m := decode[object](t, a, http.StatusOK)
		texts = append(texts, a.body)
		_, claims := parts(t, c.g.open(t, newID()).AccessToken)
		if m["issuer"] != issuerD || m["issuer"] != claims["iss"] {
			t.Errorf("issuer is %v, iss %v, want %s", m["issuer"], claims["iss"], issuerD)
		}
		for name, v := range m {
			if list, ok := v.([]any); ok && len(list) == 0 {
				t.Errorf("%s is empty", name)
			}
		}
		for name, method := range map[string]string{
			"introspection_endpoint": "POST", "revocation_endpoint": "POST", "jwks_uri": "GET", "session_status_endpoint": "GET",
			"session_refresh_endpoint": "POST", "revocation_feed_endpoint": "GET",
		} {
			address, _ := m[name].(string)
			path, ours := strings.CutPrefix(address, issuerD)
			if !ours || strings.ContainsAny(path, "?#") {
				t.Errorf("%s is %q", name, address)
			}
			if a := c.g.do(t, call{method: method, path: path}); a.status != http.StatusOK && a.status != http.StatusUnauthorized {
				t.Errorf("%s: %s", name, a)
			}
		}
	}
	if texts[0] != texts[1] {
		t.Errorf("the two differ:\n%s\n%s", texts[0], texts[1])
	}
}

func (c checklistD) d50(t *testing.T) {
	keys := c.g.keys(t)
	if len(keys) == 0 {
		t.Fatal("the key set is empty")
	}
	kids := make(map[any]bool)
	for _, key := range keys {
		want := object{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": key["kid"], "x": key["x"], "y": key["y"]}
		if !maps.Equal(key, want) {
			t.Errorf("key is %v, want the members of %v and no others", key, want)
		}
		if kids[key["kid"]] {
			t.Errorf("two keys are %v", key["kid"])
		}
		kids[key["kid"]] = true
	}
	if header, _ := parts(t, c.g.open(t, newID()).AccessToken); !kids[header["kid"]] {
		t.Errorf("%v signs, and is not among %v", header["kid"], kids)
	}
	// decode has held Cache-Control to fifteen minutes; publish_ahead is an hour.
	// That a shared secret is in no key set is testHealth's.
}

func (c checklistD) d51(t *testing.T) {
	settings := c.g.cmd.Env
	kidOf := func(token string) string {
		header, _ := parts(t, token)
		return header["kid"].(string)
	}
	published := func(kid string) bool {
		return slices.ContainsFunc(c.g.keys(t), func(k object) bool { return k["kid"] == kid })
	}
	rotate := func(args ...string) {
		t.Helper()
		if code, p := run(t, settings, append([]string{"keys"}, args...)...); code != 0 {
			t.Fatalf("%s ends with %d:\n%s", p, code, p.tail())
		}
	}
	old := c.g.open(t, newID()).AccessToken
	first := kidOf(old)
	rotate("rotate")
	eventually(t, func() error {
		if n := len(c.g.keys(t)); n != 2 {
			return fmt.Errorf("%d keys are published, want the next one as well", n)
		}
		return nil
	})
	if kid := kidOf(c.g.open(t, newID()).AccessToken); kid != first {
		t.Errorf("%s signs as soon as it is published", kid)
	}
	rotate("rotate", "--now")
	var young string
	eventually(t, func() error {
		if young = c.g.open(t, newID()).AccessToken; kidOf(young) == first {
			return fmt.Errorf("%s still signs", first)
		}
		return nil
	})
	c.g.passes(t, "the old key's", old)
	c.g.passes(t, "the new key's", young)
	if !published(first) || !published(kidOf(young)) {
		t.Errorf("of %s and %s one is not published", first, kidOf(young))
	}
	rotate("retire", first)
	eventually(t, func() error { return c.g.do(t, statusCall(old)).checkProblem(401, "unauthenticated", "invalid") })
	if published(first) {
		t.Errorf("%s is over, and published", first)
	}
	c.g.passes(t, "the new key's", young)
}

func (c checklistD) d52(t *testing.T) {
	u := c.stack.user(t)
	login := c.g.do(t, loginCall(u.identifier, password)).want(t, http.StatusCreated)
	token := decode[grant](t, login, http.StatusCreated).AccessToken
	for _, a := range []answer{
		login, c.g.do(t, openCall(newID())), c.g.do(t, refreshCall(token)), c.g.do(t, statusCall(token)), c.g.do(t, introspectCall(token)),
		c.g.do(t, get("/forward-auth", token)), c.g.do(t, get("/sessions/my-sessions", token)), c.g.do(t, loginCall(u.identifier, wrongPassword)),
	} {
		if a.header.Get("Cache-Control") != "no-store" || a.header.Get("Pragma") != "no-cache" {
			t.Errorf("%s: Cache-Control %q, Pragma %q", a.call, a.header.Get("Cache-Control"), a.header.Get("Pragma"))
		}
	}
}

// inside are words that only somebody who sees our inside would say.
var inside = []string{
	"pq:", "redis", "postgres", "sql", "dial tcp", "127.0.0.1", "connection refused", "eof", "/home", "/root", "/tmp", ".go:", "goroutine", "store:", "panic",
}

func tellsNothing(t *testing.T, a answer) {
	t.Helper()
	for _, word := range inside {
		if strings.Contains(strings.ToLower(a.body), word) {
			t.Errorf("%s says %q", a, word)
		}
	}
}

func (c checklistD) d53(t *testing.T) {
	token := c.g.open(t, newID()).AccessToken
	for _, tt := range []struct {
		c      call
		status int
		code   string
	}{
		{get("/nowhere", token), 404, "not_found"},
		{call{method: "PATCH", path: "/sessions/status"}, 405, "method_not_allowed"},
		{call{path: "/sessions/login", json: object{"identifier": 1}}, 400, "invalid_request"},
		{call{path: "/sessions/login", body: "x", header: contentType("text/plain")}, 415, "unsupported_media_type"},
		{call{path: "/sessions/login", json: object{"identifier": "'; DROP TABLE users; --", "password": "x"}}, 401, "invalid_credentials"},
		{get("/sessions/my-session-logs?cursor=%27%20OR%201=1", token), 400, "invalid_request"},
		{call{method: "DELETE", path: "/sessions/my-sessions/019ab1f4-0000-7000-8000-000000000000", token: token}, 404, "not_found"},
	} {
		a := c.g.do(t, tt.c)
		if err := a.checkProblem(tt.status, tt.code, ""); err != nil {
			t.Error(err)
		}
		tellsNothing(t, a)
	}
	if err := c.postgres.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, ask := range []call{loginCall(newID(), password), get("/sessions/my-session-logs", token)} {
		a := c.g.do(t, ask)
		if err := a.checkProblem(http.StatusServiceUnavailable, "store_unavailable", ""); err != nil {
			t.Error(err)
		}
		tellsNothing(t, a)
	}
	if err := c.postgres.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.g.becomes(t.Context(), "ready"); err != nil {
		t.Error(err)
	}
}
