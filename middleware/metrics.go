package middleware

import (
	"maps"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts and times requests.
type Metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	inFlight prometheus.Gauge

	found atomic.Pointer[map[series]*measures] // the map does not change
}

// durations are the bounds of the histogram, in seconds: fine where validation
// lives, coarse where a password is hashed.
var durations = []float64{
	.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5,
}

// NewMetrics returns metrics that are registered with reg.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sessiongate_http_requests_total",
			Help: "Requests by route, method and status; 499 is a client that hung up.",
		}, []string{"route", "method", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "sessiongate_http_request_duration_seconds",
			Help:    "Time from a request's header to the end of its handler, by route.",
			Buckets: durations,
		}, []string{"route"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "sessiongate_http_requests_in_flight",
			Help: "Requests under way.",
		}),
	}
	m.found.Store(&map[series]*measures{})
	for _, c := range []prometheus.Collector{m.requests, m.seconds, m.inFlight} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Observe measures every request. The labels take few values whatever strangers
// send: the route is its template, a method is one of those that exist.
func (m *Metrics) Observe() gin.HandlerFunc {
	return func(c *gin.Context) {
		start := time.Now()
		m.inFlight.Inc()
		defer func() {
			m.inFlight.Dec()
			route := route(c)
			s := m.of(series{route, methodLabel(c.Request.Method), c.Writer.Status()})
			s.requests.Inc()
			s.seconds.Observe(time.Since(start).Seconds())
		}()
		c.Next()
	}
}

// series is what a request is counted under.
type series struct {
	route, method string
	status        int
}

// measures are the metrics of a series, found: looking them up by their labels
// takes longer than all else about them.
type measures struct {
	requests prometheus.Counter
	seconds  prometheus.Observer
}

// of returns the metrics of the series. There are few: routes are templates, and
// methods and statuses those that exist.
func (m *Metrics) of(s series) *measures {
	if known, ok := (*m.found.Load())[s]; ok {
		return known
	}
	made := &measures{
		requests: m.requests.WithLabelValues(s.route, s.method, strconv.Itoa(s.status)),
		seconds:  m.seconds.WithLabelValues(s.route),
	}
	// Two that come at once may forget one another's: it is found again next time.
	known := maps.Clone(*m.found.Load())
	known[s] = made
	m.found.Store(&known)
	return made
}

func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodPost, http.MethodDelete, http.MethodHead,
		http.MethodPut, http.MethodPatch, http.MethodOptions:
		return method
	}
	return "other"
}
