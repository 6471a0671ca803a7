package middleware

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/sessiongate/sessiongate/internal/problem"
	"github.com/sessiongate/sessiongate/session"
)

func init() { gin.SetMode(gin.TestMode) }

// stand is the chain, with one route behind it.
type stand struct {
	engine  *gin.Engine
	log     *bytes.Buffer
	reg     *prometheus.Registry
	timeout time.Duration
}

func newStand(t *testing.T, level slog.Level, path string, handlers ...gin.HandlerFunc) *stand {
	t.Helper()
	s := &stand{engine: gin.New(), log: &bytes.Buffer{}, reg: prometheus.NewRegistry(), timeout: time.Minute}
	metrics, err := NewMetrics(s.reg)
	if err != nil {
		t.Fatal(err)
	}
	s.engine.Use(Chain(Options{
		Log:       slog.New(slog.NewJSONHandler(s.log, &slog.HandlerOptions{Level: level})),
		Metrics:   metrics,
		Addresses: NewAddresses(nil),
		Quiet:     []string{"/quiet"},
		BodyBytes: 16,
		Timeout:   time.Minute,
	})...)
	s.engine.Handle(http.MethodPost, path, handlers...)
	return s
}

func (s *stand) do(r *http.Request) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	s.engine.ServeHTTP(rec, r)
	return rec
}

func (s *stand) lines(t *testing.T) (lines []map[string]any) {
	t.Helper()
	for line := range strings.Lines(s.log.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("log line %q: %v", line, err)
		}
		lines = append(lines, m)
	}
	return lines
}

func post(path, body string) *http.Request {
	return httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
}

func ok(c *gin.Context) { c.String(http.StatusOK, "ok") }

func TestRequestID(t *testing.T) {
	s := newStand(t, slog.LevelInfo, "/x", ok)
	seen := map[string]bool{}
	for range 100 {
		r := post("/x", "")
		r.Header.Set(problem.RequestIDHeader, "chosen\tby a stranger")
		id := s.do(r).Header().Get(problem.RequestIDHeader)
		if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(id) || seen[id] {
			t.Fatalf("id %q", id)
		}
		seen[id] = true
	}
}

func TestSecureHeaders(t *testing.T) {
	change := func(c *gin.Context) {
		c.Writer.Header().Add("Cache-Control", "private")
		c.Header("Pragma", "x")
		ok(c)
	}
	s := newStand(t, slog.LevelInfo, "/x", change)
	s.do(post("/x", "")) // what one answer does to its headers is not seen by the next
	rec := newStand(t, slog.LevelInfo, "/x", ok).do(post("/x", ""))
	want := map[string]string{
		"Cache-Control": "no-store", "Pragma": "no-cache", "X-Content-Type-Options": "nosniff",
		"Referrer-Policy": "no-referrer", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
	}
	for name, v := range want {
		if got := rec.Header().Values(name); len(got) != 1 || got[0] != v {
			t.Errorf("%s: %q, want %q", name, got, v)
		}
	}
}

func TestLimitBody(t *testing.T) {
	read := func(c *gin.Context) {
		if _, err := io.ReadAll(c.Request.Body); err != nil {
			problem.Write(c, err)
			return
		}
		ok(c)
	}
	s := newStand(t, slog.LevelInfo, "/x", read)
	tests := []struct {
		name   string
		length int
		chunks bool
		want   int
	}{
		{"as long as allowed", 16, false, 200},
		{"announced too long", 17, false, 413},
		{"chunked, as long as allowed", 16, true, 200},
		{"chunked, too long", 17, true, 413},
		{"empty", 0, false, 200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := post("/x", strings.Repeat("x", tt.length))
			if tt.chunks {
				r.ContentLength = -1
			}
			if rec := s.do(r); rec.Code != tt.want {
				t.Errorf("%d %s, want %d", rec.Code, rec.Body, tt.want)
			}
		})
	}
}

func TestLimitBodyOfOneRoute(t *testing.T) {
	engine := gin.New()
	engine.Use(LimitBody(4, map[string]int64{"/large": 8}))
	read := func(c *gin.Context) {
		if _, err := io.ReadAll(c.Request.Body); err != nil {
			problem.Write(c, err)
		}
	}
	engine.POST("/large", read)
	engine.POST("/small", read)
	for path, want := range map[string]int{"/large": 8, "/small": 4} {
		for length, status := range map[int]int{want: 200, want + 1: 413} {
			rec := httptest.NewRecorder()
			engine.ServeHTTP(rec, post(path, strings.Repeat("x", length)))
			if rec.Code != status {
				t.Errorf("%s, %d bytes: %d, want %d", path, length, rec.Code, status)
			}
		}
	}
}

func TestDeadline(t *testing.T) {
	engine := gin.New()
	engine.Use(Deadline(time.Millisecond, []string{"/long"}))
	engine.GET("/x", func(c *gin.Context) {
		<-c.Request.Context().Done()
		problem.Write(c, c.Request.Context().Err())
	})
	rec := httptest.NewRecorder()
	engine.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/x", nil))
	if rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}

	engine.GET("/long", func(c *gin.Context) {
		if _, bounded := c.Request.Context().Deadline(); bounded {
			t.Error("a long route has the deadline of the others")
		}
	})
	engine.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/long", nil))
}

func TestRecover(t *testing.T) {
	s := newStand(t, slog.LevelInfo, "/x", func(*gin.Context) { panic("boom at /home/me") })
	rec := s.do(post("/x", ""))
	if rec.Code != http.StatusInternalServerError || strings.Contains(rec.Body.String(), "boom") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if rec.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("header %v", rec.Header())
	}
	lines := s.lines(t)
	if len(lines) != 1 || lines[0]["level"] != "ERROR" || lines[0]["status"] != 500.0 {
		t.Fatalf("log: %v", lines)
	}
	if text, _ := lines[0]["err"].(string); !strings.Contains(text, "boom") || !strings.Contains(text, "middleware_test.go") {
		t.Errorf("the log does not say what panicked and where: %q", text)
	}
	if got := testutil.ToFloat64(mustMetrics(t, s).requests.WithLabelValues("/x", "POST", "500")); got != 1 {
		t.Errorf("%v requests counted as 500, want 1", got)
	}
}

func TestRecoverAfterTheAnswerHasBegun(t *testing.T) {
	s := newStand(t, slog.LevelInfo, "/x", func(c *gin.Context) { ok(c); panic("late") })
	if rec := s.do(post("/x", "")); rec.Body.String() != "ok" {
		t.Errorf("body %q", rec.Body)
	}
	if lines := s.lines(t); len(lines) != 1 || lines[0]["level"] != "ERROR" {
		t.Errorf("log: %v", lines)
	}
}

func TestRecoverLetsAnAbortThrough(t *testing.T) {
	s := newStand(t, slog.LevelInfo, "/x", func(*gin.Context) { panic(http.ErrAbortHandler) })
	defer func() {
		if p := recover(); p != http.ErrAbortHandler {
			t.Errorf("recovered %v", p)
		}
		if got := testutil.ToFloat64(mustMetrics(t, s).inFlight); got != 0 {
			t.Errorf("%v requests under way", got)
		}
	}()
	s.do(post("/x", ""))
}

// mustMetrics returns the metrics that are registered in s already.
func mustMetrics(t *testing.T, s *stand) *Metrics {
	t.Helper()
	reg := prometheus.NewRegistry()
	m, err := NewMetrics(reg)
	if err != nil {
		t.Fatal(err)
	}
	find := func(c prometheus.Collector) prometheus.Collector {
		var are prometheus.AlreadyRegisteredError
		err := s.reg.Register(c)
		if e, ok := err.(prometheus.AlreadyRegisteredError); ok {
			are = e
		} else {
			t.Fatalf("not registered: %v", err)
		}
		return are.ExistingCollector
	}
	m.requests = find(m.requests).(*prometheus.CounterVec)
	m.seconds = find(m.seconds).(*prometheus.HistogramVec)
	m.inFlight = find(m.inFlight).(prometheus.Gauge)
	return m
}

func TestAccessLog(t *testing.T) {
	secret := "eyJhbGciOiJIUzI1NiJ9.e30.x"
	s := newStand(t, slog.LevelDebug, "/sessions/:sid", func(c *gin.Context) {
		ctx := session.NewContext(c.Request.Context(), session.Caller{Token: session.Token{UserID: "u1"}})
		c.Request = c.Request.WithContext(ctx)
		ok(c)
	})
	r := post("/sessions/0192f0c0?access_token="+secret, "")
	r.Header.Set("Authorization", "Bearer "+secret)
	r.Header.Set("Cookie", "session="+secret)
	r.Header.Set("User-Agent", "x\n"+secret)
	r.RemoteAddr = "192.0.2.7:1234"
	s.do(r)
	r = httptest.NewRequest("EYJTOKEN", "/"+secret, nil)
	s.do(r)

	if text := s.log.String(); strings.Contains(strings.ToLower(text), "eyj") || strings.Contains(text, "0192f0c0") {
		t.Errorf("the log has what it must not have: %s", text)
	}
	lines := s.lines(t)
	if len(lines) != 2 {
		t.Fatalf("%d lines, want 2", len(lines))
	}
	want := map[string]any{
		"level": "INFO", "method": "POST", "route": "/sessions/:sid", "status": 200.0, "bytes": 2.0,
		"ip": "192.0.2.7", "user_id": "u1",
	}
	for name, v := range want {
		if lines[0][name] != v {
			t.Errorf("%s: %v, want %v", name, lines[0][name], v)
		}
	}
	if lines[1]["route"] != "unmatched" || lines[1]["method"] != "other" {
		t.Errorf("a request without a route: %v", lines[1])
	}
}

func TestAccessLogLevels(t *testing.T) {
	tests := []struct {
		path string
		err  error
		want string
	}{
		{"/x", nil, "INFO"},
		{"/quiet", nil, "DEBUG"},
		{"/quiet", session.ErrEnded, "INFO"},
		{"/quiet", session.ErrUnavailable, "WARN"},
		{"/x", io.ErrUnexpectedEOF, "ERROR"},
	}
	for _, tt := range tests {
		s := newStand(t, slog.LevelDebug, tt.path, func(c *gin.Context) {
			if tt.err != nil {
				problem.Write(c, tt.err)
				return
			}
			ok(c)
		})
		s.do(post(tt.path, ""))
		if lines := s.lines(t); len(lines) != 1 || lines[0]["level"] != tt.want {
			t.Errorf("%s with error %v: %v, want level %s", tt.path, tt.err, lines, tt.want)
		}
	}
}

func TestMetrics(t *testing.T) {
	s := newStand(t, slog.LevelInfo, "/x", ok)
	s.do(post("/x", ""))
	for _, method := range []string{"A", "B", "GET"} {
		s.do(httptest.NewRequest(method, "/"+method, nil))
	}
	want := `
# HELP sessiongate_http_requests_total Requests by route, method and status; 499 is a client that hung up.
# TYPE sessiongate_http_requests_total counter
sessiongate_http_requests_total{code="200",method="POST",route="/x"} 1
sessiongate_http_requests_total{code="404",method="GET",route="unmatched"} 1
sessiongate_http_requests_total{code="404",method="other",route="unmatched"} 2
`
	if err := testutil.GatherAndCompare(s.reg, strings.NewReader(want), "sessiongate_http_requests_total"); err != nil {
		t.Error(err)
	}
	if n, err := testutil.GatherAndCount(s.reg, "sessiongate_http_request_duration_seconds"); n != 2 || err != nil {
		t.Errorf("%d histograms, want one a route (%v)", n, err)
	}
	if _, err := NewMetrics(s.reg); err == nil {
		t.Error("the metrics can be registered twice")
	}
}
