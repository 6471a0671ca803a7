package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/internal/testenv"
	"github.com/sessiongate/sessiongate/session"
)

func tracking(o *RedisOptions) { o.Tracking = true }

// inMemory validates the session until the answer comes without asking Redis.
func (f *fixture) inMemory(s session.Session) {
	f.Helper()
	f.eventually(func(ctx context.Context) error {
		before, _ := f.TrackingStats()
		if err := f.check(ctx, s); err != nil {
			return err
		}
		if after, _ := f.TrackingStats(); after.Hits == before.Hits {
			return errors.New("redis was asked")
		}
		return nil
	})
}

// refusedWithin asks over and over, and returns how long the token was accepted.
func (f *fixture) refusedWithin(s session.Session) time.Duration {
	f.Helper()
	began := time.Now()
	last := began
	for time.Since(began) < 10*time.Second {
		if _, err := f.Validate(f.Context(), s.Token()); err != nil {
			return last.Sub(began)
		}
		last = time.Now()
	}
	f.Fatal("the session is accepted for ever")
	return 0
}

func TestTrackingAnswersFromMemory(t *testing.T) {
	t.Parallel()
	own := testenv.OwnRedis(t)
	f := openFixture(t, own.URL(), DefaultPrefix, tracking)
	s := f.login("42")
	f.inMemory(s)
	before := f.trips()
	for range 100 {
		if err := f.check(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	if stats, _ := f.TrackingStats(); f.trips()-before > 10 || stats.Sessions != 1 {
		t.Errorf("%d round trips for a hundred questions: %+v", f.trips()-before, stats)
	}
}

// Whatever ends a session, with whatever program, is seen.
func TestTrackingSeesEveryEnding(t *testing.T) {
	t.Parallel()
	f := newFixture(t, tracking)
	other := openFixture(t, f.url, f.opt.Prefix, nil) // another gateway
	for name, end := range map[string]func(s session.Session){
		"DEL of the session": func(s session.Session) { f.raw.Del(f.Context(), f.keys.session(s.UserID, s.ID)) },
		"DEL of the user":    func(s session.Session) { f.raw.Del(f.Context(), f.keys.user(s.UserID)) },
		"ZREM from the user": func(s session.Session) { f.raw.ZRem(f.Context(), f.keys.user(s.UserID), string(s.ID)) },
		"expiry":             func(s session.Session) { f.raw.PExpire(f.Context(), f.keys.session(s.UserID, s.ID), time.Millisecond) },
		"logout": func(s session.Session) {
			_, _ = f.Revoke(f.Context(), s.UserID, s.ID, session.EndLogout, f.op())
		},
		"logout everywhere, at another gateway": func(s session.Session) {
			_, _, _ = other.RevokeUser(f.Context(), s.UserID, "", session.EndLogoutAll, other.op())
		},
	} {
		s := f.login("user of " + name)
		f.inMemory(s)
		end(s)
		if late := f.refusedWithin(s); late > lease {
			t.Errorf("%s: accepted for %v after it", name, late)
		} else {
			t.Logf("%s: accepted for %v after it", name, late)
		}
	}
}

func TestTrackingSeesRotations(t *testing.T) {
	t.Parallel()
	f := newFixture(t, tracking)
	s := f.login("42")
	f.inMemory(s)
	next := f.refresh(s.Token())
	newest := f.refresh(next.Token())
	f.inMemory(newest)
	if _, err := f.Validate(t.Context(), s.Token()); !errors.Is(err, session.ErrSuperseded) {
		t.Errorf("a token two generations old: %v, want ErrSuperseded", err)
	}
}

func TestTrackingForgetsAllOnFlush(t *testing.T) {
	t.Parallel()
	own := testenv.OwnRedis(t)
	f := openFixture(t, own.URL(), DefaultPrefix, tracking)
	s := f.login("42")
	f.inMemory(s)
	f.raw.FlushAll(t.Context())
	if late := f.refusedWithin(s); late > lease {
		t.Errorf("accepted for %v after FLUSHALL", late)
	}
}

// TestTrackingInDoubt: an ending that nobody can tell of, since the connection is
// cut or everything stands still, is noticed within the second that is promised.
func TestTrackingInDoubt(t *testing.T) {
	t.Parallel()
	for name, interrupt := range map[string]func(v *valve, direct *fixture){
		"a stalled connection": func(v *valve, _ *fixture) { v.hold.Store(true) },
		"a cut connection": func(_ *valve, direct *fixture) {
			direct.raw.ClientKillByFilter(direct.Context(), "TYPE", "normal", "SKIPME", "yes")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			own := testenv.OwnRedis(t)
			direct := openFixture(t, own.URL(), DefaultPrefix, nil)
			v := newValve(t, own.Addr())
			f := openFixture(t, "redis://"+v.addr(), DefaultPrefix, func(o *RedisOptions) {
				o.Tracking, o.Timeout = true, 200*time.Millisecond
			})
			s := direct.login("42")
			f.inMemory(s)
			interrupt(v, direct)
			direct.raw.Del(t.Context(), direct.keys.user("42"))
			late := f.refusedWithin(s)
			t.Logf("accepted for %v", late)
			if late > time.Second {
				t.Errorf("accepted for %v, promised is a second", late)
			}
			v.release()
			f.inMemory(direct.login("43")) // it recovers by itself
		})
	}
}

// TestTrackingDropsRacingFills: an answer that was read before a change is not kept
// after it, in whatever order the two arrive.
func TestTrackingDropsRacingFills(t *testing.T) {
	t.Parallel()
	now := time.Now()
	at := standing{live: true, expires: now.Add(time.Hour).UnixMilli(), ends: now.Add(time.Hour).UnixMilli()}
	sid, other := session.NewID(now), session.NewID(now)
	for name, change := range map[string]func(*tracked){
		"of the session": func(m *tracked) { m.sessionChanged(sid) },
		"of the user":    func(m *tracked) { m.userChanged("42") },
		"of everything":  func(m *tracked) { m.flush() },
		"in doubt":       func(m *tracked) { m.doubt(); m.trust(now.Add(time.Hour)) },
	} {
		for _, filled := range []bool{false, true} {
			m := newTracked()
			m.trust(now.Add(time.Hour))
			_, _, fill := m.get(sid, "42", now)
			_, _, bystander := m.get(other, "43", now)
			m.put(other, bystander, at)
			if filled {
				m.put(sid, fill, at)
			}
			change(m)
			m.put(sid, fill, at)
			if _, found, _ := m.get(sid, "42", now); found {
				t.Errorf("a change %s, filled before it %v: the old answer is in memory", name, filled)
			}
			_, found, _ := m.get(other, "43", now)
			if one := name == "of the session" || name == "of the user"; found != one {
				t.Errorf("a change %s: another's session is known is %v", name, found)
			}
		}
	}
}

func TestTrackingKeepsOnlyWhatLives(t *testing.T) {
	t.Parallel()
	now := time.Now()
	sid := session.NewID(now)
	live := standing{live: true, expires: now.Add(time.Second).UnixMilli(), ends: now.Add(time.Second).UnixMilli()}
	for name, c := range map[string]struct {
		at   standing
		user string
		when time.Time
		want bool
	}{
		"a live session":                {live, "42", now, true},
		"one that does not live":        {standing{expires: live.expires}, "42", now, false},
		"one whose time is up":          {live, "42", now.Add(time.Second), false},
		"the token names somebody else": {live, "43", now, false},
	} {
		m := newTracked()
		m.trust(now.Add(time.Hour))
		_, _, fill := m.get(sid, "42", now)
		m.put(sid, fill, c.at)
		if _, found, _ := m.get(sid, c.user, c.when); found != c.want {
			t.Errorf("%s: known is %v", name, found)
		}
	}
}

func TestTrackingIsBounded(t *testing.T) {
	t.Parallel()
	m := newTracked()
	now := time.Now()
	m.trust(now.Add(time.Hour))
	at := standing{live: true, expires: now.Add(time.Hour).UnixMilli(), ends: now.Add(time.Hour).UnixMilli()}
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range maxTrackedPlaces / 3 {
				sid, user := session.NewID(now), fmt.Sprintf("%d-%d", worker, i)
				_, _, fill := m.get(sid, user, now)
				m.put(sid, fill, at)
			}
		})
	}
	wg.Wait()
	users := 0
	for i := range m.users {
		users += len(m.users[i].m)
	}
	if m.len() > maxTrackedPlaces || users > maxTrackedPlaces {
		t.Errorf("%d sessions of %d users in memory, want %d at most", m.len(), users, maxTrackedPlaces)
	}
}

// TestHeartbeatsVouchForWhatWasBefore: one vouches for what happened before the one
// before it, and one that nobody waits for vouches for nothing.
func TestHeartbeatsVouchForWhatWasBefore(t *testing.T) {
	t.Parallel()
	b, now := newBeats("sg:{0}:"), time.Now()
	if _, ok := b.back(); ok {
		t.Error("a heartbeat that was not sent vouches for something")
	}
	b.send(now)
	if b.send(now.Add(time.Second)) {
		t.Error("a second heartbeat is sent while the first is on its way")
	}
	if _, ok := b.back(); ok {
		t.Error("the first heartbeat vouches for something")
	}
	b.send(now.Add(time.Minute))
	if sure, ok := b.back(); !ok || !sure.Equal(now) {
		t.Errorf("the second heartbeat vouches for what was before %v (%v), want %v", sure, ok, now)
	}
}

func TestPushesThatAreNone(t *testing.T) {
	t.Parallel()
	const push = ">2\r\n$10\r\ninvalidate\r\n"
	for name, sent := range map[string]string{
		"another push":           ">2\r\n$7\r\nmessage\r\n*0\r\n",
		"a push of three parts":  ">3\r\n$10\r\ninvalidate\r\n",
		"a length beyond reason": push + "*1\r\n$99999999\r\n",
		"keys without an end":    push + "*99999999999\r\n",
		"an error":               "-OOM no\r\n",
		"a kind that is none":    "?1\r\n",
		"nothing":                "",
	} {
		here, there := net.Pipe()
		go func() {
			_, _ = there.Write([]byte(sent))
			_ = there.Close()
		}()
		told := func(key string, _ bool) { t.Errorf("%s: told of %q", name, key) }
		if err := newPushReader(here).next(told); err == nil {
			t.Errorf("%s: no error", name)
		}
		_ = here.Close()
	}
}

func BenchmarkValidateTracked(b *testing.B) {
	url, prefix := testenv.Redis(b)
	r, err := OpenRedis(b.Context(), RedisOptions{
		URL: url, Prefix: prefix, Timeout: time.Second, Partitions: 1, Policy: testPolicy, Instance: "bench",
		ClaimIdle: time.Minute, Tracking: true,
	})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	now := r.Clock()
	s, _, err := r.Create(b.Context(), session.Session{ID: session.NewID(now), UserID: "42"},
		session.Event{ID: session.NewEventID(now), CreatedAt: now})
	if err != nil {
		b.Fatal(err)
	}
	token := s.Token()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Validate(b.Context(), token); err != nil {
			b.Fatal(err)
		}
	}
}
