package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sessiongate/sessiongate/store"
)

// eventSource is the audit stream, as store.Redis offers it.
type eventSource interface {
	// ReadEvents returns up to limit entries that nobody has acknowledged: first
	// those this gateway read before, then those of gateways that died, then new
	// ones. An entry that can't be decoded is among them, with its Err. None is an
	// empty slice.
	ReadEvents(ctx context.Context, partition, limit int) ([]store.Entry, error)
	// AckEvents acknowledges and deletes the entries.
	AckEvents(ctx context.Context, partition int, streamIDs []string) error
	// Backlog returns how many entries there are, and when the oldest came in.
	Backlog(ctx context.Context, partition int) (n int64, oldest time.Time, err error)
}

// eventSink is the ledger, as store.Postgres offers it.
type eventSink interface {
	// WriteEvents writes all entries: those that are there already are skipped,
	// those that can't be written are parked with the reason. So nil means that
	// each of them may be acknowledged. With an error none may be, though some may
	// have been written. One that wraps store.ErrSchema will not go away by itself.
	WriteEvents(ctx context.Context, entries []store.Entry) (store.WriteResult, error)
}

// flush moves audit events from the streams of Redis to Postgres.
//
// Each event reaches Postgres exactly once. It is acknowledged only after the
// commit, so none is lost; and it carries its own id, so one that is read again
// after a crash between the two is skipped.
//
// A run goes on until all streams are empty, or until most of its time is over,
// a batch of each in turn, so that a partition with much to do does not hold up
// the others. Redis and Postgres may fail at any point: the run ends, and what it
// had read is read again first by the next one.
type flush struct {
	source     eventSource
	sink       eventSink
	partitions int
	batch      int // entries in one transaction
	now        func() time.Time
	log        *slog.Logger
	metrics    *flushMetrics

	// afterCommit is a failpoint of the tests: its error ends the run after the
	// commit and before the acknowledgement, as a crash would.
	afterCommit func() error
}

// Run drains the streams and returns how many events were new to Postgres.
func (f *flush) Run(ctx context.Context) (done int, err error) {
	end := closingTime(ctx)
	errs := []error{f.observe(ctx)}
	open := make([]int, f.partitions) // those that may have more
	for p := range open {
		open[p] = p
	}
	for len(open) > 0 && time.Now().Before(end) {
		more := open[:0]
		for _, p := range open {
			read, inserted, err := f.flushBatch(ctx, p)
			done += inserted
			var down *sinkError
			if errors.As(err, &down) {
				// Postgres is the same for all partitions.
				return done, errors.Join(append(errs, err)...)
			}
			if err != nil {
				errs = append(errs, err)
			} else if read > 0 {
				more = append(more, p)
			}
		}
		open = more
	}
	return done, errors.Join(errs...)
}

// flushBatch moves one batch: read, commit, acknowledge, in this order and no other.
func (f *flush) flushBatch(ctx context.Context, partition int) (read, inserted int, err error) {
	entries, err := f.source.ReadEvents(ctx, partition, f.batch)
	if err != nil {
		return 0, 0, fmt.Errorf("partition %d: read events: %w", partition, err)
	}
	if len(entries) == 0 {
		return 0, 0, nil
	}
	result, err := f.sink.WriteEvents(ctx, entries)
	f.wrote(ctx, partition, result, err)
	if err != nil {
		return len(entries), result.Inserted, &sinkError{fmt.Errorf("partition %d: write %d events: %w", partition, len(entries), err)}
	}
	if f.afterCommit != nil {
		if err := f.afterCommit(); err != nil {
			return len(entries), result.Inserted, err
		}
	}
	ids := make([]string, len(entries))
	for i, e := range entries {
		ids[i] = e.StreamID
	}
	if err := f.source.AckEvents(ctx, partition, ids); err != nil {
		err = fmt.Errorf("partition %d: acknowledge %d events: %w", partition, len(ids), err)
		return len(entries), result.Inserted, err
	}
	return len(entries), result.Inserted, nil
}

// sinkError marks what went wrong in Postgres.
type sinkError struct{ error }

func (e *sinkError) Unwrap() error { return e.error }

// wrote accounts for one call of WriteEvents.
func (f *flush) wrote(ctx context.Context, partition int, result store.WriteResult, err error) {
	f.metrics.rows.Add(float64(result.Inserted))
	f.metrics.dead.Add(float64(result.Dead))
	if result.Dead > 0 {
		f.log.ErrorContext(ctx, "audit events can't be written and were parked in session_logs_dead",
			"partition", partition, "dead", result.Dead)
	}
	switch {
	case err == nil:
		f.metrics.batches.Inc()
		f.metrics.halted.Set(0)
	case errors.Is(err, store.ErrSchema):
		// Going on would park good events by the thousand. They wait in Redis.
		f.metrics.halted.Set(1)
		f.log.ErrorContext(ctx, "the flush is halted until somebody mends Postgres; events wait in Redis", "err", err)
	}
}

// observe measures what has gathered since the last run.
func (f *flush) observe(ctx context.Context) error {
	var errs []error
	var backlog int64
	var age time.Duration
	for p := range f.partitions {
		n, oldest, err := f.source.Backlog(ctx, p)
		if err != nil {
			errs = append(errs, fmt.Errorf("partition %d: read backlog: %w", p, err))
			continue
		}
		backlog += n
		if !oldest.IsZero() {
			age = max(age, f.now().Sub(oldest))
		}
	}
	if len(errs) == 0 {
		f.metrics.backlog.Set(float64(backlog))
		f.metrics.age.Set(age.Seconds())
	}
	return errors.Join(errs...)
}

// flushMetrics are what operators watch most: an audit log that falls behind.
type flushMetrics struct {
	rows, batches, dead  prometheus.Counter
	backlog, age, halted prometheus.Gauge
}

func newFlushMetrics(reg prometheus.Registerer) (*flushMetrics, error) {
	m := &flushMetrics{
		rows: counter("sessiongate_flush_rows_total",
			"Audit events that this gateway wrote to session_logs."),
		batches: counter("sessiongate_flush_batches_total",
			"Transactions in which this gateway wrote audit events."),
		dead: counter("sessiongate_flush_dead_letters_total",
			"Audit events that could not be written and were parked in session_logs_dead."),
		backlog: gauge("sessiongate_flush_backlog_events",
			"Audit events that were waiting in Redis when the flush last began."),
		age: gauge("sessiongate_flush_oldest_event_age_seconds",
			"How long the oldest audit event had been waiting when the flush last began."),
		halted: gauge("sessiongate_flush_halted",
			"1 while no audit event is written and somebody has to mend Postgres: its tables, our rights or password."),
	}
	return m, register(reg, m.rows, m.batches, m.dead, m.backlog, m.age, m.halted)
}
