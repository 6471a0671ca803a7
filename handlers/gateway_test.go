package handlers_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessiongate/sessiongate/internal/app"
	"github.com/sessiongate/sessiongate/internal/config"
	"github.com/sessiongate/sessiongate/internal/testenv"
	"github.com/sessiongate/sessiongate/login"
	"github.com/sessiongate/sessiongate/session"
	"github.com/sessiongate/sessiongate/store"
	"github.com/sessiongate/sessiongate/tokens"
)

func TestMain(m *testing.M) { testenv.Main(m) }

const (
	signingSecret = "0Jk3u7Qw9Zr5Tx1Vb8Nm2Lp6Hd4Gs0Fa"
	clientSecret  = "a secret/of 100% + the client"
	password      = "correct horse battery staple"
)

// gateway is the whole product, listening, on a Redis and a Postgres of its own.
type gateway struct {
	t        *testing.T
	url      string
	redis    *redis.Client
	postgres *store.Postgres
	keys     *tokens.Keyring
	options  tokens.Options
	log      *logBuffer
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func testConfig(redisURL, postgresURL string) config.Config {
	cfg := config.Default()
	cfg.HTTP.Addr = "127.0.0.1:0"
	cfg.Redis.URL, cfg.Database.URL = config.Secret(redisURL), config.Secret(postgresURL)
	cfg.Redis.Timeout = 3 * time.Second // the machine is busy with other tests
	cfg.Tokens.Secret = signingSecret
	cfg.Audit.FingerprintKey = "another key of at least 32 bytes"
	cfg.Passwords.MemoryKiB, cfg.Passwords.Iterations = 64, 1
	sum := sha256.Sum256([]byte(clientSecret))
	secrets := []string{hex.EncodeToString(sum[:])}
	cfg.Clients = []config.Client{
		{ID: "api gateway", SecretsSHA256: secrets, Allow: []string{config.AllowIntrospect}},
		{ID: "shop", SecretsSHA256: secrets, Allow: []string{config.AllowSessions}},
		{ID: "cache", SecretsSHA256: secrets, Allow: []string{config.AllowFeed}},
	}
	return cfg
}

// start runs a gateway until the test ends. change may be nil.
func start(t *testing.T, change func(*config.Config)) *gateway {
	t.Helper()
	redisURL, _ := testenv.Redis(t)
	cfg := testConfig(redisURL, testenv.Postgres(t))
	if change != nil {
		change(&cfg)
	}
	return startWith(t, cfg)
}

func startWith(t *testing.T, cfg config.Config) *gateway {
	t.Helper()
	g := &gateway{t: t, log: &logBuffer{}}
	g.connect(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	up, down := make(chan net.Addr, 1), make(chan error, 1)
	log := slog.New(slog.NewJSONHandler(g.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	go func() { down <- app.Run(ctx, cfg, log, func(a net.Addr) { up <- a }) }()
	select {
	case addr := <-up:
		g.url = "http://" + addr.String()
	case err := <-down:
		cancel()
		t.Fatalf("the gateway does not start: %v\n%s", err, g.log)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-down; err != nil {
			t.Errorf("the gateway stops with %v", err)
		}
		if strings.Contains(g.log.String(), "eyJ") || strings.Contains(g.log.String(), password) {
			t.Errorf("the log holds a token or a password: %s", g.log)
		}
	})
	g.eventually("the schema", func() bool {
		r := g.do(http.MethodGet, "/readyz", "", "")
		return r.status == http.StatusOK && r.body["status"] == "ready"
	})
	return g
}

func (g *gateway) connect(cfg config.Config) {
	g.t.Helper()
	o, err := redis.ParseURL(string(cfg.Redis.URL))
	if err != nil {
		g.t.Fatal(err)
	}
	g.redis = redis.NewClient(o)
	g.postgres, err = store.OpenPostgres(store.PostgresOptions{URL: string(cfg.Database.URL), MaxConns: 2})
	if err != nil {
		g.t.Fatal(err)
	}
	key, err := tokens.NewHS256Key([]byte(signingSecret))
	if err != nil {
		g.t.Fatal(err)
	}
	if g.keys, err = tokens.NewKeyring(key); err != nil {
		g.t.Fatal(err)
	}
	g.options = tokens.Options{Issuer: cfg.Tokens.Issuer, Audience: cfg.Tokens.Audience}
	g.t.Cleanup(func() {
		_ = g.redis.Close()
		_ = g.postgres.Close()
	})
}

// eventually waits for what a job has to do first. 2 s is the promise; the rest
// is for a busy machine.
func (g *gateway) eventually(what string, ok func() bool) {
	g.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			g.t.Fatalf("still waiting for %s\n%s", what, g.log)
		}
	}
}

type answer struct {
	status int
	header http.Header
	raw    string
	body   map[string]any
}

func (a answer) session() map[string]any {
	s, _ := a.body["session"].(map[string]any)
	return s
}

func (a answer) text(name string) string {
	s, _ := a.body[name].(string)
	return s
}

func (a answer) list(name string) (list []map[string]any) {
	all, _ := a.body[name].([]any)
	for _, item := range all {
		m, _ := item.(map[string]any)
		list = append(list, m)
	}
	return list
}

// do sends a request; token is a bearer token, body is JSON; either may be "".
func (g *gateway) do(method, path, token, body string) answer {
	g.t.Helper()
	r, err := http.NewRequestWithContext(g.t.Context(), method, g.url+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("User-Agent", "App/1.0 (test)")
	return g.send(r)
}

func (g *gateway) send(r *http.Request) answer {
	g.t.Helper()
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	a := answer{status: res.StatusCode, header: res.Header, raw: string(raw)}
	if strings.Contains(res.Header.Get("Content-Type"), "json") && r.Method != http.MethodHead {
		if err := json.Unmarshal(raw, &a.body); err != nil {
			g.t.Fatalf("%s %s: body %q: %v", r.Method, r.URL.Path, raw, err)
		}
	}
	g.checkHeaders(r, a)
	g.checkSchema(r, a)
	return a
}

// checkHeaders holds every answer of every test to what all answers have.
func (g *gateway) checkHeaders(r *http.Request, a answer) {
	g.t.Helper()
	caching, pragma := "no-store", "no-cache"
	if strings.HasPrefix(r.URL.Path, "/.well-known/") && a.status == http.StatusOK {
		caching, pragma = "public, max-age=900", ""
	}
	if got := a.header.Get("Cache-Control"); got != caching || a.header.Get("Pragma") != pragma {
		g.t.Errorf("%s %s: Cache-Control %q, Pragma %q", r.Method, r.URL.Path, got, a.header.Get("Pragma"))
	}
	if a.header.Get("X-Request-Id") == "" {
		g.t.Errorf("%s %s: no X-Request-Id", r.Method, r.URL.Path)
	}
	// RFC 6750 §3.1 has a challenge for insufficient_scope as well.
	challenged := a.status == http.StatusUnauthorized || a.body["code"] == "insufficient_scope"
	if challenged != (a.header.Get("WWW-Authenticate") != "") && r.Method != http.MethodHead {
		g.t.Errorf("%s %s: %d with WWW-Authenticate %q", r.Method, r.URL.Path, a.status, a.header.Get("WWW-Authenticate"))
	}
	isProblem := a.header.Get("Content-Type") == "application/problem+json"
	if a.status >= 400 && isProblem && r.Method != http.MethodHead && (a.body["status"] != float64(a.status) || a.body["request_id"] != a.header.Get("X-Request-Id")) {
		g.t.Errorf("%s %s: %d with problem %s", r.Method, r.URL.Path, a.status, a.raw)
	}
}

func (g *gateway) want(a answer, status int) answer {
	g.t.Helper()
	if a.status != status {
		g.t.Fatalf("%d %s, want %d", a.status, a.raw, status)
	}
	return a
}

func (g *gateway) wantProblem(a answer, status int, code, reason string) {
	g.t.Helper()
	got, _ := a.body["reason"].(string)
	if a.status != status || a.body["code"] != code || got != reason {
		g.t.Errorf("%d %s, want %d, code %s, reason %q", a.status, a.raw, status, code, reason)
	}
	if a.header.Get("Content-Type") != "application/problem+json" {
		g.t.Errorf("content type %q", a.header.Get("Content-Type"))
	}
}

// addUser makes somebody who signs in with this identifier and the password.
func (g *gateway) addUser(identifier string) string {
	g.t.Helper()
	hasher, err := login.NewHasher(login.HasherOptions{MemoryKiB: 64, Iterations: 1, Parallelism: 1, MaxWait: time.Minute})
	if err != nil {
		g.t.Fatal(err)
	}
	hash, err := hasher.Hash(g.t.Context(), password)
	if err != nil {
		g.t.Fatal(err)
	}
	id := "id of " + identifier
	if err := g.postgres.CreateUser(g.t.Context(), session.User{ID: id, Identifier: identifier, PasswordHash: hash}); err != nil {
		g.t.Fatal(err)
	}
	return id
}

func (g *gateway) login(identifier, pw string) answer {
	g.t.Helper()
	body, _ := json.Marshal(map[string]any{
		"identifier": identifier, "password": pw,
		"device_info": map[string]string{"name": "Ana's iPhone", "platform": "ios", "id": "d1"},
	})
	return g.do(http.MethodPost, "/sessions/login", "", string(body))
}

// open opens a session for a user of the application's own, as its backend does.
func (g *gateway) open(userID string) (token, sid string) {
	g.t.Helper()
	body, _ := json.Marshal(map[string]any{"user_id": userID, "device_info": "a device", "ip_address": "203.0.113.7"})
	a := g.want(g.asClient("shop", clientSecret, "/sessions", "application/json", string(body)), http.StatusCreated)
	sid, _ = a.session()["id"].(string)
	return a.text("access_token"), sid
}

func (g *gateway) asClient(id, secret, path, contentType, body string) answer {
	g.t.Helper()
	r, err := http.NewRequestWithContext(g.t.Context(), http.MethodPost, g.url+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	if id != "" {
		r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
	}
	r.Header.Set("Content-Type", contentType)
	return g.send(r)
}

func (g *gateway) introspect(token string) answer {
	g.t.Helper()
	form := url.Values{"token": {token}}.Encode()
	return g.want(g.asClient("api gateway", clientSecret, "/oauth2/introspect", "application/x-www-form-urlencoded", form), http.StatusOK)
}

// logs waits until the user's log, read with this token, has n rows, and returns
// them, newest first.
func (g *gateway) logs(token string, n int) (rows []map[string]any) {
	g.t.Helper()
	g.eventually("the audit log", func() bool {
		rows = g.want(g.do(http.MethodGet, "/sessions/my-session-logs", token, ""), http.StatusOK).list("logs")
		return len(rows) >= n
	})
	if len(rows) != n {
		g.t.Fatalf("%d rows, want %d: %v", len(rows), n, rows)
	}
	return rows
}

// sign makes a token that the gateway might have made.
func (g *gateway) sign(t session.Token) string {
	g.t.Helper()
	issuer, err := tokens.NewIssuer(g.keys, g.options)
	if err != nil {
		g.t.Fatal(err)
	}
	raw, err := issuer.Sign(t)
	if err != nil {
		g.t.Fatal(err)
	}
	return raw
}

// read returns what a token of the gateway says.
func (g *gateway) read(raw string) session.Token {
	g.t.Helper()
	v, err := tokens.NewVerifier(g.keys, g.options)
	if err != nil {
		g.t.Fatal(err)
	}
	t, err := v.Verify(raw)
	if err != nil {
		g.t.Fatal(err)
	}
	return t
}

// number returns a whole number of an answer.
func (g *gateway) number(a answer, name string) int64 {
	g.t.Helper()
	f, ok := a.body[name].(float64)
	if !ok || f != float64(int64(f)) {
		g.t.Fatalf("%s is %v, want a whole number", name, a.body[name])
	}
	return int64(f)
}

// moment reads a time as every answer writes it.
func (g *gateway) moment(v any) time.Time {
	g.t.Helper()
	s, _ := v.(string)
	at, err := time.Parse("2006-01-02T15:04:05.000Z", s)
	if err != nil {
		g.t.Fatalf("time %v: %v", v, err)
	}
	return at
}
