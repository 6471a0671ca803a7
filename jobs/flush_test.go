package jobs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"

	"github.com/sessiongate/sessiongate/session"
	"github.com/sessiongate/sessiongate/store"
)

func (w *world) backlog() (n int64) {
	w.Helper()
	for p := range w.redis.Streams() {
		length, _, err := w.redis.Backlog(w.Context(), p)
		w.must(err)
		n += length
	}
	return n
}

func TestFlush(t *testing.T) {
	w := newWorld(t, func(o *store.RedisOptions) { o.Partitions = 4 })
	s := w.login("ana")
	if _, rotated, err := w.redis.Refresh(t.Context(), s.Token(), w.op()); err != nil || !rotated {
		t.Fatalf("Refresh: %v, %v", rotated, err)
	}
	w.logout(s)
	failed := w.op()
	failed.Action, failed.Error = session.ActionLogin, "unknown user"
	w.must(w.redis.Append(t.Context(), failed))
	others := w.logins(25)

	f := w.flush(w.redis)
	f.batch = 4
	if done, err := f.Run(t.Context()); done != 4+len(others) || err != nil {
		t.Fatalf("Run = %d, %v, want %d", done, err, 4+len(others))
	}
	if n := w.backlog(); n != 0 {
		t.Errorf("%d events are left in Redis", n)
	}
	for query, want := range map[string]int{
		"SELECT count(*) FROM session_logs":                                          4 + len(others),
		"SELECT count(*) FROM session_logs WHERE action = 'login' AND success":       1 + len(others),
		"SELECT count(*) FROM session_logs WHERE action = 'login' AND NOT success":   1,
		"SELECT count(*) FROM session_logs WHERE action = 'token_refresh'":           1,
		"SELECT count(*) FROM session_logs WHERE action = 'logout'":                  1,
		"SELECT count(*) FROM user_sessions WHERE is_active":                         len(others),
		"SELECT count(*) FROM user_sessions WHERE NOT is_active AND user_id = 'ana'": 1,
	} {
		if got := w.count(query); got != want {
			t.Errorf("%s: %d, want %d", query, got, want)
		}
	}
	if got := testutil.ToFloat64(f.metrics.rows); got != float64(4+len(others)) {
		t.Errorf("the metric has %v rows", got)
	}
	if got := testutil.ToFloat64(f.metrics.backlog); got != float64(4+len(others)) {
		t.Errorf("the metric has a backlog of %v", got)
	}
	if done, err := f.Run(t.Context()); done != 0 || err != nil || testutil.ToFloat64(f.metrics.backlog) != 0 {
		t.Errorf("with nothing left, Run = %d, %v", done, err)
	}
}

func TestFlushMeasuresHowFarItIsBehind(t *testing.T) {
	w := newWorld(t, nil)
	w.login("ana")
	f := w.flush(w.redis)
	f.now = func() time.Time { return w.redis.Clock().Add(time.Minute) }
	f.sink = brokenSink{errDown}
	if _, err := f.Run(t.Context()); !errors.Is(err, errDown) {
		t.Fatalf("Run: %v", err)
	}
	if got := testutil.ToFloat64(f.metrics.age); got < 59 || got > 80 { // the clocks agree to within a round trip
		t.Errorf("the oldest event is said to be %v s old, want about 60", got)
	}
}

// brokenSink is a Postgres that writes nothing.
type brokenSink struct{ err error }

func (b brokenSink) WriteEvents(context.Context, []store.Entry) (store.WriteResult, error) {
	return store.WriteResult{}, b.err
}

// deafSource is a Redis whose acknowledgements do not get through.
type deafSource struct{ eventSource }

func (deafSource) AckEvents(context.Context, int, []string) error { return errDown }

// TestACrashLosesAndRepeatsNothing ends the first gateway's flush at each point
// where it can die. The second one takes over.
func TestACrashLosesAndRepeatsNothing(t *testing.T) {
	for name, crash := range map[string]func(*flush){
		"after the read":      func(f *flush) { f.sink = brokenSink{errDown} },
		"after the commit":    func(f *flush) { f.afterCommit = func() error { return errDown } },
		"in the acknowledge":  func(f *flush) { f.source = deafSource{f.source} },
		"in the second batch": func(f *flush) { n := 0; f.afterCommit = func() error { n++; return failFrom(n, 2) } },
	} {
		for _, heir := range []string{"gateway-1", "gateway-2"} {
			t.Run(name+", then "+heir, func(t *testing.T) {
				w := newWorld(t, func(o *store.RedisOptions) { o.ClaimIdle = time.Millisecond })
				sessions := w.logins(25)
				for _, s := range sessions[:10] {
					w.logout(s)
				}
				f := w.flush(w.redis)
				f.batch = 10
				crash(f)
				if _, err := f.Run(t.Context()); !errors.Is(err, errDown) {
					t.Fatalf("the flush did not fail: %v", err)
				}
				next := w.flush(w.gateway(heir))
				w.eventually("the stream is empty", func() bool {
					_, err := next.Run(t.Context())
					w.must(err)
					return w.backlog() == 0
				})
				w.expectExactly(35)
			})
		}
	}
}

func failFrom(n, first int) error {
	if n < first {
		return nil
	}
	return errDown
}

// expectExactly fails the test unless the log has so many events, none twice.
func (w *world) expectExactly(events int) {
	w.Helper()
	if got := w.count("SELECT count(*) FROM session_logs"); got != events {
		w.Errorf("the log has %d rows, want %d", got, events)
	}
	if got := w.count("SELECT count(DISTINCT (session_id, action)) FROM session_logs"); got != events {
		w.Errorf("the log has %d different events, want %d", got, events)
	}
	if got := w.count("SELECT count(*) FROM session_logs_dead"); got != 0 {
		w.Errorf("%d events are parked", got)
	}
}

// TestManyFlushesAtOnce: several gateways flush, take over from each other all
// the time, and crash now and then, while sessions begin and end.
func TestManyFlushesAtOnce(t *testing.T) {
	w := newWorld(t, func(o *store.RedisOptions) { o.Partitions, o.ClaimIdle = 2, time.Millisecond })
	const gateways, sessions = 4, 200
	var logging sync.WaitGroup
	logging.Go(func() {
		for i := range sessions {
			s := w.login(fmt.Sprintf("user-%d", i))
			w.logout(s)
		}
	})
	var logged atomic.Bool
	go func() { logging.Wait(); logged.Store(true) }()

	flushes := make([]*flush, gateways)
	for i := range flushes {
		flushes[i] = w.flush(w.gateway(fmt.Sprintf("gateway-%d", i+1)))
		flushes[i].batch = 7
		batches := 0
		flushes[i].afterCommit = func() error {
			if batches++; batches%5 == 0 {
				return errDown
			}
			return nil
		}
	}
	group(gateways, func(i int) {
		w.eventually("all events are flushed", func() bool {
			wasLogged := logged.Load()
			if _, err := flushes[i].Run(t.Context()); err != nil && !errors.Is(err, errDown) {
				t.Error(err)
				return true
			}
			return wasLogged && w.backlog() == 0
		})
	})
	w.expectExactly(2 * sessions)
	if got := w.count("SELECT count(*) FROM user_sessions WHERE end_reason = 'logout'"); got != sessions {
		t.Errorf("%d sessions ended, want %d", got, sessions)
	}
}

func TestFlushHaltsWhenTheTablesDoNotFit(t *testing.T) {
	w := newWorld(t, nil)
	w.login("ana")
	w.exec("ALTER TABLE session_logs RENAME TO elsewhere")
	f := w.flush(w.redis)
	if _, err := f.Run(t.Context()); !errors.Is(err, store.ErrSchema) {
		t.Fatalf("Run: %v, want ErrSchema", err)
	}
	if n := w.backlog(); n != 1 || testutil.ToFloat64(f.metrics.halted) != 1 {
		t.Errorf("backlog %d, halted %v, want 1 and 1", n, testutil.ToFloat64(f.metrics.halted))
	}
	w.exec("ALTER TABLE elsewhere RENAME TO session_logs")
	if done, err := f.Run(t.Context()); done != 1 || err != nil {
		t.Fatalf("Run = %d, %v, want 1", done, err)
	}
	if got := testutil.ToFloat64(f.metrics.halted); got != 0 {
		t.Errorf("halted is %v after a good run", got)
	}
}

func TestABadEventDoesNotHoldUpTheRest(t *testing.T) {
	w := newWorld(t, nil)
	w.login("ana")
	w.must(w.raw.XAdd(t.Context(), &redis.XAddArgs{Stream: "sg:{0}:events", Values: []string{"by", "hand"}}).Err())
	w.login("ben")
	f := w.flush(w.redis)
	if done, err := f.Run(t.Context()); done != 2 || err != nil {
		t.Fatalf("Run = %d, %v, want 2", done, err)
	}
	if n := w.backlog(); n != 0 {
		t.Errorf("%d events are left in Redis", n)
	}
	if got := w.count("SELECT count(*) FROM session_logs_dead"); got != 1 || testutil.ToFloat64(f.metrics.dead) != 1 {
		t.Errorf("%d events parked, the metric says %v, want 1", got, testutil.ToFloat64(f.metrics.dead))
	}
}

// deafPartition is a Redis one partition of which can't be reached.
type deafPartition struct {
	eventSource
	partition int
}

func (d deafPartition) NewEvents(ctx context.Context, stream, limit int) ([]store.Entry, error) {
	if stream == d.partition {
		return nil, errDown
	}
	return d.eventSource.NewEvents(ctx, stream, limit)
}

func TestAPartitionThatFailsDoesNotHoldUpTheOthers(t *testing.T) {
	w := newWorld(t, func(o *store.RedisOptions) { o.Partitions = 2 })
	own := 0
	for _, s := range w.logins(30) {
		if w.redis.PartitionOf(s.UserID) == 1 {
			own++
		}
	}
	f := w.flush(w.redis)
	f.source, f.batch = deafPartition{w.redis, 0}, 3
	if done, err := f.Run(t.Context()); done != own || !errors.Is(err, errDown) {
		t.Errorf("Run = %d, %v, want the %d of partition 1 and an error", done, err, own)
	}
	if done, err := w.flush(w.redis).Run(t.Context()); done != 30-own || err != nil {
		t.Errorf("Run = %d, %v, want the other %d", done, err, 30-own)
	}
}

// endless is a stream that fills up as fast as it is emptied.
type endless struct{}

func (endless) PendingEvents(context.Context, int, int) ([]store.Entry, error) { return nil, nil }
func (endless) NewEvents(context.Context, int, int) ([]store.Entry, error) {
	<-time.After(10 * time.Millisecond)
	return []store.Entry{{StreamID: "1-1"}}, nil
}
func (endless) AckEvents(context.Context, int, []string) error { return nil }
func (endless) Backlog(context.Context, int) (int64, time.Time, error) {
	return 1, time.Time{}, nil
}

func TestAFlushWithoutAnEndIsLeftInGoodTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		metrics, err := newFlushMetrics(prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		f := &flush{source: endless{}, sink: brokenSink{nil}, streams: 1, batch: 1, now: time.Now, metrics: metrics}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		start := time.Now()
		if _, err := f.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
		if took := time.Since(start).Round(time.Second); took != 15*time.Second {
			t.Errorf("took %v of 20s, want 15s", took)
		}
	})
}
