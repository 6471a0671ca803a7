package app

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/sessiongate/sessiongate/internal/config"
	"github.com/sessiongate/sessiongate/internal/testenv"
	"github.com/sessiongate/sessiongate/session"
	"github.com/sessiongate/sessiongate/store"
)

func TestMain(m *testing.M) { testenv.Main(m) }

func testConfig(redisURL, postgresURL string) config.Config {
	cfg := config.Default()
	cfg.HTTP.Addr = "127.0.0.1:0"
	cfg.Redis.URL, cfg.Database.URL = config.Secret(redisURL), config.Secret(postgresURL)
	cfg.Tokens.Secret = "0Jk3u7Qw9Zr5Tx1Vb8Nm2Lp6Hd4Gs0Fa"
	cfg.Audit.FingerprintKey = "another key of at least 32 bytes"
	return cfg
}

type running struct {
	t    *testing.T
	url  string
	stop context.CancelFunc
	down chan error
	log  *syncBuffer
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// launch starts a gateway and does not wait for it.
func launch(t *testing.T, cfg config.Config) (*running, <-chan net.Addr) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	r := &running{t: t, stop: stop, down: make(chan error, 1), log: &syncBuffer{}}
	t.Cleanup(stop)
	up := make(chan net.Addr, 1)
	log := slog.New(slog.NewTextHandler(r.log, nil))
	go func() { r.down <- Run(ctx, cfg, log, func(a net.Addr) { up <- a }) }()
	return r, up
}

func start(t *testing.T, cfg config.Config) *running {
	t.Helper()
	r, up := launch(t, cfg)
	r.await(up)
	return r
}

func (r *running) await(up <-chan net.Addr) {
	r.t.Helper()
	select {
	case addr := <-up:
		r.url = "http://" + addr.String()
	case err := <-r.down:
		r.t.Fatalf("the gateway does not start: %v\n%s", err, r.log)
	case <-time.After(20 * time.Second):
		r.t.Fatalf("the gateway does not start\n%s", r.log)
	}
}

func (r *running) stopped() error {
	r.t.Helper()
	r.stop()
	select {
	case err := <-r.down:
		return err
	case <-time.After(30 * time.Second):
		r.t.Fatalf("the gateway does not stop\n%s", r.log)
		return nil
	}
}

func (r *running) get(path string) (status int, body string) {
	r.t.Helper()
	res, err := http.Get(r.url + path)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// until waits for an answer of /readyz.
func (r *running) until(want string) {
	r.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(20 * time.Second)
	for {
		_, body := r.get("/readyz")
		if body == want {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			r.t.Fatalf("readyz says %s, want %s\n%s", body, want, r.log)
		}
	}
}

const ready = `{"status":"ready","redis":"ok","postgres":"ok"}`

func TestRunAndStop(t *testing.T) {
	redisURL, _ := testenv.Redis(t)
	cfg := testConfig(redisURL, testenv.Postgres(t))
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	defer http.DefaultClient.CloseIdleConnections()
	cfg.HTTP.DrainDelay = 500 * time.Millisecond
	r := start(t, cfg)
	r.until(ready)

	// A request that has begun: its body is not complete.
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const head = "POST /sessions/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n"
	if _, err := io.WriteString(conn, head+"{"); err != nil {
		t.Fatal(err)
	}

	r.stop()
	r.until(`{"status":"draining","redis":"ok","postgres":"ok"}`)
	if status, body := r.get("/livez"); status != http.StatusOK {
		t.Errorf("while draining, livez is %d %s", status, body)
	}
	for refused := false; !refused; { // until nothing new is accepted
		c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
		if refused = err != nil; !refused {
			_ = c.Close()
		}
	}
	if _, err := io.WriteString(conn, "}"); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("the request under way was cut off: %v", err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusBadRequest {
		t.Errorf("the request under way is answered %d", res.StatusCode)
	}
	if err := r.stopped(); err != nil {
		t.Errorf("stops with %v\n%s", err, r.log)
	}
}

// TestLastFlush: what happened in the last moment is in Postgres when Run
// returns, although no job has run.
func TestLastFlush(t *testing.T) {
	t.Parallel()
	redisURL, _ := testenv.Redis(t)
	postgresURL := testenv.Postgres(t)
	cfg := testConfig(redisURL, postgresURL)
	cfg.Jobs.Flush, cfg.Jobs.Activity = "@every 1h", "@every 1h"
	cfg.Clients = []config.Client{{ID: "shop", SecretsSHA256: []string{secretHashOf("client secret")}, Allow: []string{config.AllowSessions}}}
	r := start(t, cfg)
	r.until(ready)

	token := r.openSession("shop", "client secret", "u1")
	if status := r.status(token); status != http.StatusOK {
		t.Fatalf("status is %d", status)
	}
	if err := r.stopped(); err != nil {
		t.Fatalf("stops with %v\n%s", err, r.log)
	}
	db, err := store.OpenPostgres(store.PostgresOptions{URL: postgresURL})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Logs(t.Context(), "u1", store.LogFilter{}, 10)
	if err != nil || len(rows) != 1 || rows[0].Action != session.ActionLogin {
		t.Errorf("the log has %v (%v)", rows, err)
	}
	active, err := db.Active(t.Context(), "", 10)
	if err != nil || len(active) != 1 || !active[0].LastActivity.After(active[0].CreatedAt) {
		t.Errorf("sessions: %+v (%v)", active, err)
	}
}

func (r *running) openSession(client, secret, userID string) (token string) {
	r.t.Helper()
	req, err := http.NewRequest(http.MethodPost, r.url+"/sessions", strings.NewReader(fmt.Sprintf(`{"user_id":%q}`, userID)))
	if err != nil {
		r.t.Fatal(err)
	}
	req.SetBasicAuth(client, strings.ReplaceAll(secret, " ", "+"))
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	var body struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(res.Body).Decode(&body); err != nil || res.StatusCode != http.StatusCreated {
		r.t.Fatalf("%d %v\n%s", res.StatusCode, err, r.log)
	}
	return body.Token
}

func (r *running) status(token string) int {
	r.t.Helper()
	req, err := http.NewRequest(http.MethodGet, r.url+"/sessions/status", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}

func TestStartWithoutPostgres(t *testing.T) {
	t.Parallel()
	pg := testenv.OwnPostgres(t)
	if err := pg.Stop(); err != nil {
		t.Fatal(err)
	}
	redisURL, _ := testenv.Redis(t)
	cfg := testConfig(redisURL, pg.URL())
	cfg.Clients = []config.Client{{ID: "shop", SecretsSHA256: []string{secretHashOf("s")}, Allow: []string{config.AllowSessions}}}
	r := start(t, cfg)
	r.until(`{"status":"degraded","redis":"ok","postgres":"unavailable","degraded":["migrations_pending"]}`)
	token := r.openSession("shop", "s", "u1")
	if status := r.status(token); status != http.StatusOK {
		t.Errorf("status is %d", status)
	}
	if err := pg.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.until(ready)
	if err := r.stopped(); err != nil {
		t.Errorf("stops with %v", err)
	}
}

func TestStopWithoutPostgres(t *testing.T) {
	t.Parallel()
	pg := testenv.OwnPostgres(t)
	redisURL, _ := testenv.Redis(t)
	r := start(t, testConfig(redisURL, pg.URL()))
	r.until(ready)
	if err := pg.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := r.stopped(); err != nil {
		t.Errorf("events that wait in Redis are an error: %v", err)
	}
}

func TestMigrationsByHand(t *testing.T) {
	t.Parallel()
	redisURL, _ := testenv.Redis(t)
	postgresURL := testenv.Postgres(t)
	cfg := testConfig(redisURL, postgresURL)
	cfg.Database.Migrate = false
	r := start(t, cfg)
	r.until(`{"status":"degraded","redis":"ok","postgres":"ok","degraded":["migrations_pending"]}`)
	db, err := store.OpenPostgres(store.PostgresOptions{URL: postgresURL})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.until(ready)
	if err := r.stopped(); err != nil {
		t.Errorf("stops with %v", err)
	}
}

func TestRunRefusesARedisThatEvicts(t *testing.T) {
	t.Parallel()
	rd := testenv.OwnRedis(t)
	o, err := redis.ParseURL(rd.URL())
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(o)
	defer client.Close()
	if err := client.ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err(); err != nil {
		t.Fatal(err)
	}
	r, _ := launch(t, testConfig(rd.URL(), "postgres://127.0.0.1:1/x"))
	if err := <-r.down; !errors.Is(err, store.ErrUnusableRedis) || !strings.Contains(err.Error(), "noeviction") {
		t.Errorf("error %v", err)
	}
}

func TestRunWaitsForRedis(t *testing.T) {
	t.Parallel()
	rd := testenv.OwnRedis(t)
	if err := rd.Stop(); err != nil {
		t.Fatal(err)
	}
	cfg := testConfig(rd.URL(), testenv.Postgres(t))
	told, _ := launch(t, cfg)
	if err := told.stopped(); err != nil {
		t.Errorf("told to stop while it waits: %v", err)
	}
	r, up := launch(t, cfg)
	if err := rd.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.await(up)
	r.until(ready)
	if err := r.stopped(); err != nil {
		t.Errorf("stops with %v", err)
	}
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	redisURL, _ := testenv.Redis(t)
	tests := []struct {
		name   string
		change func(*config.Config)
		want   string
	}{
		{"an address that is taken", func(c *config.Config) { c.HTTP.Addr = taken.Addr().String() }, "address already in use"},
		{"a key that is none", func(c *config.Config) { c.Tokens.Algorithm, c.Tokens.PrivateKey = config.EdDSA, "x" }, "EdDSA"},
		{"a secret that is no hash", func(c *config.Config) {
			c.Clients = []config.Client{{ID: "a", SecretsSHA256: []string{"abc"}}}
		}, "client a"},
		{"two clients of one name", func(c *config.Config) { c.Clients = []config.Client{{ID: "a"}, {ID: "a"}} }, `"a"`},
		{"a proxy that is no network", func(c *config.Config) { c.HTTP.TrustedProxies = []string{"x"} }, `"x"`},
		{"a schedule that is none", func(c *config.Config) { c.Jobs.Sweep = "now and then" }, "sweep"},
		{"a cost that is none", func(c *config.Config) { c.Passwords.MemoryKiB = 0 }, "password"},
		{"a Redis that is none", func(c *config.Config) { c.Redis.URL = "http://:secret@x" }, "URL can't be parsed"},
		{"a Postgres that is none", func(c *config.Config) { c.Database.URL = "postgres://u:secret@h:x/" }, "postgres"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := testConfig(redisURL, "postgres://127.0.0.1:1/x")
			tt.change(&cfg)
			r, _ := launch(t, cfg)
			err := <-r.down
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret@") {
				t.Errorf("error %v, want one that names %s", err, tt.want)
			}
		})
	}
}
