package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sessiongate/sessiongate/store"
)

// eventSource is the audit streams, as store.Redis offers them. They go by
// numbers from 0 up.
type eventSource interface {
	// PendingEvents returns up to limit entries that were read and never
	// acknowledged: first those this gateway read before, then those of gateways
	// that died. An entry that can't be decoded is among them, with its Err. None is
	// an empty slice.
	PendingEvents(ctx context.Context, stream, limit int) ([]store.Entry, error)
	// NewEvents returns up to limit entries that nobody has read yet.
	NewEvents(ctx context.Context, stream, limit int) ([]store.Entry, error)
	// AckEvents acknowledges and deletes the entries.
	AckEvents(ctx context.Context, stream int, streamIDs []string) error
	// Backlog returns how many entries there are, and when the oldest came in.
	Backlog(ctx context.Context, stream int) (n int64, oldest time.Time, err error)
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
// a batch of each in turn, so that a stream with much to do does not hold up the
// others. What was read before and not acknowledged comes first, a batch at a
// time; then what is new, with several transactions at once (the rows come out
// the same in any order), so that Redis, this gateway and Postgres work at the
// same time. Redis and Postgres may fail at any point: the run ends, and what it
// had read is read again first by the next one. It holds at most flushWriters + 1
// batches in memory.
type flush struct {
	source  eventSource
	sink    eventSink
	streams int
	batch   int // entries in one transaction
	now     func() time.Time
	log     *slog.Logger
	metrics *flushMetrics

	// afterCommit is a failpoint of the tests: its error ends the run after the
	// commit and before the acknowledgement, as a crash would.
	afterCommit func() error
}

// flushWriters is how many transactions a run has under way at once. Two keep
// Postgres busy while one of them is being prepared, sent or synced.
const flushWriters = 2

// Run drains the streams and returns how many events were new to Postgres.
func (f *flush) Run(ctx context.Context) (done int, err error) {
	r := &flushRun{flush: f, end: closingTime(ctx), failed: make([]bool, f.streams)}
	r.errs = append(r.errs, f.observe(ctx))
	r.drain(ctx, f.source.PendingEvents, func(b flushBatch) { r.settle(ctx, b) })

	batches := make(chan flushBatch)
	var writers sync.WaitGroup
	for range flushWriters {
		writers.Go(func() {
			for b := range batches {
				r.settle(ctx, b)
			}
		})
	}
	r.drain(ctx, f.source.NewEvents, func(b flushBatch) { batches <- b })
	close(batches)
	writers.Wait()
	return r.done, errors.Join(r.errs...)
}

// flushRun is one run of flush.
type flushRun struct {
	*flush
	end time.Time

	mu     sync.Mutex
	done   int
	down   bool   // Postgres is the same for all streams
	failed []bool // streams with which something is wrong
	errs   []error
}

// flushBatch is some entries of one stream.
type flushBatch struct {
	stream  int
	entries []store.Entry
}

// drain hands on what it reads until the streams have no more.
func (r *flushRun) drain(
	ctx context.Context, read func(ctx context.Context, stream, limit int) ([]store.Entry, error), next func(flushBatch),
) {
	open := make([]int, r.streams) // those that may have more
	for s := range open {
		open[s] = s
	}
	for len(open) > 0 && time.Now().Before(r.end) {
		more := open[:0]
		for _, s := range open {
			down, failed := r.state(s)
			if down {
				return
			}
			if failed {
				continue
			}
			entries, err := read(ctx, s, r.batch)
			if err != nil {
				r.fail(s, fmt.Errorf("stream %d: read events: %w", s, err))
			} else if len(entries) > 0 {
				next(flushBatch{s, entries})
				more = append(more, s)
			}
		}
		open = more
	}
}

// settle moves one batch: commit, acknowledge, in this order and no other.
func (r *flushRun) settle(ctx context.Context, b flushBatch) {
	result, err := r.sink.WriteEvents(ctx, b.entries)
	r.wrote(ctx, b.stream, result, err)
	r.mu.Lock()
	r.done += result.Inserted
	r.mu.Unlock()
	if err != nil {
		r.fail(b.stream, &sinkError{fmt.Errorf("stream %d: write %d events: %w", b.stream, len(b.entries), err)})
		return
	}
	if r.afterCommit != nil {
		if err := r.afterCommit(); err != nil {
			r.fail(b.stream, err)
			return
		}
	}
	ids := make([]string, len(b.entries))
	for i, e := range b.entries {
		ids[i] = e.StreamID
	}
	if err := r.source.AckEvents(ctx, b.stream, ids); err != nil {
		r.fail(b.stream, fmt.Errorf("stream %d: acknowledge %d events: %w", b.stream, len(ids), err))
	}
}

// fail ends the run for the stream, or for all where Postgres is at fault.
func (r *flushRun) fail(stream int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var down *sinkError
	r.down = r.down || errors.As(err, &down)
	r.failed[stream] = true
	r.errs = append(r.errs, err)
}

func (r *flushRun) state(stream int) (down, failed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.down, r.failed[stream]
}

// sinkError marks what went wrong in Postgres.
type sinkError struct{ error }

func (e *sinkError) Unwrap() error { return e.error }

// wrote accounts for one call of WriteEvents.
func (f *flush) wrote(ctx context.Context, stream int, result store.WriteResult, err error) {
	f.metrics.rows.Add(float64(result.Inserted))
	f.metrics.dead.Add(float64(result.Dead))
	if result.Dead > 0 {
		f.log.ErrorContext(ctx, "audit events can't be written and were parked in session_logs_dead",
			"stream", stream, "dead", result.Dead)
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
	for s := range f.streams {
		n, oldest, err := f.source.Backlog(ctx, s)
		if err != nil {
			errs = append(errs, fmt.Errorf("stream %d: read backlog: %w", s, err))
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
