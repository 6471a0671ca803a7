package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// health is the answer of the probes.
type health struct {
	Status   string   `json:"status"`
	Redis    string   `json:"redis"`
	Postgres string   `json:"postgres"`
	Degraded []string `json:"degraded"`
}

func (g *gateway) readyz(t testing.TB, status int) health {
	t.Helper()
	return decode[health](t, g.do(t, call{method: "GET", path: "/readyz"}), status)
}

func testHealth(t *testing.T, g *gateway) {
	if got := decode[health](t, g.do(t, call{method: "GET", path: "/livez"}), http.StatusOK); got.Status != "ok" {
		t.Errorf("livez is %+v", got)
	}
	if got := g.readyz(t, http.StatusOK); got.Status != "ready" || got.Redis != "ok" || got.Postgres != "ok" {
		t.Errorf("readyz is %+v", got)
	}
	g.do(t, call{method: "HEAD", path: "/readyz"}).want(t, http.StatusOK)
	if keys := g.keys(t); len(keys) > 0 {
		t.Errorf("a shared secret is in the key set: %v", keys)
	}
}

// metric returns the value of a series, as "name{label="value"}".
func (g *gateway) metric(ctx context.Context, series string) (float64, error) {
	a, err := g.send(ctx, call{method: "GET", path: "/metrics"})
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(a.body) {
		if rest, ok := strings.CutPrefix(line, series+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(rest), 64)
		}
	}
	return 0, fmt.Errorf("no series %s in %d bytes of metrics (%d)", series, len(a.body), a.status)
}

// runs waits until the job has run so many times more, from beginning to end.
func (g *gateway) runs(t testing.TB, job string, times float64) {
	t.Helper()
	before, err := g.metric(t.Context(), runsOf(job, "ok"))
	if err != nil {
		t.Fatal(err)
	}
	g.ranTimes(t, job, before+times+1) // the first may have been under way already
}

// ran waits until the job has succeeded once since the gateway started.
func (g *gateway) ran(t testing.TB, job string) {
	t.Helper()
	g.ranTimes(t, job, 1)
}

func (g *gateway) ranTimes(t testing.TB, job string, want float64) {
	t.Helper()
	eventually(t, func() error {
		n, err := g.metric(t.Context(), runsOf(job, "ok"))
		if err == nil && n < want {
			err = fmt.Errorf("%s has run %v times, want %v", job, n, want)
		}
		return err
	})
}

func runsOf(job, result string) string {
	return fmt.Sprintf(`sessiongate_jobs_runs_total{job="%s",result="%s"}`, job, result)
}

func testMetrics(t *testing.T, g *gateway) {
	id := newID()
	g.alive(t, g.open(t, id).AccessToken)
	const series = `sessiongate_http_requests_total{code="404",method="GET",route="unmatched"}`
	g.do(t, call{method: "GET", path: "/no/such/" + newID()}).want(t, http.StatusNotFound)
	a := g.do(t, call{method: "GET", path: "/metrics"}).want(t, http.StatusOK)
	if kind := a.header.Get("Content-Type"); !strings.HasPrefix(kind, "text/plain") {
		t.Errorf("Content-Type is %q", kind)
	}
	for _, name := range []string{
		"sessiongate_http_requests_total", "sessiongate_http_request_duration_seconds_bucket", "sessiongate_flush_rows_total",
		"sessiongate_flush_backlog_events", "sessiongate_jobs_runs_total", "sessiongate_clock_skew_seconds", "go_goroutines",
	} {
		if !strings.Contains(a.body, "\n"+name) {
			t.Errorf("no metric %s", name)
		}
	}
	if n, err := g.metric(t.Context(), series); err != nil || n < 1 {
		t.Errorf("%s is %v, %v", series, n, err)
	}
	if what := betrays(a.body); what != "" || strings.Contains(a.body, id) {
		t.Errorf("metrics hold %s, or a user's id", what)
	}
}
