package handlers_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/internal/config"
	"github.com/sessiongate/sessiongate/internal/testenv"
)

const (
	formType = "application/x-www-form-urlencoded"
	jsonType = "application/json"
)

// withOAuthClients gives "shop" the right to revoke and to introspect, and adds
// clients that see less or count for nothing.
func withOAuthClients(c *config.Config) {
	secrets := c.Clients[0].SecretsSHA256
	c.Clients[1].Allow = append(c.Clients[1].Allow, config.AllowRevoke)
	c.Clients = append(
		c.Clients,
		config.Client{ID: "other", SecretsSHA256: secrets, Allow: []string{config.AllowRevoke, config.AllowSessions}},
		config.Client{ID: "reader", SecretsSHA256: secrets, Allow: []string{config.AllowIntrospect}, Scopes: []string{"read", "profile"}},
		config.Client{ID: "blind", SecretsSHA256: secrets, Allow: []string{config.AllowIntrospect}, Scopes: []string{"none"}},
		config.Client{ID: "watcher", SecretsSHA256: secrets, Allow: []string{config.AllowIntrospect}, Passive: true},
	)
}

// openAs opens a session with these fields beside the user's id.
func (g *gateway) openAs(client, fields string) (token, sid string) {
	g.t.Helper()
	a := g.want(g.asClient(client, clientSecret, "/sessions", jsonType, `{"user_id":"u1"`+fields+`}`), http.StatusCreated)
	sid, _ = a.session()["id"].(string)
	return a.text("access_token"), sid
}

func (g *gateway) introspectAs(client, token string) answer {
	g.t.Helper()
	form := url.Values{"token": {token}, "token_type_hint": {"nonsense"}, "unheard_of": {"1"}}.Encode()
	return g.want(g.asClient(client, clientSecret, "/oauth2/introspect", formType+"; charset=UTF-8", form), http.StatusOK)
}

// D41: introspection, its batch and revocation know their callers, and look for the
// token in one place.
func TestD41ClientAuthentication(t *testing.T) {
	t.Parallel()
	g := start(t, withOAuthClients)
	token, _ := g.open("u1")
	form := url.Values{"token": {token}}.Encode()
	batch := `{"tokens":["` + token + `"]}`
	for _, path := range []struct{ path, contentType, body, client string }{
		{"/oauth2/introspect", formType, form, "api gateway"},
		{"/oauth2/introspect/batch", jsonType, batch, "api gateway"},
		{"/oauth2/revoke", formType, form, "shop"},
	} {
		for name, try := range map[string]struct {
			client, secret string
			status         int
			code           string
		}{
			"nobody":         {"", "", 401, "invalid_client"},
			"no such client": {"nobody", clientSecret, 401, "invalid_client"},
			"wrong secret":   {path.client, "x", 401, "invalid_client"},
			"no secret":      {path.client, "", 401, "invalid_client"},
			"not allowed":    {"watcher", clientSecret, 403, "unauthorized_client"},
		} {
			if name == "not allowed" && path.client != "shop" {
				try.client = "other"
			}
			a := g.asClient(try.client, try.secret, path.path, path.contentType, path.body)
			if a.status != try.status || a.body["error"] != try.code || a.header.Get("Content-Type") != jsonType {
				t.Errorf("%s, %s: %d %s", path.path, name, a.status, a.raw)
			}
			if challenge := a.header.Get("WWW-Authenticate"); try.status == 401 && !strings.HasPrefix(challenge, "Basic ") {
				t.Errorf("%s, %s: WWW-Authenticate %q", path.path, name, challenge)
			}
		}
		if a := g.do(http.MethodGet, path.path+"?token="+token, "", ""); a.status != 405 || a.header.Get("Allow") != "POST" {
			t.Errorf("GET %s: %d, Allow %q", path.path, a.status, a.header.Get("Allow"))
		}
		a := g.asClient(path.client, clientSecret, path.path+"?token="+token+"&tokens="+token, path.contentType, "")
		if a.status != 400 || a.body["error"] != "invalid_request" {
			t.Errorf("%s with the token in the query: %d %s", path.path, a.status, a.raw)
		}
	}
	if !g.introspect(token).body["active"].(bool) {
		t.Error("one of these has ended the session")
	}
}

// D44: what an active token's answer has, and what a client may see of it.
func TestD44IntrospectionPerClient(t *testing.T) {
	t.Parallel()
	g := start(t, withOAuthClients)
	token, _ := g.openAs("shop", `,"scope":"read write profile","username":"ana@example.com","roles":["admin","ops"]`)
	for client, scope := range map[string]any{
		"api gateway": "read write profile", "reader": "read profile", "blind": nil, "watcher": "read write profile",
	} {
		a := g.introspectAs(client, token)
		if a.body["active"] != true || a.body["scope"] != scope {
			t.Errorf("%s sees scope %v, want %v", client, a.body["scope"], scope)
		}
		if a.body["username"] != "ana@example.com" || fmt.Sprint(a.body["roles"]) != "[admin ops]" || a.body["client_id"] != "shop" {
			t.Errorf("%s sees %s", client, a.raw)
		}
		for _, name := range []string{"exp", "iat", "sub", "client_id", "token_type", "jti", "sid", "aud", "iss", "auth_time"} {
			if a.body[name] == nil {
				t.Errorf("%s: no %s", client, name)
			}
		}
		if a.header.Get("Cache-Control") != "no-store" || a.header.Get("Pragma") != "no-cache" { // D52
			t.Errorf("header %v", a.header)
		}
	}
}

// A passive client's questions are no use of the session; anybody else's are.
func TestPassiveClientIsNoActivity(t *testing.T) {
	t.Parallel()
	g := start(t, withOAuthClients)
	watched, watchedID := g.openAs("shop", "")
	used, usedID := g.openAs("shop", "")
	seen := func(sid string) bool {
		at, err := g.redis.HGet(t.Context(), "sg:{0}:seen:u1", sid).Result()
		return err == nil && at != ""
	}
	g.introspectAs("watcher", watched)
	g.want(g.asClient("watcher", clientSecret, "/oauth2/introspect/batch", jsonType, `{"tokens":["`+watched+`"]}`), http.StatusOK)
	g.introspectAs("api gateway", used) // noted after the other, and carried in the same second
	g.eventually("the use", func() bool { return seen(usedID) })
	if seen(watchedID) {
		t.Error("a passive client's question was noted as use")
	}
}

func TestIntrospectBatch(t *testing.T) {
	t.Parallel()
	g := start(t, withOAuthClients)
	first, firstID := g.openAs("shop", `,"scope":"read write"`)
	ended, _ := g.open("u2")
	g.want(g.do(http.MethodPost, "/sessions/logout", ended, ""), http.StatusNoContent)
	second, secondID := g.open("u3")
	broken, _ := g.open("broken")
	g.redis.Del(t.Context(), "sg:{0}:user:broken")
	g.redis.Set(t.Context(), "sg:{0}:user:broken", "x", 0)

	ask := func(client string, tokens ...string) answer {
		body, _ := json.Marshal(map[string]any{"tokens": append([]string{}, tokens...)})
		return g.asClient(client, clientSecret, "/oauth2/introspect/batch", jsonType, string(body))
	}
	a := g.want(ask("reader", second, "garbage", ended, first, "", broken, first[:len(first)-1], second), http.StatusOK)
	results := a.list("results")
	for i, want := range []map[string]any{
		{"active": true, "sid": secondID},
		{"active": false},
		{"active": false},
		{"active": true, "sid": firstID, "scope": "read"},
		{"active": false},
		{"error": "temporarily_unavailable"},
		{"active": false},
		{"active": true, "sid": secondID},
	} {
		for name, v := range want {
			if results[i][name] != v {
				t.Errorf("result %d: %v, want %v", i, results[i], want)
			}
		}
		if want["active"] != true && len(results[i]) != 1 { // D42: and nothing else
			t.Errorf("result %d: %v", i, results[i])
		}
	}
	if one := g.introspectAs("reader", first); fmt.Sprint(one.body) != fmt.Sprint(results[3]) {
		t.Errorf("the batch says %v, a single question %v", results[3], one.body)
	}
	if a := ask("reader", broken, "garbage"); a.status != 503 || a.body["error"] != "temporarily_unavailable" || a.header.Get("Retry-After") == "" {
		t.Errorf("all that was asked is unknown: %d %s", a.status, a.raw)
	}
	if a := g.want(ask("reader"), http.StatusOK); a.raw != `{"results":[]}` {
		t.Errorf("no tokens: %s", a.raw)
	}
	// The longest there can be is above http.max_body_bytes.
	long := slices.Repeat([]string{first + "." + strings.Repeat("a", 4000-len(first))}, 100)
	if a := g.want(ask("reader", long...), http.StatusOK); len(a.list("results")) != 100 {
		t.Errorf("%d results", len(a.list("results")))
	}
	for body, want := range map[string]string{
		``:                         "the body must be a JSON object and is empty",
		`[]`:                       "the body must be an object",
		`{}`:                       "tokens is required",
		`{"tokens":null}`:          "tokens is required",
		`{"tokens":"a"}`:           "tokens must be an array of strings",
		`{"tokens":["a",7]}`:       "tokens[1] must be a string",
		`{"tokens":[],"hint":"x"}`: "hint is not a field of this request",
		`{"tokens":[` + strings.Repeat(`"a",`, 100) + `"a"]}`: "tokens must have at most 100 elements",
	} {
		a := g.asClient("reader", clientSecret, "/oauth2/introspect/batch", jsonType, body)
		if a.status != 400 || a.body["error"] != "invalid_request" || a.body["error_description"] != want {
			t.Errorf("%.40s: %d %s, want %q", body, a.status, a.raw, want)
		}
	}
	if a := g.asClient("reader", clientSecret, "/oauth2/introspect/batch", formType, "tokens=a"); a.status != 415 {
		t.Errorf("a form: %d %s", a.status, a.raw)
	}
}

// With HS256 no client can check a signed answer: who insists on one is told so,
// who would take JSON gets it.
func TestIntrospectSignedNeedsAKeyPair(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	token, _ := g.open("u1")
	for accept, status := range map[string]int{
		"application/token-introspection+jwt":                         406,
		"application/token-introspection+jwt, application/json;q=0.5": 200,
		"application/token-introspection+jwt, */*;q=0.1":              200,
		"application/json": 200,
	} {
		if a := g.introspectFor(accept, token); a.status != status || status == 200 && a.body["active"] != true {
			t.Errorf("Accept %s: %d %s, want %d", accept, a.status, a.raw, status)
		}
	}
}

func (g *gateway) revoke(client, token, more string) answer {
	g.t.Helper()
	form := url.Values{"token": {token}}.Encode() + more
	return g.asClient(client, clientSecret, "/oauth2/revoke", formType, form)
}

// D45: RFC 7009.
func TestD45Revocation(t *testing.T) {
	t.Parallel()
	g := start(t, withOAuthClients)
	wantDone := func(a answer) {
		t.Helper()
		if a.status != http.StatusOK || a.raw != "" || a.header.Get("Content-Length") != "0" {
			t.Errorf("%d %q", a.status, a.raw)
		}
	}
	token, sid := g.open("u1")
	expired := g.read(token)
	expired.ExpiresAt = time.Now().Add(-time.Minute)
	expired.IssuedAt = expired.ExpiresAt.Add(-time.Minute)

	wantDone(g.revoke("other", token, ""))          // somebody else's
	wantDone(g.revoke("shop", g.sign(expired), "")) // over
	wantDone(g.revoke("shop", "garbage", ""))
	wantDone(g.revoke("shop", token[:len(token)-1], ""))
	g.want(g.do(http.MethodGet, "/sessions/status", token, ""), http.StatusOK)

	wantDone(g.revoke("shop", token, "&token_type_hint=refresh_token&x=y"))
	g.wantProblem(g.do(http.MethodGet, "/sessions/status", token, ""), 401, "unauthenticated", "logged_out_or_revoked")
	wantDone(g.revoke("shop", token, "")) // known and gone

	watching, _ := g.open("u1")
	rows := g.logs(watching, 3) // login, logout, login: the ending once
	if row := rows[1]; row["action"] != "logout" || row["reason"] != "revoked" || row["session_id"] != sid {
		t.Errorf("the ending is logged as %v", row)
	}
	if a := g.asClient("shop", clientSecret, "/oauth2/revoke", formType, "token_type_hint=access_token"); a.status != 400 {
		t.Errorf("no token: %d %s", a.status, a.raw)
	}
}

// D46: there is one kind of token, so a replaced one takes its successor along.
func TestD46RevokingAnOlderToken(t *testing.T) {
	t.Parallel()
	g := start(t, withOAuthClients)
	old, _ := g.open("u1")
	next := g.want(g.do(http.MethodPost, "/sessions/refresh", old, ""), http.StatusOK).text("access_token")
	g.want(g.revoke("shop", old, ""), http.StatusOK)
	if g.introspect(next).body["active"] != false {
		t.Error("the successor is still active")
	}
}

// D43: every way of ending a session is honoured by everything that asks.
func TestD43EveryLayerEverywhere(t *testing.T) {
	t.Parallel()
	g := start(t, withOAuthClients)
	for name, end := range map[string]func(token, user, sid string){
		"logout":      func(token, _, _ string) { g.do(http.MethodPost, "/sessions/logout", token, "") },
		"logout-all":  func(token, _, _ string) { g.do(http.MethodPost, "/sessions/logout-all", token, "") },
		"revocation":  func(token, _, _ string) { g.revoke("shop", token, "") },
		"session key": func(_, _, sid string) { g.redis.Del(t.Context(), "sg:{0}:session:"+sid) },
		"user's list": func(_, user, sid string) { g.redis.ZRem(t.Context(), "sg:{0}:user:"+user, sid) },
		"user key":    func(_, user, _ string) { g.redis.Del(t.Context(), "sg:{0}:user:"+user) },
	} {
		user := "user of " + name
		token, sid := g.open(user)
		if !g.introspect(token).body["active"].(bool) || g.forward(token, "", "").status != http.StatusOK {
			t.Fatalf("%s: not live to begin with", name)
		}
		end(token, user, sid)
		if a := g.introspect(token); a.raw != `{"active":false}` {
			t.Errorf("%s: introspection: %s", name, a.raw)
		}
		batch := g.asClient("api gateway", clientSecret, "/oauth2/introspect/batch", jsonType, `{"tokens":["`+token+`"]}`)
		if batch.raw != `{"results":[{"active":false}]}` {
			t.Errorf("%s: batch: %s", name, batch.raw)
		}
		g.wantProblem(g.forward(token, "", ""), 401, "unauthenticated", "logged_out_or_revoked")
		g.wantProblem(g.do(http.MethodGet, "/sessions/status", token, ""), 401, "unauthenticated", "logged_out_or_revoked")
		g.wantProblem(g.do(http.MethodPost, "/sessions/refresh", token, ""), 401, "unauthenticated", "logged_out_or_revoked")
	}
}

// D45, E60: with Redis away nothing is said that nobody knows.
func TestD45StorageFailure(t *testing.T) {
	t.Parallel()
	rd := testenv.OwnRedis(t)
	cfg := testConfig(rd.URL(), testenv.Postgres(t))
	withOAuthClients(&cfg)
	g := startWith(t, cfg)
	token, _ := g.open("u1")
	if err := rd.Stop(); err != nil {
		t.Fatal(err)
	}
	for name, a := range map[string]answer{
		"revoke":       g.revoke("shop", token, ""),
		"batch":        g.asClient("api gateway", clientSecret, "/oauth2/introspect/batch", jsonType, `{"tokens":["`+token+`"]}`),
		"forward-auth": g.forward(token, "", ""),
	} {
		if a.status != 503 || a.header.Get("Retry-After") == "" || len(a.raw) > 1024 {
			t.Errorf("%s: %d %s, Retry-After %q", name, a.status, a.raw, a.header.Get("Retry-After"))
		}
		for _, inside := range []string{"dial tcp", "redis:", rd.Addr()} { // D53
			if strings.Contains(a.raw, inside) {
				t.Errorf("%s: %s shows %q", name, a.raw, inside)
			}
		}
	}
	g.wantProblem(g.forward("garbage", "", ""), 401, "unauthenticated", "invalid")
	if err := rd.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.eventually("Redis", func() bool { return g.forward(token, "", "").status == http.StatusOK })
}

// RFC 9701: an answer that proves where it comes from, whatever it says.
func TestIntrospectSigned(t *testing.T) {
	t.Parallel()
	g := start(t, withKeyPair)
	token, sid := g.open("u1")
	for raw, want := range map[string]string{token: sid, "garbage": ""} {
		a := g.introspectFor("application/json;q=0.1, application/token-introspection+jwt", raw)
		if a.status != 200 || a.header.Get("Content-Type") != "application/token-introspection+jwt" {
			t.Fatalf("%d %s %s", a.status, a.header.Get("Content-Type"), a.raw)
		}
		header, claims := segments(t, a.raw)
		answer, _ := claims["token_introspection"].(map[string]any)
		if header["typ"] != "token-introspection+jwt" || header["alg"] != "EdDSA" || claims["iss"] != "sessiongate" ||
			claims["aud"] != "api gateway" || claims["iat"] == nil || claims["sub"] != nil || claims["exp"] != nil {
			t.Errorf("%v %v", header, claims)
		}
		if answer["active"] != (want != "") || want != "" && answer["sid"] != want || want == "" && len(answer) != 1 {
			t.Errorf("token_introspection is %v", answer)
		}
		if b := g.introspectFor("application/json", a.raw); b.raw != `{"active":false}` {
			t.Errorf("an answer passes for a token: %s", b.raw)
		}
	}
	for _, accept := range []string{"", "*/*", "application/jwt", "application/json, application/token-introspection+jwt;q=0.5", "application/token-introspection+jwt;q=0"} {
		if a := g.introspectFor(accept, token); a.status != 200 || a.body["active"] != true {
			t.Errorf("Accept %q: %d %s", accept, a.status, a.raw)
		}
	}
}

func segments(t *testing.T, raw string) (header, claims map[string]any) {
	t.Helper()
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		t.Fatalf("%s is no JWT", raw)
	}
	for i, to := range []*map[string]any{&header, &claims} {
		b, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, to); err != nil {
			t.Fatal(err)
		}
	}
	return header, claims
}

func withKeyPair(c *config.Config) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		panic(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	c.Tokens.Algorithm, c.Tokens.Secret = config.EdDSA, ""
	c.Tokens.PrivateKey = config.Secret(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// introspectFor asks for an answer in a form.
func (g *gateway) introspectFor(accept, token string) answer {
	g.t.Helper()
	r, err := http.NewRequestWithContext(g.t.Context(), http.MethodPost, g.url+"/oauth2/introspect",
		strings.NewReader(url.Values{"token": {token}}.Encode()))
	if err != nil {
		g.t.Fatal(err)
	}
	r.SetBasicAuth(url.QueryEscape("api gateway"), url.QueryEscape(clientSecret))
	r.Header.Set("Content-Type", formType)
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	return g.send(r)
}
