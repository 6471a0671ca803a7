package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The results of a run, as the label of the metrics has them.
const (
	resultOK      = "ok"
	resultError   = "error"
	resultPanic   = "panic"
	resultStopped = "stopped" // cut off because the gateway stops
	resultSkipped = "skipped" // the last run was still going, or failed just now
)

func resultOf(ctx context.Context, err error) string {
	var p *panicError
	switch {
	case err == nil:
		return resultOK
	case errors.As(err, &p):
		return resultPanic
	case errors.Is(context.Cause(ctx), errStopping):
		return resultStopped
	}
	return resultError
}

// runMetrics are the metrics that all jobs have.
type runMetrics struct {
	runs        *prometheus.CounterVec
	seconds     *prometheus.HistogramVec
	done        *prometheus.CounterVec
	lastSuccess *prometheus.GaugeVec
}

func newRunMetrics(reg prometheus.Registerer, table []Job) (*runMetrics, error) {
	m := &runMetrics{
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sessiongate_jobs_runs_total",
			Help: "Runs of a background job, by result.",
		}, []string{"job", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "sessiongate_jobs_run_seconds",
			Help:    "How long a run of a background job took.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300},
		}, []string{"job"}),
		done: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sessiongate_jobs_done_total",
			Help: "What a background job did: events written, sessions closed, partitions made.",
		}, []string{"job"}),
		lastSuccess: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "sessiongate_jobs_last_success_timestamp_seconds",
			Help: "When a background job last succeeded, Unix time; 0: not since the start.",
		}, []string{"job"}),
	}
	// A series that appears only with the first failure makes rate() miss it.
	for _, j := range table {
		for _, result := range []string{resultOK, resultError, resultPanic, resultStopped, resultSkipped} {
			m.runs.WithLabelValues(j.Name, result)
		}
		m.seconds.WithLabelValues(j.Name)
		m.done.WithLabelValues(j.Name)
		m.lastSuccess.WithLabelValues(j.Name)
	}
	return m, register(reg, m.runs, m.seconds, m.done, m.lastSuccess)
}

func (m *runMetrics) ran(job, result string, done int, took time.Duration) {
	m.runs.WithLabelValues(job, result).Inc()
	m.seconds.WithLabelValues(job).Observe(took.Seconds())
	m.done.WithLabelValues(job).Add(float64(done))
	if result == resultOK {
		m.lastSuccess.WithLabelValues(job).SetToCurrentTime()
	}
}

func (m *runMetrics) skipped(job string) { m.runs.WithLabelValues(job, resultSkipped).Inc() }

// register registers all of them, and reports all that can't be.
func register(reg prometheus.Registerer, cs ...prometheus.Collector) error {
	var errs []error
	for _, c := range cs {
		errs = append(errs, reg.Register(c))
	}
	return errors.Join(errs...)
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
}

func gauge(name, help string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
}
