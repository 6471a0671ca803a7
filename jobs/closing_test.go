package jobs

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/sessiongate/sessiongate/session"
	"github.com/sessiongate/sessiongate/store"
)

// watched calls atFirst when somebody first waits for a fence that has not been
// passed: sweep or reconcile has looked, and has not yet closed anything.
type watched struct {
	fences
	once    sync.Once
	atFirst func()
}

func (w *watched) Passed(ctx context.Context, f store.Fence) (bool, error) {
	passed, err := w.fences.Passed(ctx, f)
	if err == nil && !passed {
		w.once.Do(w.atFirst)
	}
	return passed, err
}

// runner is a sweep or a reconcile: what they share is tested on both.
type runner interface {
	Run(ctx context.Context) (done int, err error)
}

// eachCloser runs test with a session that has a row, and with each of the two
// jobs that would end it if it were missing.
func eachCloser(t *testing.T, test func(w *world, s session.Session, job func(fences) runner)) {
	t.Run("sweep", func(t *testing.T) {
		w := newWorld(t, nil)
		s := w.login("ana")
		w.flushAll()
		w.backdate(s)
		test(w, s, func(f fences) runner { job := w.sweep(); job.fences = f; return job })
	})
	t.Run("reconcile", func(t *testing.T) {
		w := newWorld(t, nil)
		s := w.login("ana")
		w.flushAll()
		test(w, s, func(f fences) runner { job := w.reconcile(); job.fences = f; return job })
	})
}

// TestALogoutOnItsWayIsNotAMissingKey is the race that the fence is for: the key
// is gone, and the event that says why is still in the stream.
func TestALogoutOnItsWayIsNotAMissingKey(t *testing.T) {
	eachCloser(t, func(w *world, s session.Session, job func(fences) runner) {
		w.logout(s)
		looked := &watched{fences: w.redis, atFirst: w.flushAll}
		if done, err := job(looked).Run(w.Context()); done != 0 || err != nil {
			w.Errorf("Run = %d, %v, want 0", done, err)
		}
		w.expectEnding(s, session.EndLogout)
	})
}

func TestNothingIsClosedBeforeTheFlushHasPassed(t *testing.T) {
	eachCloser(t, func(w *world, s session.Session, job func(fences) runner) {
		w.remove(s)
		w.login("ben") // holds the fence
		ctx, cancel := context.WithCancelCause(w.Context())
		looked := &watched{fences: w.redis, atFirst: func() { cancel(errDown) }}
		if done, err := job(looked).Run(ctx); done != 0 || !errors.Is(err, errDown) {
			w.Errorf("Run = %d, %v, want 0 and the cause of its end", done, err)
		}
		w.expectActive(s)
	})
}

func TestWhatWasSeenInAnotherEpochIsThrownAway(t *testing.T) {
	eachCloser(t, func(w *world, s session.Session, job func(fences) runner) {
		w.remove(s)
		w.login("ben") // holds the fence
		looked := &watched{fences: w.redis, atFirst: func() {
			w.must(w.raw.Del(w.Context(), "sg:{0}:meta").Err())
			w.flushAll()
		}}
		if done, err := job(looked).Run(w.Context()); done != 0 || !errors.Is(err, store.ErrEpochChanged) {
			w.Errorf("Run = %d, %v, want 0 and ErrEpochChanged", done, err)
		}
		w.expectActive(s)
	})
}

func TestSweep(t *testing.T) {
	w := newWorld(t, func(o *store.RedisOptions) { o.Policy.TTL = time.Millisecond }) // a second at most
	expired := w.logins(10)
	w.options.Policy.TTL = time.Hour
	longer := w.gateway("gateway-2")
	live, _, err := longer.Create(t.Context(), session.Session{ID: session.NewID(longer.Clock()), UserID: "ana"}, w.op())
	w.must(err)
	w.flushAll()
	w.eventually("the sessions have expired in Redis", func() bool {
		missing, err := w.redis.Missing(t.Context(), expired)
		w.must(err)
		return len(missing) == len(expired)
	})

	var closed atomic.Int32
	group(4, func(int) {
		done, err := w.sweep().Run(t.Context())
		if err != nil {
			t.Error(err)
		}
		closed.Add(int32(done))
	})
	// Two sweeps that meet at a row leave it to each other; the next one has it.
	done, err := w.sweep().Run(t.Context())
	w.must(err)
	if got := int(closed.Load()) + done; got != len(expired) {
		t.Errorf("the sweeps ended %d sessions, want %d", got, len(expired))
	}
	for _, s := range expired {
		if row := w.expectEnding(s, session.EndExpired); !row.CreatedAt.Equal(s.ExpiresAt) {
			t.Errorf("logged at %v, want the moment of expiry %v", row.CreatedAt, s.ExpiresAt)
		}
	}
	w.expectActive(live)
}

func TestSweepLeavesWhatRedisStillHas(t *testing.T) {
	w := newWorld(t, nil)
	s := w.login("ana")
	w.flushAll()
	w.backdate(s) // as a row is whose refresh is still in the stream
	if done, err := w.sweep().Run(t.Context()); done != 0 || err != nil {
		t.Errorf("Run = %d, %v, want 0", done, err)
	}
	w.expectActive(s)
}

func TestSweepLeavesWhatIsNotDue(t *testing.T) {
	w := newWorld(t, nil)
	s := w.login("ana")
	w.flushAll()
	w.remove(s)
	if done, err := w.sweep().Run(t.Context()); done != 0 || err != nil {
		t.Errorf("Run = %d, %v, want 0", done, err)
	}
	w.expectActive(s)
}

func TestReconcile(t *testing.T) {
	w := newWorld(t, func(o *store.RedisOptions) { o.Partitions = 4 })
	sessions := w.logins(19) // several pages, and too few for the alarm
	w.flushAll()
	removed, kept := sessions[:15], sessions[15:]
	before := w.redis.Clock()
	for i, s := range removed {
		if i%2 == 0 {
			w.remove(s)
		} else {
			w.must(w.raw.Del(t.Context(), store.KeysOf(s.UserID, 4).User).Err())
		}
	}
	var closed atomic.Int32
	group(4, func(int) {
		done, err := w.reconcile().Run(t.Context())
		if err != nil {
			t.Error(err)
		}
		closed.Add(int32(done))
	})
	done, err := w.reconcile().Run(t.Context())
	w.must(err)
	if got := int(closed.Load()) + done; got != len(removed) {
		t.Errorf("the passes ended %d sessions, want %d", got, len(removed))
	}
	for _, s := range removed {
		if row := w.expectEnding(s, session.EndRemoved); row.CreatedAt.Before(before) {
			t.Errorf("logged at %v, before it was removed at %v", row.CreatedAt, before)
		}
	}
	for _, s := range kept {
		w.expectActive(s)
	}
}

func TestReconcileLeavesWhatIsAboutToExpire(t *testing.T) {
	w := newWorld(t, nil)
	s := w.login("ana")
	w.flushAll()
	w.remove(s)
	job := w.reconcile()
	job.now = func() time.Time { return s.ExpiresAt.Add(-nearExpiry) }
	if done, err := job.Run(t.Context()); done != 0 || err != nil {
		t.Errorf("Run = %d, %v, want 0", done, err)
	}
	w.expectActive(s)
}

func (r *reconcile) haltedFor(reason string) bool {
	return testutil.ToFloat64(r.halted.WithLabelValues(reason)) == 1
}

func TestReconcileHaltsWhenTooMuchIsMissing(t *testing.T) {
	w := newWorld(t, nil)
	sessions := w.logins(40)
	w.flushAll()
	job := w.reconcile()
	for _, s := range sessions[:21] {
		w.remove(s)
	}
	done, err := job.Run(t.Context())
	if done != 0 || !errors.Is(err, errTooManyMissing) || !strings.Contains(err.Error(), "21 of 40") {
		t.Errorf("Run = %d, %v, want an alarm", done, err)
	}
	if !job.haltedFor(haltMissing) {
		t.Error("the metric does not say that it is halted")
	}
	for _, s := range sessions {
		w.expectActive(s)
	}
	job.maxMissing = 0.6
	if done, err := job.Run(t.Context()); done != 21 || err != nil || job.haltedFor(haltMissing) {
		t.Errorf("with a larger share allowed, Run = %d, %v, halted %v", done, err, job.haltedFor(haltMissing))
	}
}

func TestReconcileTrustsOnlyTheRecordedEpoch(t *testing.T) {
	w := newWorld(t, nil)
	s := w.login("ana")
	w.flushAll()
	w.remove(s)
	epoch, since, err := w.redis.Epoch(t.Context(), 0)
	w.must(err)
	w.must(w.postgres.SetEpoch(t.Context(), 0, "another"))
	job := w.reconcile()

	job.now = func() time.Time { return since.Add(job.ttl - time.Second) }
	if done, err := job.Run(t.Context()); done != 0 || err != nil || !job.haltedFor(haltEpoch) {
		t.Errorf("in a young epoch, Run = %d, %v, halted %v", done, err, job.haltedFor(haltEpoch))
	}
	w.expectActive(s)

	// A session's lifetime later, all that was lost with the old one has expired.
	job.now = func() time.Time { return since.Add(job.ttl) }
	w.exec("UPDATE user_sessions SET expires_at = expires_at + interval '1 hour'") // this one began since
	if done, err := job.Run(t.Context()); done != 1 || err != nil || job.haltedFor(haltEpoch) {
		t.Errorf("in an old epoch, Run = %d, %v, halted %v", done, err, job.haltedFor(haltEpoch))
	}
	if got, err := w.postgres.Epoch(t.Context(), 0); got != epoch || err != nil {
		t.Errorf("the recorded epoch is %q, %v, want %q", got, err, epoch)
	}
}

// TestRedisLosesEverything: nobody is logged as removed; the sweep closes what
// was lost when its time comes.
func TestRedisLosesEverything(t *testing.T) {
	w := newWorld(t, nil)
	sessions := w.logins(5)
	w.flushAll()
	job := w.reconcile()
	if done, err := job.Run(t.Context()); done != 0 || err != nil || job.haltedFor(haltEpoch) {
		t.Fatalf("the first pass: Run = %d, %v, halted %v", done, err, job.haltedFor(haltEpoch))
	}
	w.must(w.raw.FlushDB(t.Context()).Err())
	if done, err := job.Run(t.Context()); done != 0 || err != nil || !job.haltedFor(haltEpoch) {
		t.Errorf("after the loss: Run = %d, %v, halted %v", done, err, job.haltedFor(haltEpoch))
	}
	w.flushAll() // makes the stream again
	for _, s := range sessions {
		w.expectActive(s)
		w.backdate(s)
	}
	if done, err := w.sweep().Run(t.Context()); done != len(sessions) || err != nil {
		t.Errorf("sweep: Run = %d, %v, want %d", done, err, len(sessions))
	}
	for _, s := range sessions {
		w.expectEnding(s, session.EndExpired)
	}
}

// TestRedisLosesEverythingDuringAPass: the look finds nobody, because nobody is
// there any more.
func TestRedisLosesEverythingDuringAPass(t *testing.T) {
	w := newWorld(t, nil)
	s := w.login("ana")
	w.flushAll()
	job := w.reconcile()
	job.live = losing{w.redis, func() {
		w.must(w.raw.FlushDB(t.Context()).Err())
		w.flushAll()
		_, _, err := w.redis.Epoch(t.Context(), 0)
		w.must(err)
	}}
	if done, err := job.Run(t.Context()); done != 0 || !errors.Is(err, store.ErrEpochChanged) {
		t.Errorf("Run = %d, %v, want 0 and ErrEpochChanged", done, err)
	}
	w.expectActive(s)
}

// losing is a Redis to which something happens before each look.
type losing struct {
	liveness
	happens func()
}

func (l losing) Missing(ctx context.Context, refs []session.Session) ([]session.ID, error) {
	l.happens()
	return l.liveness.Missing(ctx, refs)
}

func TestCloserReportsWhatFails(t *testing.T) {
	w := newWorld(t, nil)
	s := w.login("ana")
	w.flushAll()
	w.backdate(s)
	w.remove(s)
	for name, spoil := range map[string]func(*sweep){
		"the look":    func(s *sweep) { s.live = blind{s.live} },
		"the fence":   func(s *sweep) { s.fences = noFence{s.fences} },
		"the closing": func(s *sweep) { s.ledger = readOnly{} },
	} {
		job := w.sweep()
		spoil(job)
		if done, err := job.Run(t.Context()); done != 0 || !errors.Is(err, errDown) {
			t.Errorf("%s fails: Run = %d, %v", name, done, err)
		}
	}
	w.expectActive(s)
}

type blind struct{ liveness }

func (blind) Missing(context.Context, []session.Session) ([]session.ID, error) { return nil, errDown }

type noFence struct{ fences }

func (noFence) Fence(context.Context, int) (store.Fence, error) { return store.Fence{}, errDown }

type readOnly struct{}

func (readOnly) CloseMissing(context.Context, []session.ID, time.Time) (int, error) {
	return 0, errDown
}
