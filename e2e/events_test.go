package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// events is the other end of GET /sessions/events.
type events struct {
	t     *testing.T
	lines *bufio.Scanner
}

// listen opens the stream and wants it to say hello for this session.
func (g *gateway) listen(t *testing.T, c call, sid string) *events {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	c.method, c.path = http.MethodGet, "/sessions/events"
	r, err := c.request(ctx, g.url)
	if err != nil {
		t.Fatal(err)
	}
	client := newHTTPClient()
	client.Timeout = 0
	t.Cleanup(client.CloseIdleConnections)
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	e := &events{t, bufio.NewScanner(resp.Body)}
	if name, data := e.next(); name != "hello" || data["sid"] != sid || data["server_time"] == nil || len(data) != 2 {
		t.Fatalf("the first event is %s %v", name, data)
	}
	return e
}

// next returns the next event; "" at the stream's end.
func (e *events) next() (name string, data object) {
	e.t.Helper()
	for e.lines.Scan() {
		switch field, value, _ := strings.Cut(e.lines.Text(), ": "); field {
		case "event":
			name = value
		case "data":
			if err := json.Unmarshal([]byte(value), &data); err != nil {
				e.t.Fatalf("data %q: %v", value, err)
			}
		case "":
			if name != "" && value == "" {
				return name, data
			}
		}
	}
	return "", nil
}

// end wants the session's end for this reason, and the stream's.
func (e *events) end(sid, reason string) time.Time {
	e.t.Helper()
	name, data := e.next()
	if name != "ended" || data["sid"] != sid || data["reason"] != reason || data["ended_at"] == nil || len(data) != 3 {
		e.t.Fatalf("the event is %q %v, want ended, %s", name, data, reason)
	}
	at, err := time.Parse(stampFormat, data["ended_at"].(string))
	if err != nil || time.Since(at).Abs() > patience {
		e.t.Errorf("ended_at is %v", data["ended_at"])
	}
	if name, data := e.next(); name != "" {
		e.t.Errorf("after the end: %s %v", name, data)
	}
	return at
}

func TestLiveSignOut(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g, other := s.start(t), s.start(t)
	for name, test := range map[string]func(*testing.T){
		"logged out at another gateway, bearer": func(t *testing.T) {
			mine, spared := g.open(t, newID()), g.open(t, newID())
			e := g.listen(t, call{token: mine.AccessToken}, mine.Session.ID)
			quiet := g.listen(t, call{token: spared.AccessToken}, spared.Session.ID)
			other.do(t, logoutCall(mine.AccessToken)).want(t, http.StatusNoContent)
			e.end(mine.Session.ID, "logout")
			other.do(t, logoutAllCall(spared.AccessToken)).want(t, http.StatusOK)
			quiet.end(spared.Session.ID, "logout_all") // and nothing before it
		},
		"ended from another device, cookie": func(t *testing.T) {
			u := s.user(t)
			token, first := g.signIn(t, u)
			e := g.listen(t, call{}.cookie(token), first.ID)
			other.do(t, call{method: http.MethodDelete, path: "/sessions/my-sessions/" + first.ID, token: g.login(t, u).AccessToken}).
				want(t, http.StatusNoContent)
			e.end(first.ID, "revoked")
		},
		"removed by hand": func(t *testing.T) {
			mine := g.open(t, newID())
			s.flushed(t) // reconcile goes by what Postgres knows
			e := g.listen(t, call{token: mine.AccessToken}, mine.Session.ID)
			must(t, s.redis.Del(t.Context(), userKey(mine.Session.UserID)))
			e.end(mine.Session.ID, "removed_in_redis")
		},
		"refused": func(t *testing.T) {
			mine := g.open(t, newID())
			g.do(t, logoutCall(mine.AccessToken)).want(t, http.StatusNoContent)
			g.do(t, get("/sessions/events", mine.AccessToken)).problem(t, http.StatusUnauthorized, "unauthenticated", "logged_out_or_revoked")
			g.do(t, get("/sessions/events", "")).problem(t, http.StatusUnauthorized, "unauthenticated", "")
			g.do(t, get("/sessions/events?access_token="+g.open(t, newID()).AccessToken, "")).problem(t, http.StatusUnauthorized, "unauthenticated", "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

// A session ends when its time is up, and that is later if it was refreshed while
// somebody listened.
func TestLiveSignOutAtExpiry(t *testing.T) {
	t.Parallel()
	g := newStack(t).start(t, "SESSIONGATE_SESSIONS_TTL=4s", "SESSIONGATE_SESSIONS_REFRESH_AFTER=2s",
		"SESSIONGATE_SESSIONS_GRACE=1s", "SESSIONGATE_TOKENS_LEEWAY=1s")
	mine := g.open(t, newID())
	e := g.listen(t, call{token: mine.AccessToken}, mine.Session.ID)
	latest := mine
	eventually(t, func() error {
		latest = g.refresh(t, latest.AccessToken)
		if !latest.Session.ExpiresAt.After(mine.Session.ExpiresAt.Time) {
			return fmt.Errorf("after a refresh it expires at %v as before", latest.Session.ExpiresAt)
		}
		return nil
	})
	if at := e.end(mine.Session.ID, "expired"); !at.Equal(latest.Session.ExpiresAt.Time) {
		t.Errorf("it ended at %v, want %v", at, latest.Session.ExpiresAt)
	}
}

// A session ends when its user does nothing, and that is later if a client says that
// they did.
func TestLiveSignOutWhenIdle(t *testing.T) {
	t.Parallel()
	g := newStack(t).start(t, "SESSIONGATE_SESSIONS_IDLE_TIMEOUT=2s")
	mine := g.open(t, newID())
	e := g.listen(t, call{token: mine.AccessToken}, mine.Session.ID)
	eventually(t, func() error {
		if since := time.Since(mine.Session.CreatedAt.Time); since < time.Second {
			return fmt.Errorf("%v after it began", since)
		}
		return nil
	})
	c := refreshCall(mine.AccessToken)
	c.json = object{"active": true}
	g.do(t, c).want(t, http.StatusOK)
	at := e.end(mine.Session.ID, "idle_timeout")
	if after := at.Sub(mine.Session.CreatedAt.Time); after < 3*time.Second || after > 8*time.Second {
		t.Errorf("it ended %v after it began, want 2s after its user did something at 1s", after)
	}
}

// The gateway goes down without waiting for those who listen, and says nothing of
// their sessions.
func TestLiveSignOutAtShutdown(t *testing.T) {
	t.Parallel()
	g := newStack(t).start(t)
	mine := g.open(t, newID())
	e := g.listen(t, call{token: mine.AccessToken}, mine.Session.ID)
	g.stop(t)
	if name, data := e.next(); name != "" {
		t.Errorf("the gateway says %s %v on its way down", name, data)
	}
}
