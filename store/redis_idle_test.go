package store

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessiongate/sessiongate/session"
)

func z(member string, at time.Time) redis.Z {
	return redis.Z{Member: member, Score: float64(at.UnixMilli())}
}

// idling is a fixture whose sessions end after a minute without activity.
func idling(t *testing.T) *fixture {
	return newFixture(t, func(o *RedisOptions) { o.Policy.Idle, o.Policy.Remember = time.Minute, time.Hour })
}

// ends is when Redis will forget the session.
func (f *fixture) ends(s session.Session) time.Time {
	f.Helper()
	return time.UnixMilli(f.raw.PExpireTime(f.Context(), f.keys.session(s.UserID, s.ID)).Val().Milliseconds())
}

// wantEnds fails the test unless Redis forgets the session a minute and the slack
// after the time given.
func (f *fixture) wantEnds(s session.Session, since time.Time) {
	f.Helper()
	want := since.Truncate(time.Millisecond).Add(time.Minute + 2*time.Second)
	if d := f.ends(s).Sub(want); d.Abs() > time.Second {
		f.Errorf("the session ends at %v, want %v", f.ends(s), want)
	}
}

// lastActive pretends that the user last did something some time ago.
func (f *fixture) lastActive(s session.Session, ago time.Duration) time.Time {
	f.Helper()
	at := f.Clock().Add(-ago)
	f.raw.HSet(f.Context(), f.keys.seen(s.UserID), string(s.ID)+"+", unixMilli(at))
	f.raw.PExpireAt(f.Context(), f.keys.session(s.UserID, s.ID), at.Add(time.Minute+2*time.Second))
	return at
}

func (f *fixture) used(s session.Session, at time.Time, active bool) {
	f.Helper()
	u := session.Use{SessionID: s.ID, UserID: s.UserID, At: at, Generation: s.Generation, Active: active}
	if err := f.Use(f.Context(), []session.Use{u}); err != nil {
		f.Fatal(err)
	}
}

func TestIdleTimeout(t *testing.T) {
	t.Parallel()

	t.Run("counts from the login", func(t *testing.T) {
		t.Parallel()
		f := idling(t)
		s := f.login("ana")
		f.wantEnds(s, s.CreatedAt)
		if got := s.IdleExpiresAt(); !got.Equal(s.CreatedAt.Add(time.Minute)) {
			t.Errorf("ends when idle at %v", got)
		}
		if e := f.appended()[0]; e.Idle != time.Minute || !e.ActiveAt.Equal(s.CreatedAt) {
			t.Errorf("the event has idle timeout %v, last activity %v", e.Idle, e.ActiveAt)
		}
	})

	t.Run("activity moves it, a client's questions and late reports do not", func(t *testing.T) {
		t.Parallel()
		f := idling(t)
		s := f.login("ana")
		began := f.lastActive(s, 40*time.Second)
		f.used(s, f.Clock(), false)
		f.wantEnds(s, began)
		at := f.Clock()
		f.used(s, at, true)
		f.wantEnds(s, at)
		f.used(s, at.Add(-30*time.Second), true)
		f.wantEnds(s, at)
		got, err := f.Get(t.Context(), s.UserID, s.ID)
		if err != nil || !got.ActiveAt.Equal(at.Truncate(time.Millisecond)) {
			t.Errorf("last active at %v, want %v, error %v", got.ActiveAt, at, err)
		}
	})

	t.Run("a refresh in the background does not, one that says so does", func(t *testing.T) {
		t.Parallel()
		f := idling(t)
		s := f.login("ana")
		began := f.lastActive(s, 40*time.Second)
		s = f.refresh(s.Token())
		f.wantEnds(s, began)
		if left := s.IdleExpiresAt().Sub(f.Clock()); left > 20*time.Second {
			t.Errorf("the answer says that it ends in %v, want 20 s", left)
		}
		op := f.op()
		op.ActiveAt = op.CreatedAt
		next, rotated, err := f.Refresh(t.Context(), s.Token(), op)
		if err != nil || !rotated {
			t.Fatalf("rotated %v, error %v", rotated, err)
		}
		f.wantEnds(next, f.Clock())
		// A second tab, with news of its own: no rotation, and activity all the same.
		f.lastActive(next, 40*time.Second)
		if _, rotated, err = f.Refresh(t.Context(), s.Token(), op); err != nil || rotated {
			t.Fatalf("rotated %v, error %v", rotated, err)
		}
		f.wantEnds(next, f.Clock())
	})

	t.Run("never beyond the token's own time", func(t *testing.T) {
		t.Parallel()
		f := newFixture(t, func(o *RedisOptions) { o.Policy.Idle = 2 * time.Hour })
		s := f.login("ana")
		f.used(s, f.Clock(), true)
		if got := f.ends(s); !got.Equal(s.ExpiresAt) {
			t.Errorf("ends at %v, want %v", got, s.ExpiresAt)
		}
	})

	t.Run("what is known of the user outlives a refresh", func(t *testing.T) {
		t.Parallel()
		f := newFixture(t, func(o *RedisOptions) { o.Policy.Idle = 2 * time.Hour })
		s := f.login("ana")
		f.used(s, f.Clock(), true)
		f.raw.PExpire(t.Context(), f.keys.seen("ana"), time.Second)
		f.refresh(s.Token())
		if ttl := f.raw.PTTL(t.Context(), f.keys.seen("ana")).Val(); ttl < 29*time.Minute {
			t.Errorf("it lives %v", ttl)
		}
	})

	t.Run("who was idle for too long is gone, not counted, and not resurrected by activity", func(t *testing.T) {
		t.Parallel()
		f := newFixture(t, func(o *RedisOptions) { o.Policy.Idle, o.Policy.MaxPerUser, o.Policy.DenyMore = time.Minute, 1, true })
		s := f.login("ana")
		f.lastActive(s, 2*time.Minute)
		f.dead(s)
		f.used(s, f.Clock(), true)
		f.dead(s)
		if _, _, err := f.Refresh(t.Context(), s.Token(), f.op()); !errors.Is(err, session.ErrEnded) {
			t.Errorf("Refresh: %v", err)
		}
		f.login("ana") // there is room
	})

	t.Run("off, it leaves nothing in Redis", func(t *testing.T) {
		t.Parallel()
		f := newFixture(t, nil)
		s := f.login("ana")
		f.used(s, f.Clock(), true)
		if _, ok := f.hashOf(s)["i"]; ok {
			t.Error("the session has an idle timeout")
		}
		if n := f.raw.HLen(t.Context(), f.keys.seen("ana")).Val(); n != 1 {
			t.Errorf("%d fields in seen, want the last use alone", n)
		}
	})

	t.Run("activity reaches Postgres under its own mark, and is cleared there", func(t *testing.T) {
		t.Parallel()
		f := idling(t)
		s := f.login("ana")
		at := f.Clock().Truncate(time.Millisecond)
		f.used(s, at, true)
		uses, err := f.Activity(t.Context(), 0, 10)
		if err != nil || len(uses) != 2 || uses[0].Active == uses[1].Active || uses[0].SessionID != s.ID || uses[1].SessionID != s.ID {
			t.Fatalf("%+v, error %v", uses, err)
		}
		if err := f.ClearActivity(t.Context(), 0, uses); err != nil {
			t.Fatal(err)
		}
		f.wantExists(false, f.keys.activity(0))
	})

	t.Run("the rules of client and role apply", func(t *testing.T) {
		t.Parallel()
		minute, short := time.Minute, 10*time.Minute
		f := newFixture(t, func(o *RedisOptions) {
			o.Policy.Rules = []session.Rule{{Role: "admin", Idle: &minute, TTL: &short, Absolute: &short}}
		})
		s := f.create(session.Session{ID: session.NewID(f.Clock()), UserID: "ana", ClientID: "app", Roles: []string{"admin"}})
		f.wantEnds(s, s.CreatedAt)
		if d := s.ExpiresAt.Sub(s.CreatedAt); d > 11*time.Minute || s.AbsoluteExpiresAt.Sub(s.CreatedAt) > 11*time.Minute {
			t.Errorf("the session lives %v", d)
		}
		if s = f.refresh(s.Token()); s.ExpiresAt.After(s.AbsoluteExpiresAt) {
			t.Errorf("refreshed until %v, the end is %v", s.ExpiresAt, s.AbsoluteExpiresAt)
		}
		if s := f.login("bo"); s.Idle != 0 {
			t.Errorf("without the role: idle timeout %v", s.Idle)
		}
	})
}

func TestDenyMore(t *testing.T) {
	t.Parallel()
	denying := func(t *testing.T) *fixture {
		return newFixture(t, func(o *RedisOptions) {
			o.Policy.MaxPerUser, o.Policy.DenyMore, o.Policy.Remember = 3, true, time.Hour
		})
	}
	attempt := func(f *fixture) error {
		_, _, err := f.Create(f.Context(), session.Session{ID: session.NewID(f.Clock()), UserID: "ana"}, f.op())
		return err
	}

	t.Run("fifty logins at once never exceed it", func(t *testing.T) {
		t.Parallel()
		f := denying(t)
		var wg sync.WaitGroup
		errs := make([]error, 50)
		for i := range errs {
			wg.Go(func() { errs[i] = attempt(f) })
		}
		wg.Wait()
		refused := 0
		for _, err := range errs {
			if errors.Is(err, session.ErrTooManySessions) {
				refused++
			} else if err != nil {
				t.Error(err)
			}
		}
		list, err := f.List(t.Context(), "ana")
		if err != nil || refused != 47 || len(list) != 3 {
			t.Errorf("%d refused, %d live, error %v; want 47 and 3", refused, len(list), err)
		}
	})

	t.Run("the attempt is logged, and there is room again after a logout", func(t *testing.T) {
		t.Parallel()
		f := denying(t)
		first := f.login("ana")
		f.login("ana")
		f.login("ana")
		if err := attempt(f); !errors.Is(err, session.ErrTooManySessions) {
			t.Fatal(err)
		}
		f.live(first)
		f.wantActions("login", "login", "login", "login!too many sessions")
		if _, err := f.Revoke(t.Context(), "ana", first.ID, session.EndLogout, f.op()); err != nil {
			t.Fatal(err)
		}
		if err := attempt(f); err != nil {
			t.Error(err)
		}
	})

	t.Run("a session that has run out or was deleted by hand takes no room", func(t *testing.T) {
		t.Parallel()
		f := denying(t)
		first, second := f.remember("ana"), f.login("ana")
		f.login("ana")
		f.expire(first)
		f.raw.Del(t.Context(), f.keys.session("ana", second.ID))
		if err := attempt(f); err != nil {
			t.Error(err)
		}
		f.resumed(first.Refresh)
		if err := attempt(f); !errors.Is(err, session.ErrTooManySessions) {
			t.Errorf("%v, want %v", err, session.ErrTooManySessions)
		}
	})

	t.Run("a remembered device needs room, too, but not for the session that it replaces", func(t *testing.T) {
		t.Parallel()
		f := denying(t)
		first := f.remember("ana")
		f.login("ana")
		f.login("ana")
		second := f.resumed(first.Refresh)
		f.expire(second)
		f.login("ana")
		if _, err := f.resume(second.Refresh); !errors.Is(err, session.ErrTooManySessions) {
			t.Fatalf("%v, want %v", err, session.ErrTooManySessions)
		}
		list, err := f.List(t.Context(), "ana")
		if err != nil || len(list) != 3 {
			t.Fatalf("%d sessions, error %v", len(list), err)
		}
		if _, err := f.Revoke(t.Context(), "ana", list[0].ID, session.EndLogout, f.op()); err != nil {
			t.Fatal(err)
		}
		f.resumed(second.Refresh) // the token is what it was
	})
}
