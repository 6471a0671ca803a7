package handlers_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/internal/config"
	"github.com/sessiongate/sessiongate/internal/testenv"
)

func TestIntrospect(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	body := `{"user_id":"u1","scope":"read write","amr":["pwd"]}`
	created := g.want(g.asClient("shop", clientSecret, "/sessions", "application/json", body), http.StatusCreated)
	token := created.text("access_token")
	want := g.read(token)

	a := g.introspect(token)
	members := []string{"active", "amr", "aud", "auth_time", "client_id", "exp", "iat", "iss", "jti", "scope", "sid", "sub", "token_type"}
	if got := slices.Sorted(maps.Keys(a.body)); !slices.Equal(got, members) {
		t.Errorf("members %v, want %v", got, members)
	}
	for name, v := range map[string]any{
		"active": true, "iss": "sessiongate", "aud": "sessiongate", "sub": "u1", "client_id": "shop", "scope": "read write",
		"token_type": "Bearer", "jti": want.ID, "sid": string(want.SessionID),
		"exp": float64(want.ExpiresAt.Unix()), "iat": float64(want.IssuedAt.Unix()), "auth_time": float64(want.AuthTime.Unix()),
	} {
		if a.body[name] != v {
			t.Errorf("%s is %v, want %v", name, a.body[name], v)
		}
	}
	if a.header.Get("Content-Type") != "application/json" || a.header.Get("Pragma") != "no-cache" {
		t.Errorf("header %v", a.header)
	}

	expired := want
	expired.ExpiresAt = want.IssuedAt.Add(-time.Minute)
	expired.IssuedAt = expired.ExpiresAt.Add(-time.Minute)
	loggedOut, _ := g.open("u1")
	g.want(g.do(http.MethodPost, "/sessions/logout", loggedOut, ""), http.StatusNoContent)
	removed, sid := g.open("u1")
	g.redis.Del(t.Context(), "sg:{0}:session:"+sid)
	notListed, sid := g.open("u1")
	g.redis.ZRem(t.Context(), "sg:{0}:user:u1", sid)
	reused, _ := g.open("u1")
	next := g.want(g.do(http.MethodPost, "/sessions/refresh", reused, ""), http.StatusOK).text("access_token")
	next = g.want(g.do(http.MethodPost, "/sessions/refresh", next, ""), http.StatusOK).text("access_token")
	if g.introspect(next).body["active"] != true {
		t.Error("the newest token is not active")
	}
	for name, inactive := range map[string]string{
		"expired": g.sign(expired), "logged out": loggedOut, "session key deleted": removed, "taken off the user's list": notListed,
		"superseded twice": reused, "cut short": token[:len(token)-1], "garbage": "x", "another header": "eyJhbGciOiJub25lIn0.e30.",
		"huge": strings.Repeat("a.", 10_000),
	} {
		if a := g.introspect(inactive); a.raw != `{"active":false}` || a.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %s", name, a.raw)
		}
	}
}

func TestIntrospectRefuses(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	token, _ := g.open("u1")
	const form = "application/x-www-form-urlencoded"
	tests := []struct {
		name, client, secret, contentType, body string
		status                                  int
		code                                    string
	}{
		{"no token", "api gateway", clientSecret, form, "token_type_hint=access_token", 400, "invalid_request"},
		{"no body", "api gateway", clientSecret, form, "", 400, "invalid_request"},
		{"token twice", "api gateway", clientSecret, form, "token=a&token=b", 400, "invalid_request"},
		{"no client", "", "", form, "token=" + token, 401, "invalid_client"},
		{"no client and nothing else", "", "", "", "", 401, "invalid_client"},
		{"wrong secret", "api gateway", "x", form, "token=" + token, 401, "invalid_client"},
		{"unknown client", "nobody", clientSecret, form, "token=" + token, 401, "invalid_client"},
		{"another kind of client", "shop", clientSecret, form, "token=" + token, 403, "unauthorized_client"},
		{"JSON", "api gateway", clientSecret, "application/json", `{"token":"x"}`, 415, "invalid_request"},
		{"too large", "api gateway", clientSecret, form, "token=" + strings.Repeat("x", 64<<10), 413, "invalid_request"},
	}
	for _, tt := range tests {
		a := g.asClient(tt.client, tt.secret, "/oauth2/introspect", tt.contentType, tt.body)
		if a.status != tt.status || a.body["error"] != tt.code || len(a.body) != 2 {
			t.Errorf("%s: %d %s, want %d %s", tt.name, a.status, a.raw, tt.status, tt.code)
		}
		if challenge := a.header.Get("WWW-Authenticate"); (tt.status == 401) != strings.HasPrefix(challenge, "Basic ") {
			t.Errorf("%s: WWW-Authenticate %q", tt.name, challenge)
		}
	}
	post := url.Values{
		"token": {token}, "client_id": {"api gateway"}, "client_secret": {clientSecret}, "token_type_hint": {"x"}, "more": {"y"},
	}
	if a := g.asClient("", "", "/oauth2/introspect", form+";charset=UTF-8", post.Encode()); a.body["active"] != true {
		t.Errorf("credentials in the form: %d %s", a.status, a.raw)
	}
	a := g.asClient("api gateway", clientSecret, "/oauth2/introspect?token="+token, form, "x=y")
	if a.status != 400 {
		t.Errorf("a token in the query: %d %s", a.status, a.raw)
	}
}

func TestJWKS(t *testing.T) {
	t.Parallel()
	shared := start(t, nil)
	if a := shared.do(http.MethodGet, "/.well-known/jwks.json", "", ""); a.raw != `{"keys":[]}` || a.status != 200 {
		t.Errorf("HS256: %d %s", a.status, a.raw)
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	g := start(t, func(c *config.Config) {
		c.Tokens.Algorithm, c.Tokens.Secret = config.EdDSA, ""
		c.Tokens.PrivateKey = config.Secret(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	})
	keys := g.want(g.do(http.MethodGet, "/.well-known/jwks.json", "", ""), http.StatusOK).list("keys")
	if len(keys) != 1 || keys[0]["kty"] != "OKP" || keys[0]["kid"] == "" {
		t.Fatalf("keys %v", keys)
	}
	if _, ok := keys[0]["d"]; ok {
		t.Error("the private key is served")
	}
	token, _ := g.open("u1")
	if g.introspect(token).body["active"] != true {
		t.Error("a token signed with EdDSA is not active")
	}
}

func TestRouting(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	token, sid := g.open("u1")
	allowed := map[string]string{
		"/sessions/login": "POST", "/sessions": "POST", "/sessions/status": "GET, HEAD", "/sessions/my-sessions": "GET, HEAD",
		"/sessions/my-sessions/" + sid: "DELETE", "/sessions/my-session-logs": "GET, HEAD", "/sessions/refresh": "POST",
		"/sessions/logout": "POST", "/sessions/logout-all": "POST", "/oauth2/introspect": "POST",
		"/.well-known/jwks.json": "GET, HEAD", "/livez": "GET, HEAD", "/readyz": "GET, HEAD", "/metrics": "GET, HEAD",
	}
	for path, want := range allowed {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"} {
			if slices.Contains(strings.Split(want, ", "), method) {
				continue
			}
			a := g.do(method, path, token, "")
			allow := strings.Split(a.header.Get("Allow"), ", ")
			slices.Sort(allow)
			if a.status != http.StatusMethodNotAllowed || strings.Join(allow, ", ") != want {
				t.Errorf("%s %s: %d, Allow %q, want 405, %q", method, path, a.status, a.header.Get("Allow"), want)
			}
			if method != "HEAD" {
				g.wantProblem(a, http.StatusMethodNotAllowed, "method_not_allowed", "")
			}
		}
		if strings.HasPrefix(want, "GET") {
			if a := g.do(http.MethodHead, path, token, ""); a.status != http.StatusOK || a.raw != "" {
				t.Errorf("HEAD %s: %d %q", path, a.status, a.raw)
			}
		}
	}
	// No second spelling of a path, and no redirect to the first.
	for _, path := range []string{
		"/", "/x", "/sessions/status/", "//sessions/status", "/sessions//status", "/Sessions/Status", "/sessions/%73tatus",
		"/sessions/./status", "/x/../sessions/status", "/sessions%2Fstatus", "/sessions/my-sessions/", "/livez/x",
	} {
		g.wantProblem(g.do(http.MethodGet, path, token, ""), http.StatusNotFound, "not_found", "")
	}
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	token, _ := g.open("u1")
	send := func(values ...string) answer {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.url+"/sessions/status", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header["Authorization"] = values
		r.Header.Set("Cookie", "access_token="+token)
		return g.send(r)
	}
	g.want(send("bearer "+token), http.StatusOK)
	g.wantProblem(send("Bearer "+token, "Bearer "+token), 400, "invalid_request", "")
	g.wantProblem(send("Basic "+token), 401, "unauthenticated", "")
	g.wantProblem(send(), 401, "unauthenticated", "")
}

func TestHealth(t *testing.T) {
	t.Parallel()
	pg := testenv.OwnPostgres(t)
	rd := testenv.OwnRedis(t)
	g := startWith(t, testConfig(rd.URL(), pg.URL()))
	if a := g.do(http.MethodGet, "/livez", "", ""); a.status != 200 || a.raw != `{"status":"ok"}` {
		t.Errorf("livez: %d %s", a.status, a.raw)
	}
	if a := g.do(http.MethodGet, "/readyz", "", ""); a.raw != `{"status":"ready","redis":"ok","postgres":"ok"}` {
		t.Errorf("readyz: %s", a.raw)
	}
	token, _ := g.open("u1")

	if err := pg.Stop(); err != nil {
		t.Fatal(err)
	}
	a := g.do(http.MethodGet, "/readyz", "", "")
	if a.status != 200 || a.raw != `{"status":"degraded","redis":"ok","postgres":"unavailable"}` {
		t.Errorf("without Postgres: %d %s", a.status, a.raw)
	}
	// Whatever needs only Redis goes on.
	g.want(g.do(http.MethodGet, "/sessions/status", token, ""), 200)
	g.want(g.do(http.MethodGet, "/sessions/my-sessions", token, ""), 200)
	token = g.want(g.do(http.MethodPost, "/sessions/refresh", token, ""), 200).text("access_token")
	g.open("u1")
	for _, path := range []string{"/sessions/my-session-logs", "/sessions/my-sessions?state=ended"} {
		g.wantUnavailable(g.do(http.MethodGet, path, token, ""))
	}
	g.wantUnavailable(g.login("ana@example.com", password))
	g.want(g.do(http.MethodPost, "/sessions/logout-all", token, ""), 200)

	if err := pg.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.eventually("Postgres", func() bool { return g.do(http.MethodGet, "/readyz", "", "").body["status"] == "ready" })
	witness, _ := g.open("u1")
	g.logs(witness, 6) // three logins, a refresh and two endings: nothing was lost
}

func (g *gateway) wantUnavailable(a answer) {
	g.t.Helper()
	g.wantProblem(a, http.StatusServiceUnavailable, "store_unavailable", "")
	if a.header.Get("Retry-After") == "" {
		g.t.Error("no Retry-After")
	}
	for _, part := range []string{"redis", "Redis", "pq:", "dial", "127.0.0.1", "postgres"} {
		if strings.Contains(a.raw, part) {
			g.t.Errorf("%s shows %q", a.raw, part)
		}
	}
}

// TestWithoutRedis: whoever asks is told within 300 ms that there is no answer,
// and never that they are not signed in.
func TestWithoutRedis(t *testing.T) {
	t.Parallel()
	rd := testenv.OwnRedis(t)
	g := startWith(t, testConfig(rd.URL(), testenv.Postgres(t)))
	g.addUser("ana")
	token, sid := g.open("u1")

	ask := func(what string) {
		requests := map[string]func() answer{
			"status":       func() answer { return g.do(http.MethodGet, "/sessions/status", token, "") },
			"my-sessions":  func() answer { return g.do(http.MethodGet, "/sessions/my-sessions", token, "") },
			"revoke":       func() answer { return g.do(http.MethodDelete, "/sessions/my-sessions/"+sid, token, "") },
			"logs":         func() answer { return g.do(http.MethodGet, "/sessions/my-session-logs", token, "") },
			"refresh":      func() answer { return g.do(http.MethodPost, "/sessions/refresh", token, "") },
			"logout":       func() answer { return g.do(http.MethodPost, "/sessions/logout", token, "") },
			"logout-all":   func() answer { return g.do(http.MethodPost, "/sessions/logout-all", token, "") },
			"login":        func() answer { return g.login("ana", password) },
			"failed login": func() answer { return g.login("ana", "x") },
			"backend": func() answer {
				return g.asClient("shop", clientSecret, "/sessions", "application/json", `{"user_id":"u1"}`)
			},
		}
		form := url.Values{"token": {token}}.Encode()
		requests["introspect"] = func() answer {
			return g.asClient("api gateway", clientSecret, "/oauth2/introspect", "application/x-www-form-urlencoded", form)
		}
		for name, request := range requests {
			a, took := g.quickest(request)
			if took > 300*time.Millisecond {
				t.Errorf("%s: %s takes %v", what, name, took)
			}
			if name != "introspect" {
				g.wantUnavailable(a)
			} else if a.status != 503 || a.body["error"] != "temporarily_unavailable" {
				t.Errorf("%s: introspection: %d %s", what, a.status, a.raw)
			}
		}
		if a := g.do(http.MethodGet, "/readyz", "", ""); a.status != 503 || a.body["redis"] != "unavailable" {
			t.Errorf("%s: readyz: %d %s", what, a.status, a.raw)
		}
		// What is known without Redis is said without it.
		g.wantProblem(g.do(http.MethodGet, "/sessions/status", "x", ""), 401, "unauthenticated", "invalid")
		g.want(g.do(http.MethodGet, "/livez", "", ""), 200)
	}

	if err := rd.Stop(); err != nil {
		t.Fatal(err)
	}
	ask("stopped")

	// It listens and says nothing.
	ln, err := net.Listen("tcp", rd.Addr())
	if err != nil {
		t.Fatal(err)
	}
	ask("silent")
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}

	if err := rd.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.eventually("Redis", func() bool { return g.do(http.MethodGet, "/sessions/status", token, "").status == 200 })
}

// quickest sends a request up to three times, since a busy machine can make any
// one of them late, and returns the last answer and the shortest time.
func (g *gateway) quickest(request func() answer) (a answer, shortest time.Duration) {
	for range 3 {
		began := time.Now()
		a = request()
		if took := time.Since(began); shortest == 0 || took < shortest {
			shortest = took
		}
		if shortest <= 300*time.Millisecond {
			break
		}
	}
	return a, shortest
}

func TestClientAddressReachesTheSession(t *testing.T) {
	t.Parallel()
	g := start(t, func(c *config.Config) { c.HTTP.TrustedProxies = []string{"127.0.0.1", "10.0.0.0/8"} })
	g.addUser("ana")
	body, _ := json.Marshal(map[string]string{"identifier": "ana", "password": password})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.url+"/sessions/login", strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Forwarded-For", "6.6.6.6, 198.51.100.7, 10.1.1.1")
	a := g.want(g.send(r), http.StatusCreated)
	if ip := a.session()["ip_address"]; ip != "198.51.100.7" {
		t.Errorf("ip_address is %v", ip)
	}
	if row := g.logs(a.text("access_token"), 1)[0]; row["ip_address"] != "198.51.100.7" {
		t.Errorf("logged as %v", row)
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	token, _ := g.open("u1")
	g.introspect(token)
	a := g.want(g.do(http.MethodGet, "/metrics", "", ""), http.StatusOK)
	for _, line := range []string{
		`sessiongate_http_requests_total{code="200",method="POST",route="/oauth2/introspect"} 1`,
		`sessiongate_http_requests_total{code="201",method="POST",route="/sessions"} 1`,
		`sessiongate_http_requests_in_flight 1`,
		`sessiongate_build_info{`,
		`sessiongate_clock_skew_seconds `,
	} {
		if !strings.Contains(a.raw, line) {
			t.Errorf("no %s", line)
		}
	}
}

// TestSlowAndHugeRequests speaks to the listener itself.
func TestSlowAndHugeRequests(t *testing.T) {
	t.Parallel()
	g := start(t, func(c *config.Config) {
		c.HTTP.ReadHeaderTimeout, c.HTTP.RequestTimeout = 200*time.Millisecond, 200*time.Millisecond
	})
	tests := []struct{ name, send, want string }{
		{"a header without an end", "GET /livez HTTP/1.1\r\nHost: x\r\nX: ", ""},
		{"a body without an end", "POST /sessions/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", "HTTP/1.1 400"},
		{"an endless header", "GET /livez HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 32<<10) + "\r\n\r\n", "HTTP/1.1 431"},
		{"two lengths", "POST /sessions/login HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 400"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", strings.TrimPrefix(g.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Write([]byte(tt.send)); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(conn)
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				t.Fatalf("still open after 10 s: %q", got)
			}
			if !strings.HasPrefix(string(got), tt.want) {
				t.Errorf("%q, want %s", got, tt.want)
			}
		})
	}
}
