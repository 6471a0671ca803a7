package e2e

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"
)

// remembered is a grant with what a device gets that is remembered.
type remembered struct {
	grant
	RefreshToken string `json:"refresh_token"`
	RefreshLives int    `json:"refresh_token_expires_in"`
}

// remember signs the user in on a device that asks to be remembered.
func (g *gateway) remember(t testing.TB, u user) remembered {
	t.Helper()
	c := loginCall(u.identifier, password)
	c.json = object{"identifier": u.identifier, "password": password, "device_info": "a phone", "remember": true}
	got := decode[remembered](t, g.do(t, c), http.StatusCreated)
	if got.RefreshToken == "" {
		t.Fatal("no refresh token")
	}
	return got
}

func resumeCall(token string) call {
	return call{path: "/sessions/resume", json: object{"refresh_token": token}}
}

func (g *gateway) resume(t testing.TB, token string) remembered {
	t.Helper()
	return decode[remembered](t, g.do(t, resumeCall(token)), http.StatusCreated)
}

// forgotten fails the test unless the refresh token begins no session.
func (g *gateway) forgotten(t testing.TB, token string) {
	t.Helper()
	g.do(t, resumeCall(token)).problem(t, http.StatusUnauthorized, "unauthenticated", "not_remembered")
}

// runOut lets a session's time be over.
func (s *stack) runOut(t testing.TB, r remembered) {
	t.Helper()
	must(t, s.redis.Del(t.Context(), sessionKey(r.Session.ID)))
	s.exec(t, "UPDATE user_sessions SET expires_at = now() - interval '1 second' WHERE id = $1", r.Session.ID)
}

// daysPass moves the last use of the remembered device into the past.
func (s *stack) daysPass(t testing.TB, r remembered) {
	t.Helper()
	for _, key := range must(t, s.redis.Keys(t.Context(), "sg:{0}:grant:*")) {
		if must(t, s.redis.HGet(t.Context(), key, "s")) == r.Session.ID {
			must(t, s.redis.HSet(t.Context(), key, "r", time.Now().Add(-72*time.Hour).UnixMilli()))
			return
		}
	}
	t.Fatal("no such device in Redis")
}

// TestC34RefreshTokensRotate: each resumption gives another token and a session of its
// own, which says that no password was given for it.
func TestC34RefreshTokensRotate(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.start(t, "SESSIONGATE_SESSIONS_REMEMBER_LIFETIME=48h")
	u := s.user(t)
	first := g.remember(t, u)
	if first.RefreshLives < 48*3600-5 || first.RefreshLives > 48*3600 {
		t.Errorf("refresh_token_expires_in %d", first.RefreshLives)
	}
	s.flushed(t)
	s.runOut(t, first)
	second := g.resume(t, first.RefreshToken)
	third := g.resume(t, second.RefreshToken)
	for _, r := range []remembered{second, third} {
		if r.Session.ID == first.Session.ID || r.RefreshToken == first.RefreshToken || len(r.Session.AMR) != 1 ||
			r.Session.AMR[0] != "remembered" || r.Session.DeviceInfo != "a phone" {
			t.Errorf("%+v", r.Session)
		}
	}
	in := decode[introspection](t, g.do(t, introspectCall(third.AccessToken)), http.StatusOK)
	if !in.Active || in.AuthTime != first.Session.CreatedAt.Unix() {
		t.Errorf("%+v, want auth_time %d", in, first.Session.CreatedAt.Unix())
	}
	g.over(t, first.AccessToken, "logged_out_or_revoked")
	g.over(t, second.AccessToken, "logged_out_or_revoked")
	g.alive(t, third.AccessToken)
	s.logged(t, u.id, "login", "session_expired (expired)", "login (remembered)", "logout (replaced)", "login (remembered)")
	if n := scalar[int](t, s, "SELECT count(DISTINCT grant_id) FROM user_sessions WHERE user_id = $1", u.id); n != 1 {
		t.Errorf("%d devices in user_sessions, want 1", n)
	}
}

// TestC35LostAnswer: the same token again gives the same successor and session.
func TestC35LostAnswer(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.start(t)
	u := s.user(t)
	first := g.remember(t, u)
	second := g.resume(t, first.RefreshToken)
	s.daysPass(t, second)
	again := g.resume(t, first.RefreshToken)
	if again.RefreshToken != second.RefreshToken || again.Session.ID != second.Session.ID {
		t.Errorf("session %s, want %s", again.Session.ID, second.Session.ID)
	}
	s.logged(t, u.id, "login", "login (remembered)", "logout (replaced)")
}

// TestC36FiftyResumptions: fifty at once with one token are one session.
func TestC36FiftyResumptions(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	a, b := s.start(t), s.start(t)
	u := s.user(t)
	first := a.remember(t, u)
	var wg sync.WaitGroup
	answers := make([]answer, 50)
	for i := range answers {
		wg.Go(func() { answers[i] = []*gateway{a, b}[i%2].do(t, resumeCall(first.RefreshToken)) })
	}
	wg.Wait()
	want := decode[remembered](t, answers[0], http.StatusCreated)
	for _, got := range answers {
		if r := decode[remembered](t, got, http.StatusCreated); r.Session.ID != want.Session.ID || r.RefreshToken != want.RefreshToken {
			t.Errorf("session %s, want %s", r.Session.ID, want.Session.ID)
		}
	}
	s.logged(t, u.id, "login", "login (remembered)", "logout (replaced)")
}

// TestC37RefreshTokenReusedAfterDays: who presents an old token loses the device, and
// only that.
func TestC37RefreshTokenReusedAfterDays(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.start(t)
	u := s.user(t)
	stolen, other := g.remember(t, u), g.remember(t, u)
	mine := g.resume(t, stolen.RefreshToken)
	g.alive(t, mine.AccessToken) // so the answer has arrived
	eventually(t, func() error {
		for _, key := range must(t, s.redis.Keys(t.Context(), "sg:{0}:grant:*")) {
			if must(t, s.redis.HExists(t.Context(), key, "c")) && must(t, s.redis.HGet(t.Context(), key, "s")) == mine.Session.ID {
				return nil
			}
		}
		return fmt.Errorf("the gateway has not noted that the session is in use")
	})
	s.daysPass(t, mine)
	g.forgotten(t, stolen.RefreshToken)
	g.over(t, mine.AccessToken, "logged_out_or_revoked")
	g.forgotten(t, mine.RefreshToken)
	g.alive(t, other.AccessToken)
	g.resume(t, other.RefreshToken)
	s.logged(t, u.id, "login", "login", "login (remembered)", "logout (replaced)",
		"login! refresh_token_reused (remembered)", "logout (refresh_reused)", "login (remembered)", "logout (replaced)")
}

// TestC38GraceIsNotChained: the token before the previous one is never good.
func TestC38GraceIsNotChained(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.start(t)
	first := g.remember(t, s.user(t))
	third := g.resume(t, g.resume(t, first.RefreshToken).RefreshToken)
	g.forgotten(t, first.RefreshToken)
	g.over(t, third.AccessToken, "logged_out_or_revoked")
}

// TestA3TruncatedRefreshToken: a token that is cut, or longer, is none, and ends nothing.
func TestA3TruncatedRefreshToken(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.start(t)
	first := g.remember(t, s.user(t))
	for _, token := range []string{
		first.RefreshToken[:len(first.RefreshToken)-1], first.RefreshToken + "A", first.RefreshToken[4:], "sgr_", "x",
		first.AccessToken, first.RefreshToken + "=",
	} {
		g.forgotten(t, token)
	}
	g.do(t, resumeCall("")).problem(t, http.StatusBadRequest, "invalid_request", "")
	g.alive(t, first.AccessToken)
	g.resume(t, first.RefreshToken)
}

// TestB21LogoutForgetsTheDevice, and so do logout-all, DEL of the user's key, and the
// user's own list of devices.
func TestB21LogoutForgetsTheDevice(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.start(t)
	for name, end := range map[string]func(u user, r remembered){
		"logout":     func(_ user, r remembered) { g.do(t, logoutCall(r.AccessToken)).want(t, http.StatusNoContent) },
		"logout-all": func(_ user, r remembered) { g.do(t, logoutAllCall(r.AccessToken)).want(t, http.StatusOK) },
		"DEL user":   func(u user, _ remembered) { must(t, s.redis.Del(t.Context(), userKey(u.id))) },
		"ZREM sid":   func(u user, r remembered) { must(t, s.redis.ZRem(t.Context(), userKey(u.id), r.Session.ID)) },
	} {
		u := s.user(t)
		r := g.remember(t, u)
		end(u, r)
		g.do(t, statusCall(r.AccessToken)).problem(t, http.StatusUnauthorized, "unauthenticated", "logged_out_or_revoked")
		a := g.do(t, resumeCall(r.RefreshToken))
		if a.status != http.StatusUnauthorized {
			t.Errorf("%s: the device comes back: %s", name, a)
		}
	}
}

type devicePage struct {
	Devices []struct {
		ID, Device, Sid string
		Current         bool
		IPAddress       string `json:"ip_address"`
		CreatedAt       stamp  `json:"created_at"`
		LastUsed        stamp  `json:"last_used"`
		ExpiresAt       stamp  `json:"expires_at"`
	}
}

// TestB26MyDevices: a user sees the devices that are remembered, and forgets one.
func TestB26MyDevices(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.start(t)
	u := s.user(t)
	mine, other, stranger := g.remember(t, u), g.remember(t, u), g.remember(t, s.user(t))
	g.login(t, u) // is not remembered
	list := decode[devicePage](t, g.do(t, get("/sessions/my-devices", mine.AccessToken)), http.StatusOK).Devices
	if len(list) != 2 {
		t.Fatalf("%d devices, want 2: %+v", len(list), list)
	}
	var id string
	for _, d := range list {
		if d.Device != "a phone" || d.Current != (d.Sid == mine.Session.ID) || d.Sid != mine.Session.ID && d.Sid != other.Session.ID {
			t.Errorf("%+v", d)
		}
		if !d.Current {
			id = d.ID
		}
	}
	forget := func(token, id string) answer {
		return g.do(t, call{method: http.MethodDelete, path: "/sessions/my-devices/" + id, token: token})
	}
	forget(stranger.AccessToken, id).problem(t, http.StatusNotFound, "not_found", "")
	forget(mine.AccessToken, "x").problem(t, http.StatusNotFound, "not_found", "")
	forget(mine.AccessToken, id).want(t, http.StatusNoContent)
	forget(mine.AccessToken, id).problem(t, http.StatusNotFound, "not_found", "")
	g.over(t, other.AccessToken, "logged_out_or_revoked")
	g.forgotten(t, other.RefreshToken)
	g.alive(t, mine.AccessToken)
}
