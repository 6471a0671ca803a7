package handlers_test

import (
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/internal/config"
	"github.com/sessiongate/sessiongate/internal/testenv"
)

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
	cfg := testConfig(rd.URL(), testenv.Postgres(t))
	cfg.Redis.Timeout = config.Default().Redis.Timeout
	g := startWith(t, cfg)
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
