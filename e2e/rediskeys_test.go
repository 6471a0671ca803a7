package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// testDeletedKeys: what an administrator does with nothing but redis-cli is in
// force with the very next request, and reconcile puts it on record, once.
func testDeletedKeys(t *testing.T, g *gateway) {
	r := g.stack.redis
	for name, remove := range map[string]func(t *testing.T, s grant) (ended int){
		"DEL user":    func(t *testing.T, s grant) int { must(t, r.Del(t.Context(), userKey(s.Session.UserID))); return 2 },
		"DEL session": func(t *testing.T, s grant) int { must(t, r.Del(t.Context(), sessionKey(s.Session.ID))); return 1 },
		"ZREM": func(t *testing.T, s grant) int {
			must(t, r.ZRem(t.Context(), userKey(s.Session.UserID), s.Session.ID))
			return 1
		},
		"UNLINK both": func(t *testing.T, s grant) int {
			must(t, r.Unlink(t.Context(), userKey(s.Session.UserID), sessionKey(s.Session.ID)))
			return 2
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			id := newID()
			s, other, stranger := g.open(t, id), g.open(t, id), g.open(t, newID())
			g.alive(t, s.AccessToken)
			ended := remove(t, s)
			g.over(t, s.AccessToken, "logged_out_or_revoked")
			g.do(t, refreshCall(s.AccessToken)).problem(t, http.StatusUnauthorized, "unauthenticated", "logged_out_or_revoked")
			if ended == 2 {
				g.over(t, other.AccessToken, "logged_out_or_revoked")
			} else {
				g.alive(t, other.AccessToken)
			}
			g.alive(t, stranger.AccessToken)
			later := g.open(t, id) // logins work, and bring nothing back
			g.alive(t, later.AccessToken)
			g.over(t, s.AccessToken, "logged_out_or_revoked")

			want := []string{"login", "login", "login"}
			for range ended {
				want = append(want, "logout (removed_in_redis)")
			}
			g.stack.logged(t, id, want...)
			g.runs(t, "reconcile", 2)
			g.runs(t, "sweep", 2)
			g.stack.logged(t, id, want...)
			const states = "SELECT count(*) FROM user_sessions WHERE user_id = $1 AND NOT is_active AND end_reason = 'removed_in_redis'"
			if n := scalar[int](t, g.stack, states, id); n != ended {
				t.Errorf("%d sessions are recorded as removed, want %d", n, ended)
			}
		})
	}
}

// testDeadlines: the keys live exactly as long as the token says.
func testDeadlines(t *testing.T, g *gateway) {
	r := g.stack.redis
	id := newID()
	check := func(s grant) {
		t.Helper()
		_, claims := parts(t, s.AccessToken)
		exp := time.Duration(claims["exp"].(float64)) * time.Second
		if got := must(t, r.PExpireTime(t.Context(), sessionKey(s.Session.ID))); got != exp {
			t.Errorf("the session's key lives until %v, its token until %v", got, exp)
		}
		if got := must(t, r.ZScore(t.Context(), userKey(id), s.Session.ID)); got != float64(exp.Milliseconds()) {
			t.Errorf("the user's key lists it until %v, want %v", got, exp.Milliseconds())
		}
	}
	first := g.open(t, id)
	check(first)
	second := g.open(t, id)
	check(second)
	eventually(t, func() error {
		if now := time.Now(); now.Unix() <= second.Session.CreatedAt.Unix() {
			return fmt.Errorf("it is still %v", now)
		}
		return nil
	})
	first = g.refresh(t, first.AccessToken)
	check(first)
	check(second)
	if got := must(t, r.PExpireTime(t.Context(), userKey(id))); got != time.Duration(first.Session.ExpiresAt.UnixMilli())*time.Millisecond {
		t.Errorf("the user's key lives until %v, want %v", got, first.Session.ExpiresAt)
	}
	for _, key := range []string{sessionKey(first.Session.ID), userKey(id)} {
		if encoding := must(t, r.ObjectEncoding(t.Context(), key)); encoding != "listpack" {
			t.Errorf("%s is a %s, want a listpack", key, encoding)
		}
	}
	if meta := must(t, r.HGetAll(t.Context(), "sg:meta")); meta["partitions"] != "1" || meta["schema"] == "" {
		t.Errorf("sg:meta is %v", meta)
	}
}

// testForeignEntries: what somebody else wrote into the stream is parked with the
// reason, and holds up nobody.
func testForeignEntries(t *testing.T, g *gateway) {
	id := newID()
	marker := newID()
	g.open(t, id)
	for _, values := range []map[string]any{
		{"foo": "bar " + marker},
		{"v": "99", "id": marker},
		{"v": "1", "id": marker, "action": "login", "user": "\xff"},
		{"v": "1", "big": marker + strings.Repeat("x", 1<<17)},
	} {
		must(t, g.stack.redis.XAdd(t.Context(), &redis.XAddArgs{Stream: eventsKey, Values: values}))
	}
	g.open(t, id)
	g.stack.logged(t, id, "login", "login")
	g.stack.flushed(t)
	const parked = "SELECT count(*) FROM session_logs_dead WHERE payload::text LIKE '%' || $1 || '%' AND error <> ''"
	if n := scalar[int](t, g.stack, parked, marker); n != 4 {
		t.Errorf("%d entries are parked, want 4", n)
	}
}

// TestLogoutIsNotTakenForRemoval: a logout whose event is still on its way to
// Postgres looks like a key that somebody removed. Reconcile waits for it.
func TestLogoutIsNotTakenForRemoval(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	never := "SESSIONGATE_JOBS_FLUSH=0 0 1 1 *"
	b := s.start(t)
	id := newID()
	token := b.open(t, id).AccessToken
	s.logged(t, id, "login")
	b.stop(t)

	a := s.start(t, never)
	a.do(t, logoutCall(token)).want(t, http.StatusNoContent)
	eventually(t, func() error { // it holds on at the missing session
		n, err := a.metric(t.Context(), runsOf("reconcile", "skipped"))
		if err == nil && n < 2 {
			err = fmt.Errorf("reconcile does not wait: %v runs were skipped", n)
		}
		return err
	})
	s.start(t)
	s.logged(t, id, "login", "logout (logout)")
	a.runs(t, "reconcile", 2)
	s.logged(t, id, "login", "logout (logout)")
}
