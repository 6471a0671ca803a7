package jobs

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

var errDown = errors.New("down")

// newScheduler returns a scheduler for one job, named "job".
func newScheduler(t *testing.T, j Job) *Scheduler {
	t.Helper()
	j.Name = "job"
	if j.Schedule == "" {
		j.Schedule = "@every 1s"
	}
	if j.Timeout == 0 {
		j.Timeout = time.Minute
	}
	s, err := NewScheduler([]Job{j}, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *Scheduler) results(result string) float64 {
	return testutil.ToFloat64(s.metrics.runs.WithLabelValues("job", result))
}

func stop(t *testing.T, s *Scheduler) {
	t.Helper()
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAPanicDoesNotDisableAJob(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ran := make(chan int)
		calls := 0
		s := newScheduler(t, Job{Run: func(context.Context) (int, error) {
			calls++
			ran <- calls
			if calls == 1 {
				panic("at the disco")
			}
			return 2, nil
		}})
		s.Start()
		for want := 1; want <= 3; want++ {
			if got := <-ran; got != want {
				t.Fatalf("call %d, want %d", got, want)
			}
		}
		synctest.Wait()
		stop(t, s)
		if got := s.results(resultPanic); got != 1 {
			t.Errorf("%v runs panicked, want 1", got)
		}
		if got := s.results(resultOK); got != 2 {
			t.Errorf("%v runs went well, want 2", got)
		}
		if got := testutil.ToFloat64(s.metrics.done.WithLabelValues("job")); got != 4 {
			t.Errorf("%v things done, want 4", got)
		}
		if got := testutil.ToFloat64(s.metrics.lastSuccess.WithLabelValues("job")); got != float64(time.Now().Unix()) {
			t.Errorf("last success at %v, want %v", got, time.Now().Unix())
		}
	})
}

func TestARunIsSkippedWhileTheLastOneGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var running, most atomic.Int32
		proceed := make(chan struct{})
		s := newScheduler(t, Job{Run: func(context.Context) (int, error) {
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			<-proceed
			return 0, nil
		}})
		s.Start()
		<-time.After(5500 * time.Millisecond)
		if got := s.results(resultSkipped); got < 4 {
			t.Errorf("%v runs skipped in 5 s, want at least 4", got)
		}
		proceed <- struct{}{}
		proceed <- struct{}{} // the next run
		synctest.Wait()
		stop(t, s)
		if got := most.Load(); got != 1 {
			t.Errorf("%d runs at once", got)
		}
		if got := s.results(resultOK); got != 2 {
			t.Errorf("%v runs went well, want 2", got)
		}
	})
}

func TestAFailingJobPauses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScheduler(t, Job{Run: func(context.Context) (int, error) { return 0, errDown }})
		s.Start()
		<-time.After(time.Minute)
		stop(t, s)
		failed, skipped := s.results(resultError), s.results(resultSkipped)
		if failed < 60/5 || failed > 60/2 || failed+skipped < 59 {
			t.Errorf("in a minute of ticks a second apart, %v runs failed and %v were skipped", failed, skipped)
		}
	})
}

func TestARunEndsAtItsTimeLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScheduler(t, Job{Timeout: 3 * time.Second, Run: func(ctx context.Context) (int, error) {
			<-ctx.Done()
			return 7, ctx.Err()
		}})
		start := time.Now()
		done, err := s.RunNow(t.Context(), "job")
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("took %v, want 3s", took)
		}
		if done != 7 || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "past its limit of 3s") {
			t.Errorf("RunNow = %d, %v", done, err)
		}
		stop(t, s)
	})
}

func TestStopCutsOffWhatIsRunning(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		started := make(chan struct{})
		s := newScheduler(t, Job{Timeout: time.Hour, Run: func(ctx context.Context) (int, error) {
			started <- struct{}{}
			<-ctx.Done()
			return 0, ctx.Err()
		}})
		s.Start()
		<-started
		stop(t, s)
		if got := s.results(resultStopped); got != 1 {
			t.Errorf("%v runs cut off, want 1", got)
		}
		<-time.After(time.Minute) // nothing starts any more: the send would block, and the bubble deadlock
	})
}

func TestStopDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		started, proceed := make(chan struct{}), make(chan struct{})
		s := newScheduler(t, Job{Run: func(context.Context) (int, error) {
			close(started)
			<-proceed // deaf to its context
			return 0, nil
		}})
		s.Start()
		<-started
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if err := s.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Stop: %v", err)
		}
		close(proceed)
	})
}

func TestRunNow(t *testing.T) {
	t.Parallel()
	run := func(context.Context) (int, error) { return 3, nil }
	s := newScheduler(t, Job{Schedule: "0 0 1 1 *", Run: func(ctx context.Context) (int, error) { return run(ctx) }})

	t.Run("before the start", func(t *testing.T) {
		if done, err := s.RunNow(t.Context(), "job"); done != 3 || err != nil {
			t.Errorf("RunNow = %d, %v", done, err)
		}
	})
	t.Run("after the stop", func(t *testing.T) {
		s.Start()
		stop(t, s)
		if done, err := s.RunNow(t.Context(), "job"); done != 3 || err != nil {
			t.Errorf("RunNow = %d, %v", done, err)
		}
	})
	t.Run("an error comes back", func(t *testing.T) {
		run = func(context.Context) (int, error) { return 1, errDown }
		if done, err := s.RunNow(t.Context(), "job"); done != 1 || !errors.Is(err, errDown) {
			t.Errorf("RunNow = %d, %v", done, err)
		}
	})
	t.Run("a panic comes back as an error", func(t *testing.T) {
		run = func(context.Context) (int, error) { panic("oh") }
		if _, err := s.RunNow(t.Context(), "job"); err == nil || !strings.Contains(err.Error(), "panic: oh") {
			t.Errorf("RunNow: %v", err)
		}
	})
	t.Run("no such job", func(t *testing.T) {
		if _, err := s.RunNow(t.Context(), "nap"); err == nil || !strings.Contains(err.Error(), `"nap"`) {
			t.Errorf("RunNow: %v", err)
		}
	})
}

func TestAJobDueAtStartIsRepeatedUntilItSucceeds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		start := time.Now()
		s := newScheduler(t, Job{Schedule: "0 0 1 1 *", AtStart: true, Run: func(context.Context) (int, error) {
			at = append(at, time.Since(start))
			if len(at) < 3 {
				return 0, errDown
			}
			return 1, nil
		}})
		s.Start()
		<-time.After(time.Hour)
		stop(t, s)
		if len(at) != 3 || at[0] != 0 || at[1] != startRetry || at[2] != 2*startRetry {
			t.Errorf("ran after %v, want at once and after one and two times %v", at, startRetry)
		}
	})
}

func TestStopEndsTheWaitOfAJobDueAtStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScheduler(t, Job{Schedule: "0 0 1 1 *", AtStart: true, Run: func(context.Context) (int, error) {
			return 0, errDown
		}})
		s.Start()
		synctest.Wait()
		start := time.Now()
		stop(t, s)
		if took := time.Since(start); took != 0 {
			t.Errorf("Stop took %v", took)
		}
	})
}

func TestWrongTables(t *testing.T) {
	t.Parallel()
	run := func(context.Context) (int, error) { return 0, nil }
	for name, test := range map[string]struct {
		table []Job
		want  string
	}{
		"schedule": {[]Job{{Name: "nap", Schedule: "at noon", Run: run}}, `nap: schedule "at noon"`},
		"seconds":  {[]Job{{Name: "nap", Schedule: "* * * * * *", Run: run}}, "nap: schedule"},
		"name":     {[]Job{{Name: "nap", Schedule: "@hourly", Run: run}, {Name: "nap", Schedule: "@daily", Run: run}}, `"nap"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := NewScheduler(test.table, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want one with %q", err, test.want)
			}
		})
	}
}

// TestWhatIsLogged: operators see failures, and are left alone otherwise.
func TestWhatIsLogged(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo}))
	var err error
	s, e := NewScheduler([]Job{{Name: "job", Schedule: "@hourly", Timeout: time.Minute, Run: func(context.Context) (int, error) {
		return 5, err
	}}}, prometheus.NewRegistry(), log)
	if e != nil {
		t.Fatal(e)
	}
	if _, err := s.RunNow(t.Context(), "job"); err != nil || out.Len() > 0 {
		t.Errorf("a good run logged %q, error %v", out.String(), err)
	}
	err = errDown
	if _, err := s.RunNow(t.Context(), "job"); err == nil {
		t.Error("the run did not fail")
	}
	for _, want := range []string{"level=ERROR", "job=job", "done=5", "err=down"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("a failed run logged %q, want %q in it", out.String(), want)
		}
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		random float64
		want   []time.Duration // the pause after each failure in a row
	}{
		{0, []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, maxPause / 2, maxPause / 2}},
		{1, []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, maxPause, maxPause}},
	} {
		b := newBackoff(func() time.Time { return now })
		b.random = func() float64 { return test.random }
		if b.pausing() {
			t.Error("pauses before the first run")
		}
		for i, want := range test.want {
			b.ran(errDown)
			if got := b.until.Sub(now); got != want {
				t.Errorf("random %v: pause %d is %v, want %v", test.random, i+1, got, want)
			}
			if !b.pausing() {
				t.Errorf("random %v: does not pause after failure %d", test.random, i+1)
			}
		}
		now = now.Add(maxPause)
		if b.pausing() {
			t.Error("pauses for longer than it should")
		}
		b.ran(nil)
		b.ran(errDown)
		if got := b.until.Sub(now); got != test.want[0] {
			t.Errorf("the first pause after a success is %v, want %v", got, test.want[0])
		}
	}
}

// group runs functions at once and waits for them.
func group(n int, run func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { run(i) })
	}
	wg.Wait()
}
