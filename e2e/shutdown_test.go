package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/internal/testenv"
)

// TestShutdownUnderLoad: clients that keep to /readyz, as a load balancer does,
// notice nothing of a gateway that is told to stop; and everything that they were
// answered is in the log, though no other gateway is left to write it.
func TestShutdownUnderLoad(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.start(t, "SESSIONGATE_HTTP_DRAIN_DELAY=5s")
	ctx, drained := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	var mu sync.Mutex
	var failures []string
	want := map[string][]string{}
	for range 6 {
		clients.Go(func() {
			for ctx.Err() == nil {
				id, rows, failure := visit(t.Context(), g)
				mu.Lock()
				want[id] = rows
				if failure != "" {
					failures = append(failures, failure)
				}
				mu.Unlock()
			}
		})
	}
	eventually(t, func() error {
		mu.Lock()
		defer mu.Unlock()
		if len(want) < 50 {
			return fmt.Errorf("%d visits so far", len(want))
		}
		return nil
	})
	start := time.Now()
	g.signal(syscall.SIGTERM)
	eventually(t, func() error {
		a, err := g.send(t.Context(), call{method: "GET", path: "/readyz"})
		if err != nil {
			return err
		}
		if a.status != http.StatusServiceUnavailable || !strings.Contains(a.body, `"draining"`) {
			return fmt.Errorf("%s, want 503", a)
		}
		return nil
	})
	drained()
	clients.Wait()
	if code := g.exit(t); code != 0 {
		t.Errorf("ended with code %d, want 0:\n%s", code, g.tail())
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %v to stop, want less than http.shutdown_timeout", took)
	}
	if len(failures) > 0 {
		t.Errorf("%d of %d visits failed, the first with %s", len(failures), len(want), failures[0])
	}
	if n := must(t, s.redis.XLen(t.Context(), eventsKey)); n > 0 {
		t.Errorf("%d events were left behind", n)
	}
	for id, rows := range want {
		s.logged(t, id, rows...)
	}
	s.settled(t)
}

// visit opens, asks, refreshes and ends one session.
func visit(ctx context.Context, g *gateway) (id string, rows []string, failure string) {
	id = newID()
	a, err := g.send(ctx, openCall(id))
	token, _, ok := grantOf(a, err)
	if !ok {
		return id, nil, fmt.Sprint(a, err)
	}
	rows = append(rows, "login")
	if a, err = g.send(ctx, introspectCall(token)); err != nil || !strings.Contains(a.body, `"active":true`) {
		return id, rows, fmt.Sprint(a, err)
	}
	a, err = g.send(ctx, refreshCall(token))
	if token, _, ok = grantOf(a, err); !ok {
		return id, rows, fmt.Sprint(a, err)
	}
	rows = append(rows, "token_refresh")
	if a, err = g.send(ctx, logoutCall(token)); err != nil || a.status != http.StatusNoContent {
		return id, rows, fmt.Sprint(a, err)
	}
	return id, append(rows, "logout (logout)"), ""
}

// TestShutdownWaits: a request that has begun is answered, and what it did is in
// the log; nobody new is let in.
func TestShutdownWaits(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.start(t)
	u := s.user(t)
	body := fmt.Sprintf(`{"identifier":%q,"password":%q}`, u.identifier, password)
	conn := dial(t, g)
	if _, err := fmt.Fprintf(conn, "POST /sessions/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		len(body), body[:10]); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		n, err := g.metric(t.Context(), "sessiongate_http_requests_in_flight")
		if err == nil && n < 2 { // the login, and the one that asks
			err = fmt.Errorf("%v requests are under way", n)
		}
		return err
	})
	g.signal(syscall.SIGTERM)
	eventually(t, func() error {
		if a, err := g.send(t.Context(), call{method: "GET", path: "/livez"}); err == nil {
			g.http.CloseIdleConnections()
			return fmt.Errorf("%s, want no connection", a)
		}
		return nil
	})
	if _, err := io.WriteString(conn, body[10:]); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		t.Errorf("the request under way gets %d, want 201", resp.StatusCode)
	}
	if code := g.exit(t); code != 0 {
		t.Errorf("ended with code %d, want 0:\n%s", code, g.tail())
	}
	s.logged(t, u.id, "login")
}

// TestShutdownAtTheStart: who is told to stop before they are up stops.
func TestShutdownAtTheStart(t *testing.T) {
	t.Parallel()
	t.Run("no Redis", func(t *testing.T) {
		t.Parallel()
		p := launch(t, nowhere(), "serve")
		eventually(t, func() error {
			if !strings.Contains(p.output(), "waiting for it") {
				return fmt.Errorf("it says %q", p.output())
			}
			return nil
		})
		p.signal(syscall.SIGTERM)
		if code := p.exit(t); code != 0 {
			t.Errorf("ended with code %d, want 0:\n%s", code, p.tail())
		}
	})
	t.Run("no Postgres", func(t *testing.T) {
		t.Parallel()
		redisURL, _ := testenv.Redis(t)
		s := &stack{redisURL: redisURL, databaseURL: "postgres://u@127.0.0.1:1/d?sslmode=disable"}
		s.startAs(t, "degraded").stop(t)
	})
}
