// Package jobs does the gateway's background work: it carries events and
// activity from Redis to Postgres, finds the sessions that ended without anybody
// saying so, and looks after the partitions of the audit log.
//
// A job is a function that does a bounded amount of work and says how much it
// did. Everything else about running it (the schedule, the time limit, panics,
// the pause after failures, metrics, the log line) is the same for all jobs and
// lives in Scheduler.
//
// There is no lease and no leader: every gateway runs every job, as many at once
// as there are gateways, and each may die at any line. That is safe because no
// job keeps a decision to itself. What it read stays where it was until Postgres
// has committed the result; what it writes is named by an id fixed beforehand
// (the event's own, or one derived from the session's) or only ever grows
// (last_activity, expires_at); and the one thing that may happen once, the end of
// a session, is decided inside a transaction that holds the session's row. So a
// second gateway costs some repeated reading and changes nothing.
//
// All is the table of the jobs. The package knows stores only by the few methods
// that each job declares for itself.
package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/robfig/cron/v3"
)

// A Job is one line of the table that All returns.
type Job struct {
	Name     string        // in metrics and logs
	Schedule string        // cron, five fields, UTC; or "@every 2s", whole seconds
	Timeout  time.Duration // of one run
	AtStart  bool          // run as soon as the scheduler starts, and each minute until a run has succeeded
	// Run does the work and returns how many things it did, also where it failed
	// halfway. Runs of one job may overlap, on one gateway and on several, and may
	// be cut off anywhere through ctx.
	Run func(ctx context.Context) (done int, err error)
}

// startRetry is the pause between the attempts of a job that is due at start.
const startRetry = time.Minute

// errStopping is the cause of runs cut off by Stop.
var errStopping = errors.New("the scheduler is stopping")

// Scheduler runs jobs until Stop.
type Scheduler struct {
	cron    *cron.Cron
	jobs    map[string]Job
	metrics *runMetrics
	log     *slog.Logger
	atStart sync.WaitGroup

	ctx  context.Context // of all scheduled runs
	stop context.CancelCauseFunc
}

// NewScheduler returns a scheduler for the given jobs; Start starts it. It
// reports a schedule that can't be parsed and a name used twice, here and not at
// the first run.
func NewScheduler(table []Job, reg prometheus.Registerer, log *slog.Logger) (*Scheduler, error) {
	metrics, err := newRunMetrics(reg, table)
	if err != nil {
		return nil, fmt.Errorf("jobs: register metrics: %w", err)
	}
	s := &Scheduler{
		cron:    cron.New(cron.WithLocation(time.UTC), cron.WithLogger(cron.DiscardLogger)),
		jobs:    make(map[string]Job, len(table)),
		metrics: metrics,
		log:     log,
	}
	s.ctx, s.stop = context.WithCancelCause(context.Background())
	for _, j := range table {
		if _, ok := s.jobs[j.Name]; ok {
			return nil, fmt.Errorf("jobs: two jobs are named %q", j.Name)
		}
		s.jobs[j.Name] = j
		if _, err := s.cron.AddJob(j.Schedule, s.scheduled(j)); err != nil {
			return nil, fmt.Errorf("jobs: %s: schedule %q: %w", j.Name, j.Schedule, err)
		}
	}
	return s, nil
}

// scheduled is what cron runs at each tick of the job's schedule. The order of
// the chain matters: a panic that reached SkipIfStillRunning would leave it
// believing for ever that the job is still running, so Recover is inside. run
// makes an error of a panic in the job itself already; Recover is for the rest.
func (s *Scheduler) scheduled(j Job) cron.Job {
	pause := newBackoff(time.Now)
	log := cronLog{job: j.Name, log: s.log, skipped: func() { s.metrics.skipped(j.Name) }}
	return cron.NewChain(cron.SkipIfStillRunning(log), cron.Recover(log)).Then(cron.FuncJob(func() {
		if pause.pausing() {
			s.metrics.skipped(j.Name)
			return
		}
		_, err := s.run(s.ctx, j)
		pause.ran(err)
	}))
}

// Start begins to run the jobs.
func (s *Scheduler) Start() {
	for _, j := range s.jobs {
		if j.AtStart {
			s.atStart.Go(func() { s.runUntilDone(j) })
		}
	}
	s.cron.Start()
}

// runUntilDone runs a job that is due at start, again and again until it has
// succeeded once: a gateway may well be up before Postgres is.
func (s *Scheduler) runUntilDone(j Job) {
	retry := time.NewTicker(startRetry)
	defer retry.Stop()
	for {
		if _, err := s.run(s.ctx, j); err == nil {
			return
		}
		select {
		case <-retry.C:
		case <-s.ctx.Done():
			return
		}
	}
}

// Stop starts no further run, cuts off those under way (each is safe to cut off
// anywhere) and returns once they have returned; or, with an error, once ctx is
// done. RunNow still works afterwards.
func (s *Scheduler) Stop(ctx context.Context) error {
	s.stop(errStopping)
	stopped := make(chan struct{})
	running := s.cron.Stop()
	go func() {
		<-running.Done()
		s.atStart.Wait()
		close(stopped)
	}()
	select {
	case <-stopped:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("jobs: stop: %w", context.Cause(ctx))
	}
}

// RunNow runs the named job once, at once, whether the scheduler is running or
// not, and returns how much it did. It does not wait for a scheduled run of the
// same job. A gateway that shuts down uses it for the last flush.
func (s *Scheduler) RunNow(ctx context.Context, name string) (done int, err error) {
	j, ok := s.jobs[name]
	if !ok {
		return 0, fmt.Errorf("jobs: run %q: no such job", name)
	}
	done, err = s.run(ctx, j)
	if err != nil {
		return done, fmt.Errorf("jobs: run %s: %w", name, err)
	}
	return done, nil
}

// run runs a job once, within its time limit, and accounts for it.
func (s *Scheduler) run(ctx context.Context, j Job) (done int, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, j.Timeout, fmt.Errorf("ran past its limit of %v", j.Timeout))
	defer cancel()

	start := time.Now()
	done, err = runSafely(ctx, j.Run)
	took := time.Since(start)

	result := resultOf(ctx, err)
	s.metrics.ran(j.Name, result, done, took)
	level := slog.LevelDebug // flush and activity run every second
	if result == resultError || result == resultPanic {
		level = slog.LevelError
	}
	s.log.Log(ctx, level, "job ran", "job", j.Name, "result", result, "done", done, "took", took, "err", err)
	return done, err
}

// runSafely makes an error of a panic in the job and of the time limit.
func runSafely(ctx context.Context, run func(context.Context) (int, error)) (done int, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{value: p, stack: debug.Stack()}
		}
	}()
	done, err = run(ctx)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return done, err
}

// closingTime returns the moment after which a run should begin nothing more:
// under a load that never ends, most of its time limit may pass in good order,
// and a run that is cut off counts as failed.
func closingTime(ctx context.Context) time.Time {
	now := time.Now()
	deadline, ok := ctx.Deadline()
	if !ok {
		return now.Add(365 * 24 * time.Hour)
	}
	return now.Add(deadline.Sub(now) * 3 / 4)
}

// panicError is a panic as the error of its run.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.value, e.stack) }

// cronLog receives what the wrappers of cron's chain have to say.
type cronLog struct {
	job     string
	log     *slog.Logger
	skipped func()
}

// Info is called by SkipIfStillRunning, once for each run it skips.
func (l cronLog) Info(string, ...any) { l.skipped() }

// Error is called by Recover.
func (l cronLog) Error(err error, msg string, keysAndValues ...any) {
	l.log.Error("job failed outside its run", append([]any{"job", l.job, "err", err, "msg", msg}, keysAndValues...)...)
}
