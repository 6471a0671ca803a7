package e2e

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// near says whether the answer speaks of so many seconds, to the second.
func near(got *int, want int) bool { return got != nil && *got >= want-1 && *got <= want+1 }

var errNotYet = errors.New("the session has not been closed")

// TestB19IdleTimeout: a session ends when its user does nothing. What a gateway asks
// on their behalf is activity; a refresh in the background and a look at the status
// are none.
func TestB19IdleTimeout(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	const idle = 4 * time.Second
	g := s.start(t, "SESSIONGATE_SESSIONS_IDLE_TIMEOUT=4s")
	active, reporting, background := g.open(t, newID()), g.open(t, newID()), g.open(t, newID())
	if first := g.open(t, newID()); !near(first.IdleExpiresIn, 4) || !near(first.AbsoluteExpiresIn, 720*3600) {
		t.Errorf("%+v", first)
	}
	reported := reporting.AccessToken
	current, lost := background.AccessToken, time.Time{}
	poll := time.NewTicker(300 * time.Millisecond)
	defer poll.Stop()
	for lost.IsZero() {
		<-poll.C
		g.do(t, introspectCall(active.AccessToken)).want(t, http.StatusOK)
		c := refreshCall(reported)
		c.json = object{"active": true}
		reported = decode[grant](t, g.do(t, c), http.StatusOK).AccessToken
		switch a := g.do(t, statusCall(current)); a.status {
		case http.StatusOK:
			if !strings.Contains(a.body, `"idle_expires_in":`) {
				t.Fatal(a)
			}
			if a := g.do(t, refreshCall(current)); a.status == http.StatusOK {
				current = decode[grant](t, a, http.StatusOK).AccessToken
			}
		default:
			a.problem(t, http.StatusUnauthorized, "unauthenticated", "logged_out_or_revoked")
			lost = time.Now()
		}
	}
	end := background.Session.CreatedAt.Add(idle)
	if lost.Before(end) {
		t.Errorf("ended %v early", end.Sub(lost))
	}
	g.alive(t, active.AccessToken)
	g.alive(t, reported)
	g.inactive(t, current)
	g.do(t, refreshCall(current)).problem(t, http.StatusUnauthorized, "unauthenticated", "logged_out_or_revoked")

	var ended row
	eventually(t, func() error {
		rows, err := s.query(t.Context(), "user_id = $1 AND action = 'session_expired'", background.Session.UserID)
		if err == nil && len(rows) == 0 {
			err = errNotYet
		}
		if err == nil {
			ended = rows[0]
		}
		return err
	})
	if ended.String() != "session_expired (idle_timeout)" || !ended.at.Equal(end) {
		t.Errorf("row is %q at %v, want idle_timeout at %v", ended, ended.at, end)
	}
	if why := scalar[string](t, s, "SELECT end_reason FROM user_sessions WHERE id = $1", background.Session.ID); why != "idle_timeout" {
		t.Errorf("end_reason is %s", why)
	}
	// Those who were active end as well, once they stop, at what they last did.
	eventually(t, func() error {
		if scalar[bool](t, s, "SELECT is_active FROM user_sessions WHERE id = $1", active.Session.ID) {
			return errNotYet
		}
		return nil
	})
	const exact = "SELECT end_reason = 'idle_timeout' AND ended_at = active_at + interval '4 seconds' AND active_at > created_at FROM user_sessions WHERE id = $1"
	if !scalar[bool](t, s, exact, active.Session.ID) {
		t.Error("the row of the session that had been active says otherwise")
	}
}

// TestB20LimitsByRole: an administrator's sessions are shorter than the others', and
// the answers say so.
func TestB20LimitsByRole(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.start(t, `SESSIONGATE_SESSIONS_RULES=[{"role":"admin","ttl":"5m","idle_timeout":"2m","absolute_lifetime":"10m","remember_lifetime":"0s"}]`)
	open := func(roles ...string) grant {
		c := openCall(newID())
		c.json = object{"user_id": newID(), "roles": roles}
		return decode[grant](t, g.do(t, c), http.StatusCreated)
	}
	admin, other := open("ops", "admin"), open("ops")
	if admin.ExpiresIn != 300 || admin.RefreshAfter >= 300 || !near(admin.IdleExpiresIn, 120) ||
		!near(admin.AbsoluteExpiresIn, 600) {
		t.Errorf("%+v", admin)
	}
	if other.ExpiresIn != 1800 || other.IdleExpiresIn != nil || !near(other.AbsoluteExpiresIn, 720*3600) {
		t.Errorf("%+v", other)
	}
	if again := g.refresh(t, admin.AccessToken); again.ExpiresIn != 300 {
		t.Errorf("refreshed for %d s, want 300", again.ExpiresIn)
	}
	u := s.user(t)
	s.exec(t, "UPDATE users SET roles = '{admin}' WHERE id = $1", u.id)
	c := loginCall(u.identifier, password)
	c.json = object{"identifier": u.identifier, "password": password, "remember": true}
	if got := decode[remembered](t, g.do(t, c), http.StatusCreated); got.RefreshToken != "" {
		t.Error("an administrator's device is remembered")
	}
}

// TestB25DisabledUsers: whoever disables a user, by command or in the table, ends their
// sessions, and their devices stay out.
func TestB25DisabledUsers(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.start(t)
	u, v := s.user(t), s.user(t)
	byCommand, inTable := g.remember(t, u), g.remember(t, v)
	s.command(t, "users", "disable", u.identifier)
	g.over(t, byCommand.AccessToken, "logged_out_or_revoked") // at once
	s.logged(t, u.id, "login", "logout (user_disabled)")

	s.exec(t, "UPDATE users SET is_active = false WHERE id = $1", v.id)
	eventually(t, func() error { // within a sweep
		return g.do(t, statusCall(inTable.AccessToken)).checkProblem(http.StatusUnauthorized, "unauthenticated", "logged_out_or_revoked")
	})
	s.logged(t, v.id, "login", "logout (user_disabled)")
	g.forgotten(t, byCommand.RefreshToken)
	g.forgotten(t, inTable.RefreshToken)
}

// TestB25DisabledUsersDontResume: not even before the sweep has come.
func TestB25DisabledUsersDontResume(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.start(t, "SESSIONGATE_JOBS_SWEEP=@every 1h")
	u := s.user(t)
	r := g.remember(t, u)
	s.exec(t, "UPDATE users SET is_active = false WHERE id = $1", u.id)
	g.forgotten(t, r.RefreshToken)
	s.logged(t, u.id, "login", "login! user disabled (remembered)")
}

// TestB25ErasedUsers: `users erase` ends everything at once.
func TestB25ErasedUsers(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.start(t)
	u := s.user(t)
	r := g.remember(t, u)
	s.command(t, "users", "erase", "--yes", u.identifier)
	g.over(t, r.AccessToken, "logged_out_or_revoked")
	g.forgotten(t, r.RefreshToken)
	g.do(t, loginCall(u.identifier, password)).problem(t, http.StatusUnauthorized, "invalid_credentials", "")
}

// TestB27CapUnderParallelLogins: fifty logins at once against a cap, on two gateways,
// whichever way it is set.
func TestB27CapUnderParallelLogins(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		onLimit string
		refused int
	}{{"deny", 45}, {"evict_oldest", 0}} {
		t.Run(tt.onLimit, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			settings := []string{"SESSIONGATE_SESSIONS_MAX_PER_USER=5", "SESSIONGATE_SESSIONS_ON_LIMIT=" + tt.onLimit}
			a, b := s.start(t, settings...), s.start(t, settings...)
			id := newID()
			var wg sync.WaitGroup
			answers := make([]answer, 50)
			for i := range answers {
				wg.Go(func() { answers[i] = []*gateway{a, b}[i%2].do(t, openCall(id)) })
			}
			wg.Wait()
			refused, live := 0, 0
			for _, got := range answers {
				if got.status == http.StatusConflict {
					got.problem(t, http.StatusConflict, "too_many_sessions", "")
					refused++
					continue
				}
				token := decode[grant](t, got, http.StatusCreated).AccessToken
				if a.do(t, statusCall(token)).status == http.StatusOK {
					live++
				}
			}
			if refused != tt.refused || live != 5 {
				t.Errorf("%d refused, %d live, want %d and 5", refused, live, tt.refused)
			}
		})
	}
}

// TestB32PasswordChange: who changes it stays signed in; everywhere else it is over,
// and no remembered device comes back.
func TestB32PasswordChange(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.start(t)
	u := s.user(t)
	mine, other := g.remember(t, u), g.remember(t, u)
	change := func(current, next string) answer {
		return g.do(t, call{path: "/sessions/password", token: mine.AccessToken, json: object{
			"current_password": current, "new_password": next,
		}})
	}
	next := "next-" + password
	change(wrongPassword, next).problem(t, http.StatusForbidden, "wrong_password", "")
	change(password, "short").problem(t, http.StatusBadRequest, "invalid_request", "")
	change(password, password).problem(t, http.StatusBadRequest, "invalid_request", "")
	g.alive(t, other.AccessToken)
	change(password, next).want(t, http.StatusOK)
	g.over(t, other.AccessToken, "logged_out_or_revoked")
	g.forgotten(t, other.RefreshToken)
	g.alive(t, mine.AccessToken)
	g.do(t, loginCall(u.identifier, password)).problem(t, http.StatusUnauthorized, "invalid_credentials", "")
	again := g.do(t, loginCall(u.identifier, next))
	again.want(t, http.StatusCreated)
	g.resume(t, mine.RefreshToken)
	s.logged(t, u.id, "login", "login", "login! wrong password", "logout (password_changed)", "login! wrong password", "login",
		"login (remembered)", "logout (replaced)")
}

// command runs the program against the stores of the test.
func (s *stack) command(t testing.TB, args ...string) {
	t.Helper()
	if code, p := run(t, s.settings(), args...); code != 0 {
		t.Fatalf("%s ended with code %d:\n%s", p, code, p.tail())
	}
}
