package jobs

import (
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/sessiongate/sessiongate/session"
)

func (w *world) deps(reg prometheus.Registerer) Deps {
	w.Helper()
	tracker, err := NewTracker(w.redis, reg)
	w.must(err)
	return Deps{
		Redis: w.redis, Postgres: w.postgres, Tracker: tracker, TTL: w.options.Policy.TTL,
		Settings: Settings{
			Flush: "@every 1s", FlushBatch: 1000, Activity: "@every 1s", Sweep: "@every 1s", Reconcile: "@every 1s",
			ReconcileMaxMissing: 0.5, Partitions: "5 3 * * *", Retention: 24 * time.Hour,
		},
		Metrics: reg, Log: slog.New(slog.DiscardHandler),
	}
}

// TestAll runs all jobs as the gateway does, by the clock, and follows a user
// through a session that an administrator ends.
func TestAll(t *testing.T) {
	w := newWorld(t, nil)
	reg := prometheus.NewRegistry()
	deps := w.deps(reg)
	table, err := All(deps)
	w.must(err)
	s, err := NewScheduler(table, reg, deps.Log)
	w.must(err)
	s.Start()
	defer stop(t, s)

	removed, kept := w.login("ana"), w.login("ben")
	seen := w.redis.Clock().Add(time.Second)
	deps.Tracker.Seen(kept.Token(), seen)
	w.eventually("the logins are in the log", func() bool {
		return w.count("SELECT count(*) FROM session_logs WHERE action = 'login'") == 2
	})
	w.eventually("the use is in the row", func() bool { return w.lastActivityOf(kept).Equal(seen) })
	w.remove(removed)
	w.eventually("the removal is in the log", func() bool { return len(w.endings(removed)) == 1 })
	w.expectEnding(removed, session.EndRemoved)
	w.expectActive(kept)
	w.eventually("months are made at the start", func() bool {
		return testutil.ToFloat64(s.metrics.runs.WithLabelValues("partitions", resultOK)) == 1
	})
	for _, j := range table {
		for _, result := range []string{resultError, resultPanic} {
			if n := testutil.ToFloat64(s.metrics.runs.WithLabelValues(j.Name, result)); n != 0 {
				t.Errorf("%v runs of %s ended with %s", n, j.Name, result)
			}
		}
	}
}

func TestTheTable(t *testing.T) {
	w := newWorld(t, nil)
	deps := w.deps(prometheus.NewRegistry())
	table, err := All(deps)
	w.must(err)
	for _, j := range table {
		if j.Name == "" || j.Schedule == "" || j.Timeout <= 0 || j.Run == nil {
			t.Errorf("a row of the table is incomplete: %+v", j)
		}
	}
	if _, err := All(deps); err == nil {
		t.Error("the same metrics could be registered twice")
	}
	deps.Metrics = prometheus.NewRegistry()
	deps.Settings.Retention = 0
	forever, err := All(deps)
	w.must(err)
	if len(forever) != len(table)-1 {
		t.Errorf("%d jobs with retention, %d without, want one less", len(table), len(forever))
	}
}

func TestPartitionsAreMadeAndDropped(t *testing.T) {
	w := newWorld(t, nil)
	now := time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	create := &partitions{db: w.postgres, now: clock}
	made, err := create.Run(t.Context())
	if made < partitionMonths || err != nil {
		t.Fatalf("Run = %d, %v, want at least %d", made, err, partitionMonths)
	}
	if again, err := create.Run(t.Context()); again != 0 || err != nil {
		t.Errorf("the second time, Run = %d, %v", again, err)
	}
	drop := &retention{db: w.postgres, now: clock, keep: 24 * time.Hour}
	if dropped, err := drop.Run(t.Context()); dropped != 0 || err != nil {
		t.Errorf("with all of it to be kept, Run = %d, %v", dropped, err)
	}
	now = now.AddDate(0, 2, 0)
	if dropped, err := drop.Run(t.Context()); dropped == 0 || err != nil {
		t.Errorf("two months later, Run = %d, %v", dropped, err)
	}
}

func TestClock(t *testing.T) {
	w := newWorld(t, nil)
	job := &clock{source: w.redis, skew: gauge("skew", "")}
	if _, err := job.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if skew := testutil.ToFloat64(job.skew); skew < -1 || skew > 1 {
		t.Errorf("this machine is said to be %v s behind itself", skew)
	}
	w.redis.Close()
	if _, err := job.Run(t.Context()); err == nil {
		t.Error("Redis is away, and the clock was read")
	}
}
