package jobs

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Settings say when the jobs run and how far they go; the section jobs of
// config.yaml. A schedule is cron's five fields in UTC, or "@every 2s".
type Settings struct {
	Flush               string
	FlushBatch          int // events in one transaction
	Activity            string
	Sweep               string
	Reconcile           string
	ReconcileMaxMissing float64 // share of a pass, 0 to 1
	Partitions          string
	Retention           time.Duration // of session_logs; 0: for ever
	Keys                string        // of looking for signing keys; where there are Deps.Keys
	Geo                 string        // of looking for new files; where there is Deps.Geo
	Remember            time.Duration // of what users were seen with and at
}

// liveStore is what all jobs together need of store.Redis.
type liveStore interface {
	eventSource
	activitySource
	liveness
	announcer
	fences
	epochs
	clockSource
	userRevoker
	Partitions() int
	Streams() int
	Vanished() uint64
}

// ledgerStore is what all jobs together need of store.Postgres.
type ledgerStore interface {
	eventSink
	activitySink
	endings
	expired
	active
	epochBook
	partitioner
	lockedOut
	historian
	outbox
	outboxKeeper
}

// Deps are what the jobs work with.
type Deps struct {
	Redis    liveStore   // a *store.Redis
	Postgres ledgerStore // a *store.Postgres
	Tracker  *Tracker    // the one that validation reports to
	Keys     keyLoader   // a *tokens.Shared or *tokens.Directory; nil where keys stay as they are
	Rotation keyRotator  // a *tokens.Shared; nil where keys are not shared
	Geo      reloader    // a *geo.DB; nil where there are no files
	Notifier Notifier    // a *notify.Notifier; nil where nobody is told anything
	Notices  NoticeSettings
	TTL      time.Duration
	Settings Settings
	Metrics  prometheus.Registerer
	Log      *slog.Logger
}

// All returns the table of the jobs. The last thing a gateway does before it
// exits is RunNow of "activity" and "flush".
func All(d Deps) ([]Job, error) {
	flushed, err := newFlushMetrics(d.Metrics)
	if err != nil {
		return nil, fmt.Errorf("jobs: register metrics: %w", err)
	}
	halted, err := newHalted(d.Metrics)
	if err != nil {
		return nil, fmt.Errorf("jobs: register metrics: %w", err)
	}
	vanished := prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "sessiongate_flush_vanished_total",
		Help: "Audit events that were deleted from a stream by hand before they were written. More than 0: an alarm.",
	}, func() float64 { return float64(d.Redis.Vanished()) })
	skew := gauge("sessiongate_clock_skew_seconds", "How far this machine's clock is behind Redis's.")
	if err := register(d.Metrics, skew, vanished); err != nil {
		return nil, fmt.Errorf("jobs: register metrics: %w", err)
	}

	at, now, count := d.Settings, d.Redis.Clock, d.Redis.Partitions()
	closer := closer{live: d.Redis, fences: d.Redis, feed: d.Redis, ledger: d.Postgres, now: now}
	flush := &flush{
		source: d.Redis, sink: d.Postgres, streams: d.Redis.Streams(), batch: at.FlushBatch,
		now: now, log: d.Log, metrics: flushed,
	}
	lastActivity := &lastActivity{
		source: d.Redis, sink: d.Postgres, partitions: count, batch: activityBatch, now: now,
	}
	sweep := &sweep{closer: closer, rows: d.Postgres, page: lookPage}
	reconcile := &reconcile{
		closer: closer, rows: d.Postgres, epochs: d.Redis, book: d.Postgres, partitions: count, page: lookPage,
		ttl: d.TTL, maxMissing: at.ReconcileMaxMissing, log: d.Log, halted: halted,
	}
	lockout := &lockout{users: d.Postgres, sessions: d.Redis, now: now}
	partitions := &partitions{db: d.Postgres, now: now}
	clock := &clock{source: d.Redis, skew: skew}

	table := []Job{
		{Name: "flush", Schedule: at.Flush, Timeout: 30 * time.Second, Run: flush.Run},
		{Name: "activity", Schedule: at.Activity, Timeout: 5 * time.Second, Run: d.Tracker.Run},
		{Name: "last_activity", Schedule: at.Activity, Timeout: 30 * time.Second, Run: lastActivity.Run},
		{Name: "sweep", Schedule: at.Sweep, Timeout: time.Minute, Run: sweep.Run},
		{Name: "lockout", Schedule: at.Sweep, Timeout: time.Minute, Run: lockout.Run},
		{Name: "reconcile", Schedule: at.Reconcile, Timeout: 5 * time.Minute, Run: reconcile.Run},
		{Name: "partitions", Schedule: at.Partitions, Timeout: time.Minute, Run: partitions.Run, AtStart: true},
		{Name: "clock", Schedule: "@every 10s", Timeout: 5 * time.Second, Run: clock.Run},
	}
	if at.Remember > 0 {
		forget := &forget{db: d.Postgres, now: now, keep: at.Remember}
		table = append(table, Job{Name: "forget_history", Schedule: at.Partitions, Timeout: time.Minute, Run: forget.Run})
	}
	if d.Geo != nil {
		table = append(table, Job{Name: "reload_geo", Schedule: at.Geo, Timeout: time.Minute, Run: d.Geo.Reload})
	}
	if at.Retention > 0 {
		retention := &retention{db: d.Postgres, now: now, keep: at.Retention}
		table = append(table, Job{Name: "retention", Schedule: at.Partitions, Timeout: time.Minute, Run: retention.Run})
	}
	if d.Keys != nil {
		table = append(table, Job{Name: "load_keys", Schedule: at.Keys, Timeout: 10 * time.Second, Run: (&loadKeys{d.Keys}).Run})
	}
	if d.Rotation != nil {
		table = append(table, Job{Name: "rotate_keys", Schedule: at.Keys, Timeout: 30 * time.Second, Run: (&rotateKeys{d.Rotation}).Run})
	}
	if d.Notifier != nil {
		more, err := noticeJobs(d)
		if err != nil {
			return nil, err
		}
		table = append(table, more...)
	}
	return table, nil
}
