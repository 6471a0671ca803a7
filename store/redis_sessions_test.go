package store

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/session"
)

func TestCreate(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	agent := "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 Version/19.1 Mobile/15E148"
	s := session.Session{
		ID: session.NewID(f.Clock()), UserID: "42", ClientID: "mobile", Scope: "read write", AMR: []string{"pwd", "otp"},
		Username: "ana@example.com", Roles: []string{"admin"},
		Device: session.Device{Name: "Ana's iPhone", Platform: "ios", ID: "dev-1"}, IP: "203.0.113.7", UserAgent: agent,
	}
	s = f.create(s)

	t.Run("the hash holds the session, compactly", func(t *testing.T) {
		hash := f.hashOf(s)
		ref := hash["w"]
		want := map[string]string{
			"u": "42", "g": "0", "a": strconv.FormatInt(s.AbsoluteExpiresAt.Unix(), 10), "k": "mobile\tread write\tpwd otp\tana@example.com\tadmin",
			"d": "Ana's iPhone\tios\tdev-1", "n": "203.0.113.7", "w": ref,
		}
		if !maps.Equal(hash, want) {
			t.Errorf("hash is %q, want %q", hash, want)
		}
		if got := f.raw.Get(t.Context(), f.keys.text(0, strings.TrimPrefix(ref, "@"))).Val(); got != agent {
			t.Errorf("the text behind w is %q, want the user agent", got)
		}
		if got := f.raw.ObjectEncoding(t.Context(), f.keys.session("42", s.ID)).Val(); got != "listpack" {
			t.Errorf("encoding is %s, want listpack", got)
		}
	})
	t.Run("the keys live exactly as long as the token", func(t *testing.T) {
		exp := s.Token().ExpiresAt
		if !exp.Equal(s.ExpiresAt) || exp.Nanosecond() != 0 {
			t.Errorf("exp is %v, session expires at %v; want the same whole second", exp, s.ExpiresAt)
		}
		for _, key := range []string{f.keys.session("42", s.ID), f.keys.user("42")} {
			if at := f.raw.PExpireTime(t.Context(), key).Val(); at != time.Duration(exp.UnixMilli())*time.Millisecond {
				t.Errorf("%s expires at %d, want %d", key, at.Milliseconds(), exp.UnixMilli())
			}
		}
		if left := s.ExpiresAt.Sub(f.Clock()); left < 29*time.Minute || left > 30*time.Minute+time.Second {
			t.Errorf("session lives %v, want 30m", left)
		}
	})
	t.Run("the user's zset lists it by expiry", func(t *testing.T) {
		if score := f.raw.ZScore(t.Context(), f.keys.user("42"), string(s.ID)).Val(); scoreTime(score) != s.ExpiresAt {
			t.Errorf("score is %f, want %d", score, s.ExpiresAt.UnixMilli())
		}
	})
	t.Run("the event has all that the row needs", func(t *testing.T) {
		e := f.appended()[0]
		if e.Action != session.ActionLogin || !e.Success || e.UserID != "42" || e.SessionID != s.ID ||
			e.Device != s.Device || e.SessionPlace != s.Place() || e.ClientID != "mobile" || e.Scope != s.Scope ||
			!slices.Equal(e.AMR, s.AMR) || !e.ExpiresAt.Equal(s.ExpiresAt) || !e.AbsoluteExpiresAt.Equal(s.AbsoluteExpiresAt) {
			t.Errorf("event is %+v", e)
		}
	})
	t.Run("Get gives it back", func(t *testing.T) {
		got, err := f.Get(t.Context(), "42", s.ID)
		if err != nil {
			t.Fatal(err)
		}
		s.AuthTime = s.CreatedAt
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", s) {
			t.Errorf("Get gives\n%+v, want\n%+v", got, s)
		}
	})
}

func TestCreateIsIdempotent(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	s, op := session.Session{ID: session.NewID(f.Clock()), UserID: "42"}, f.op()
	first, _, err := f.Create(t.Context(), s, op)
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := f.Create(t.Context(), s, op)
	if err != nil || !again.ExpiresAt.Equal(first.ExpiresAt) {
		t.Errorf("again: expires at %v, error %v; want %v", again.ExpiresAt, err, first.ExpiresAt)
	}
	f.wantActions("login")

	if _, err := f.Revoke(t.Context(), "42", s.ID, session.EndLogout, f.op()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Create(t.Context(), s, op); err != nil {
		t.Fatal(err)
	}
	f.wantExists(false, f.keys.session("42", s.ID)) // a late repeat brings nothing back
	f.wantActions("login", "logout:logout")
}

func TestCreateRefusesAStaleRequest(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	for _, age := range []time.Duration{31 * time.Second, -31 * time.Second} {
		op := f.op()
		op.CreatedAt = op.CreatedAt.Add(-age)
		op.ID = session.NewEventID(op.CreatedAt)
		_, _, err := f.Create(t.Context(), session.Session{ID: session.NewID(op.CreatedAt), UserID: "42"}, op)
		if !errors.Is(err, session.ErrUnavailable) {
			t.Errorf("age %v: error is %v, want ErrUnavailable", age, err)
		}
	}
	f.wantActions()
}

func TestCreateEvictsTheOldest(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(o *RedisOptions) { o.Policy.MaxPerUser = 2 })
	begin := f.Clock().Add(-time.Second)
	var made []session.Session
	for i := range 4 {
		s := session.Session{ID: session.NewID(begin.Add(time.Duration(i) * time.Millisecond)), UserID: "42"}
		made = append(made, f.create(s))
	}
	for i, s := range made {
		_, err := f.Validate(t.Context(), s.Token())
		if evicted := errors.Is(err, session.ErrEnded); evicted != (i < 2) {
			t.Errorf("session %d: %v", i, err)
		}
	}
	f.wantActions("login", "login", "login", "logout:evicted", "login", "logout:evicted")
	if e := f.appended()[3]; e.SessionID != made[0].ID || e.ID != session.EndingID(made[0].ID) || e.Ends != session.EndEvicted {
		t.Errorf("evicted event is %+v", e)
	}
}

// TestCreateKeepsTheCap: a crowd at the door is still let in one at a time.
func TestCreateKeepsTheCap(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(o *RedisOptions) { o.Policy.MaxPerUser = 3 })
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { f.login("42") })
	}
	wg.Wait()
	live, err := f.List(t.Context(), "42")
	if err != nil || len(live) != 3 {
		t.Errorf("%d sessions are live, error %v; want 3", len(live), err)
	}
}

func TestAbsoluteDeadline(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(o *RedisOptions) { o.Policy.Absolute = 10 * time.Minute })
	s := f.login("42")
	if !s.ExpiresAt.Equal(s.AbsoluteExpiresAt) {
		t.Errorf("expires at %v, want the absolute deadline %v", s.ExpiresAt, s.AbsoluteExpiresAt)
	}
	if next := f.refresh(s.Token()); !next.ExpiresAt.Equal(s.ExpiresAt) {
		t.Errorf("a refresh moved the deadline to %v, beyond %v", next.ExpiresAt, s.AbsoluteExpiresAt)
	}

	f = newFixture(t, func(o *RedisOptions) { o.Policy.Absolute = 0 })
	if s := f.login("42"); !s.AbsoluteExpiresAt.IsZero() {
		t.Errorf("absolute deadline is %v, want none", s.AbsoluteExpiresAt)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		change func(*fixture, session.Session) session.Token
		want   error
	}{
		{"a fresh token", func(_ *fixture, s session.Session) session.Token { return s.Token() }, nil},
		{"session key deleted by hand", func(f *fixture, s session.Session) session.Token {
			f.raw.Del(f.Context(), f.keys.session(s.UserID, s.ID))
			return s.Token()
		}, session.ErrEnded},
		{"user key deleted by hand", func(f *fixture, s session.Session) session.Token {
			f.raw.Del(f.Context(), f.keys.user(s.UserID))
			return s.Token()
		}, session.ErrEnded},
		{"sid removed from the user by hand", func(f *fixture, s session.Session) session.Token {
			f.raw.ZRem(f.Context(), f.keys.user(s.UserID), string(s.ID))
			return s.Token()
		}, session.ErrEnded},
		{"session key expired", func(f *fixture, s session.Session) session.Token {
			f.raw.PExpireAt(f.Context(), f.keys.session(s.UserID, s.ID), f.Clock())
			return s.Token()
		}, session.ErrEnded},
		{"somebody else's sid", func(f *fixture, s session.Session) session.Token {
			token := s.Token()
			token.UserID = f.login("43").UserID
			return token
		}, session.ErrEnded},
		{"hash of another user under the sid", func(f *fixture, s session.Session) session.Token {
			f.raw.HSet(f.Context(), f.keys.session(s.UserID, s.ID), "u", "43")
			return s.Token()
		}, session.ErrEnded},
		{"the new token after a refresh", func(f *fixture, s session.Session) session.Token {
			next := f.refresh(s.Token())
			return next.Token()
		}, nil},
		{"the previous token, its successor unused", func(f *fixture, s session.Session) session.Token {
			f.backdate(f.refresh(s.Token()), 20*time.Minute)
			return s.Token()
		}, nil},
		{"the previous token within the grace", func(f *fixture, s session.Session) session.Token {
			f.use(f.refresh(s.Token()))
			return s.Token()
		}, nil},
		{"the previous token after the grace", func(f *fixture, s session.Session) session.Token {
			f.use(f.backdate(f.refresh(s.Token()), 31*time.Second))
			return s.Token()
		}, session.ErrSuperseded},
		{"a token two generations old", func(f *fixture, s session.Session) session.Token {
			next := f.refresh(s.Token())
			f.refresh(next.Token())
			return s.Token()
		}, session.ErrSuperseded},
		{"a generation that Redis lost", func(f *fixture, s session.Session) session.Token {
			next := f.refresh(s.Token())
			f.raw.HSet(f.Context(), f.keys.session(s.UserID, s.ID), "g", "0")
			f.raw.HDel(f.Context(), f.keys.session(s.UserID, s.ID), "r")
			return next.Token()
		}, nil},
		{"a token of a lineage that Redis lost", func(f *fixture, s session.Session) session.Token {
			next := f.refresh(s.Token())
			f.backdate(next, time.Hour)
			return next.Token()
		}, session.ErrSuperseded},
		{"a generation that is no number", func(f *fixture, s session.Session) session.Token {
			f.raw.HSet(f.Context(), f.keys.session(s.UserID, s.ID), "g", "nan")
			return s.Token()
		}, session.ErrUnavailable},
		{"a user key of the wrong type", func(f *fixture, s session.Session) session.Token {
			f.raw.Del(f.Context(), f.keys.user(s.UserID))
			f.raw.Set(f.Context(), f.keys.user(s.UserID), "x", 0)
			return s.Token()
		}, session.ErrUnavailable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, nil)
			token := tc.change(f, f.login("42"))
			got, err := f.Validate(t.Context(), token)
			if !errors.Is(err, tc.want) || (tc.want == nil && err != nil) {
				t.Fatalf("error is %v, want %v", err, tc.want)
			}
			if err == nil && (got.ID != token.SessionID || got.UserID != token.UserID) {
				t.Errorf("session is %+v", got)
			}
		})
	}
}

func TestRefresh(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		present func(*fixture, session.Session) session.Token
		rotated bool
		want    error
		actions []string // after the login
	}{
		{"the current token rotates", func(_ *fixture, s session.Session) session.Token {
			return s.Token()
		}, true, nil, []string{"token_refresh"}},
		{"a lost answer gets the same successor, however late, while it is unused", func(f *fixture, s session.Session) session.Token {
			f.backdate(f.refresh(s.Token()), 25*time.Minute)
			return s.Token()
		}, false, nil, []string{"token_refresh"}},
		{"a second tab gets the same successor within the grace", func(f *fixture, s session.Session) session.Token {
			f.use(f.refresh(s.Token()))
			return s.Token()
		}, false, nil, []string{"token_refresh"}},
		{"after the grace it is reuse", func(f *fixture, s session.Session) session.Token {
			f.use(f.backdate(f.refresh(s.Token()), 31*time.Second))
			return s.Token()
		}, false, session.ErrReused, []string{"token_refresh", "token_refresh!refresh_reused", "logout:refresh_reused"}},
		{"an older token is reuse, grace or not", func(f *fixture, s session.Session) session.Token {
			next := f.refresh(s.Token())
			f.refresh(next.Token())
			return s.Token()
		}, false, session.ErrReused, []string{"token_refresh", "token_refresh", "token_refresh!refresh_reused", "logout:refresh_reused"}},
		{"a generation that Redis lost goes on from its own place", func(f *fixture, s session.Session) session.Token {
			next := f.refresh(s.Token())
			next = f.refresh(next.Token())
			f.raw.HSet(f.Context(), f.keys.session(s.UserID, s.ID), "g", "0")
			return next.Token()
		}, true, nil, []string{"token_refresh", "token_refresh", "token_refresh"}},
		{"a lineage that Redis lost is refused and nothing ends", func(f *fixture, s session.Session) session.Token {
			next := f.refresh(s.Token())
			f.backdate(next, time.Hour)
			return next.Token()
		}, false, session.ErrSuperseded, []string{"token_refresh"}},
		{"after logout", func(f *fixture, s session.Session) session.Token {
			if _, err := f.Revoke(f.Context(), s.UserID, s.ID, session.EndLogout, f.op()); err != nil {
				f.Fatal(err)
			}
			return s.Token()
		}, false, session.ErrEnded, []string{"logout:logout"}},
		{"after the user key was deleted by hand", func(f *fixture, s session.Session) session.Token {
			f.raw.Del(f.Context(), f.keys.user(s.UserID))
			return s.Token()
		}, false, session.ErrEnded, nil},
		{"after the session key was deleted by hand", func(f *fixture, s session.Session) session.Token {
			f.raw.Del(f.Context(), f.keys.session(s.UserID, s.ID))
			return s.Token()
		}, false, session.ErrEnded, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, nil)
			s := f.login("42")
			other := f.login("43")
			token := tc.present(f, s)
			before := f.hashOf(s)
			got, rotated, err := f.Refresh(t.Context(), token, f.op())
			if !errors.Is(err, tc.want) || (tc.want == nil && err != nil) || rotated != tc.rotated {
				t.Fatalf("rotated %v, error %v; want %v, %v", rotated, err, tc.rotated, tc.want)
			}
			f.wantActions(append([]string{"login", "login"}, tc.actions...)...)
			if _, err := f.Validate(t.Context(), other.Token()); err != nil {
				t.Errorf("another user's session: %v", err)
			}
			if err != nil {
				f.wantNothingBack(s, err, len(before) > 0)
				return
			}
			if got.Generation != token.Generation+1 {
				t.Errorf("generation is %d, want %d", got.Generation, token.Generation+1)
			}
			if _, err := f.Validate(t.Context(), got.Token()); err != nil {
				t.Errorf("the successor does not validate: %v", err)
			}
			if at := f.raw.PExpireTime(t.Context(), f.keys.session("42", s.ID)).Val(); at.Milliseconds() != got.ExpiresAt.UnixMilli() {
				t.Errorf("session key expires at %d, want the successor's exp %d", at.Milliseconds(), got.ExpiresAt.UnixMilli())
			}
		})
	}
}

// wantNothingBack checks that a refused refresh made no key that was not there.
func (f *fixture) wantNothingBack(s session.Session, err error, existed bool) {
	f.Helper()
	switch {
	case errors.Is(err, session.ErrReused), !existed:
		f.wantExists(false, f.keys.session(s.UserID, s.ID))
	case errors.Is(err, session.ErrEnded):
		if n := f.raw.ZScore(f.Context(), f.keys.user(s.UserID), string(s.ID)); n.Err() == nil {
			f.Error("an ended session is listed again")
		}
	}
}

func TestRefreshTogether(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	s := f.login("42")
	var mu sync.Mutex
	successors := map[string]int{}
	rotations := 0
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			got, rotated, err := f.Refresh(t.Context(), s.Token(), f.op())
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			token := got.Token()
			successors[token.ID+token.ExpiresAt.String()]++
			if rotated {
				rotations++
			}
		})
	}
	wg.Wait()
	if len(successors) != 1 || rotations != 1 {
		t.Errorf("%d successors after %d rotations, want one of each: %v", len(successors), rotations, successors)
	}
	f.wantActions("login", "token_refresh")
}

func TestRevoke(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	s, other := f.login("42"), f.login("42")
	f.use(s)
	op := f.op()
	op.Reason = "lost my phone"
	for i, want := range []bool{true, false} {
		ended, err := f.Revoke(t.Context(), "42", s.ID, session.EndLogout, op)
		if err != nil || ended != want {
			t.Errorf("call %d: ended %v, error %v; want %v", i+1, ended, err, want)
		}
	}
	f.wantExists(false, f.keys.session("42", s.ID))
	f.wantExists(false, f.keys.seen("42"))
	f.wantActions("login", "login", "logout:logout")
	if e := f.appended()[2]; e.Reason != op.Reason {
		t.Errorf("reason is %q, want what the user said: %q", e.Reason, op.Reason)
	}
	if _, err := f.Validate(t.Context(), other.Token()); err != nil {
		t.Errorf("the user's other session: %v", err)
	}
	if ended, err := f.Revoke(t.Context(), "43", other.ID, session.EndLogout, f.op()); ended || err != nil {
		t.Errorf("somebody else's session: ended %v, error %v", ended, err)
	}
}

func TestRevokeUser(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	mine := []session.Session{f.login("42"), f.login("42"), f.login("42")}
	theirs := f.login("43")

	n, at, err := f.RevokeUser(t.Context(), "42", mine[1].ID, session.EndLogoutAll, f.op())
	if err != nil || n != 2 || at.IsZero() {
		t.Fatalf("n %d, at %v, error %v; want 2", n, at, err)
	}
	for i, s := range mine {
		if _, err := f.Validate(t.Context(), s.Token()); (err == nil) != (i == 1) {
			t.Errorf("session %d: %v", i, err)
		}
	}
	if n, _, err := f.RevokeUser(t.Context(), "42", "", session.EndLogoutAll, f.op()); err != nil || n != 1 {
		t.Errorf("the rest: n %d, error %v; want 1", n, err)
	}
	f.wantExists(false, f.keys.user("42"))
	if _, err := f.Validate(t.Context(), theirs.Token()); err != nil {
		t.Errorf("another user: %v", err)
	}
	again := f.login("42")
	if _, err := f.Validate(t.Context(), again.Token()); err != nil {
		t.Errorf("a login right after it: %v", err)
	}
	for _, e := range f.appended()[4:7] {
		if e.Ends != session.EndLogoutAll || e.ID != session.EndingID(e.SessionID) {
			t.Errorf("ending is %+v", e)
		}
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	if got, err := f.List(t.Context(), "42"); err != nil || got == nil || len(got) != 0 {
		t.Errorf("of nobody: %v, %v; want an empty slice", got, err)
	}
	first, second, third := f.login("42"), f.login("42"), f.login("42")
	f.raw.Del(t.Context(), f.keys.session("42", second.ID))
	at := f.Clock().Add(time.Minute)
	use := session.Use{SessionID: first.ID, UserID: "42", At: at}
	if err := f.Use(t.Context(), []session.Use{use}); err != nil {
		t.Fatal(err)
	}
	got, err := f.List(t.Context(), "42")
	if err != nil || len(got) != 2 {
		t.Fatalf("%d sessions, error %v; want 2", len(got), err)
	}
	if got[0].ID != first.ID || !got[0].LastActivity.Equal(at) || got[1].ID != third.ID {
		t.Errorf("sessions are %v %v, %v; want the one used last first", got[0].ID, got[0].LastActivity, got[1].ID)
	}
}

func TestMissing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	live, deleted, unlisted, overwritten := f.login("42"), f.login("42"), f.login("43"), f.login("44")
	f.raw.Del(t.Context(), f.keys.session("42", deleted.ID))
	f.raw.Del(t.Context(), f.keys.user("43"))
	f.raw.Set(t.Context(), f.keys.user("44"), "x", 0)
	got, err := f.Missing(t.Context(), []session.Session{overwritten, live, deleted, unlisted})
	if err != nil || !slices.Equal(got, []session.ID{deleted.ID, unlisted.ID}) {
		t.Errorf("missing are %v, error %v", got, err)
	}
}
