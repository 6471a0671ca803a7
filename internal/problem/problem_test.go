package problem

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/sessiongate/sessiongate/session"
)

func init() { gin.SetMode(gin.TestMode) }

type answer struct {
	status int
	header http.Header
	body   map[string]any
	errs   []*gin.Error
}

func answerTo(t *testing.T, ctx context.Context, err error, write func(*gin.Context, error)) answer {
	t.Helper()
	rec := httptest.NewRecorder()
	c, _ := gin.CreateTestContext(rec)
	c.Request = httptest.NewRequest(http.MethodGet, "/", nil).WithContext(ctx)
	c.Header(RequestIDHeader, "r1")
	write(c, err)
	if !c.IsAborted() {
		t.Error("the handler chain goes on")
	}
	a := answer{status: rec.Code, header: rec.Header(), errs: c.Errors}
	if rec.Body.Len() > 0 {
		if err := json.Unmarshal(rec.Body.Bytes(), &a.body); err != nil {
			t.Fatalf("body %q: %v", rec.Body, err)
		}
	}
	return a
}

func TestWrite(t *testing.T) {
	bearer := `Bearer realm="sessiongate"`
	tests := []struct {
		err       error
		status    int
		code      string
		reason    string
		oauth     string
		challenge string
	}{
		{fmt.Errorf("%w: why", ErrCrossOrigin), 403, "csrf_failed", "", "invalid_request", ""},
		{&session.RateLimitedError{By: session.LimitAccount, RetryAfter: time.Second}, 429, "rate_limited", "", "temporarily_unavailable", ""},
		{&Invalid{"limit", "must be a number"}, 400, "invalid_request", "", "invalid_request", ""},
		{session.ErrInvalidCredentials, 401, "invalid_credentials", "", "invalid_grant", bearer},
		{ErrUnauthenticated, 401, "unauthenticated", "", "invalid_token", bearer},
		{session.ErrTokenExpired, 401, "unauthenticated", "expired", "invalid_token", bearer + `, error="invalid_token"`},
		{session.ErrEnded, 401, "unauthenticated", "logged_out_or_revoked", "invalid_token", bearer + `, error="invalid_token"`},
		{session.ErrSuperseded, 401, "unauthenticated", "superseded", "invalid_token", bearer + `, error="invalid_token"`},
		{session.ErrReused, 401, "unauthenticated", "refresh_reused", "invalid_token", bearer + `, error="invalid_token"`},
		{session.ErrInvalidToken, 401, "unauthenticated", "invalid", "invalid_token", bearer + `, error="invalid_token"`},
		{ErrInvalidClient, 401, "invalid_client", "", "invalid_client", `Basic realm="sessiongate"`},
		{ErrForbidden, 403, "forbidden", "", "unauthorized_client", ""},
		{ErrInsufficientScope, 403, "insufficient_scope", "", "insufficient_scope", bearer + `, error="insufficient_scope"`},
		{ErrNotAcceptable, 406, "not_acceptable", "", "invalid_request", ""},
		{session.ErrNotFound, 404, "not_found", "", "invalid_request", ""},
		{ErrNoRoute, 404, "not_found", "", "invalid_request", ""},
		{ErrMethod, 405, "method_not_allowed", "", "invalid_request", ""},
		{&http.MaxBytesError{Limit: 9}, 413, "body_too_large", "", "invalid_request", ""},
		{&MediaType{"application/json"}, 415, "unsupported_media_type", "", "invalid_request", ""},
		{session.ErrUnavailable, 503, "store_unavailable", "", "temporarily_unavailable", ""},
		{context.DeadlineExceeded, 503, "store_unavailable", "", "temporarily_unavailable", ""},
		{session.ErrOverloaded, 503, "overloaded", "", "temporarily_unavailable", ""},
		{errors.New("pq: boom"), 500, "internal", "", "server_error", ""},
		{session.ErrMalformedEvent, 500, "internal", "", "server_error", ""},
	}
	for _, tt := range tests {
		t.Run(tt.err.Error(), func(t *testing.T) {
			err := fmt.Errorf("store: read session: %w", tt.err)
			a := answerTo(t, t.Context(), err, Write)
			if a.status != tt.status || a.body["status"] != float64(tt.status) {
				t.Errorf("status %d, in the body %v, want %d", a.status, a.body["status"], tt.status)
			}
			want := map[string]any{"code": tt.code, "type": TypeBase + tt.code, "request_id": "r1"}
			if tt.reason != "" {
				want["reason"] = tt.reason
			}
			for name, v := range want {
				if a.body[name] != v {
					t.Errorf("%s is %v, want %v", name, a.body[name], v)
				}
			}
			if _, ok := a.body["reason"]; ok != (tt.reason != "") {
				t.Errorf("reason is %v", a.body["reason"])
			}
			checkHeaders(t, a, "application/problem+json", tt.challenge)

			o := answerTo(t, t.Context(), err, WriteOAuth)
			if o.status != tt.status || o.body["error"] != tt.oauth || o.body["error_description"] == "" || len(o.body) != 2 {
				t.Errorf("OAuth: %d %v, want %d %s", o.status, o.body, tt.status, tt.oauth)
			}
			checkHeaders(t, o, "application/json", tt.challenge)
		})
	}
}

func checkHeaders(t *testing.T, a answer, contentType, challenge string) {
	t.Helper()
	if got := a.header.Get("Content-Type"); got != contentType {
		t.Errorf("Content-Type %q, want %q", got, contentType)
	}
	if got := a.header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control %q", got)
	}
	got := a.header.Get("WWW-Authenticate")
	if !strings.HasPrefix(got, challenge) || (got == "") != (challenge == "") {
		t.Errorf("WWW-Authenticate %q, want %q", got, challenge)
	}
	if !strings.Contains(challenge, "error=") && strings.Contains(got, "error=") {
		t.Errorf("WWW-Authenticate %q has an error code", got)
	}
	later := a.status == http.StatusServiceUnavailable || a.status == http.StatusTooManyRequests
	if (a.header.Get("Retry-After") != "") != later {
		t.Errorf("Retry-After %q with %d", a.header.Get("Retry-After"), a.status)
	}
	if (len(a.errs) > 0) != (a.status >= 500) {
		t.Errorf("%d errors for the log with status %d", len(a.errs), a.status)
	}
}

// What a store, a driver or the system says of itself stays inside (RFC 9457 §5).
func TestWriteHidesTheError(t *testing.T) {
	inner := errors.New(`dial tcp 10.1.2.3:6379: redis: pq: /var/lib/secret.go:12 eyJhbGciOi`)
	errs := []error{inner, fmt.Errorf("%w: %w", session.ErrUnavailable, inner), fmt.Errorf("%w: %w", session.ErrEnded, inner)}
	for _, err := range errs {
		for _, write := range []func(*gin.Context, error){Write, WriteOAuth} {
			b, _ := json.Marshal(answerTo(t, t.Context(), err, write).body)
			for _, part := range []string{"10.1.2.3", "redis", "pq:", "/var", "eyJ"} {
				if strings.Contains(string(b), part) {
					t.Errorf("%s shows %q", b, part)
				}
			}
		}
	}
}

func TestWriteUnderOAuthPaths(t *testing.T) {
	for path, oauth := range map[string]bool{"/oauth2/introspect": true, "/oauth2": false, "/x/oauth2/": false} {
		rec := httptest.NewRecorder()
		c, _ := gin.CreateTestContext(rec)
		c.Request = httptest.NewRequest(http.MethodGet, path, nil)
		Write(c, ErrMethod)
		if got := strings.HasPrefix(rec.Body.String(), `{"error":"invalid_request",`); got != oauth || rec.Code != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
		}
	}
}

func TestWriteToNobody(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a := answerTo(t, ctx, fmt.Errorf("%w: %w", session.ErrUnavailable, context.Canceled), Write)
	if a.status != StatusClientGone || a.body != nil || len(a.errs) > 0 {
		t.Errorf("a client that is gone gets %d %v, want %d and no body; for the log: %v", a.status, a.body, StatusClientGone, a.errs)
	}
	if a = answerTo(t, ctx, errors.New("a fault of ours"), Write); len(a.errs) != 1 {
		t.Errorf("a fault of ours is lost with the client: %v", a.errs)
	}
}

func TestWriteAfterTheAnswerHasBegun(t *testing.T) {
	rec := httptest.NewRecorder()
	c, _ := gin.CreateTestContext(rec)
	c.Request = httptest.NewRequest(http.MethodGet, "/", nil)
	c.String(http.StatusOK, "half")
	Write(c, errors.New("late"))
	if rec.Code != http.StatusOK || rec.Body.String() != "half" || !c.IsAborted() {
		t.Errorf("%d %q", rec.Code, rec.Body)
	}
}

// Who comes back a moment too early is refused again, so parts of a second count as
// a whole one.
func TestRetryAfter(t *testing.T) {
	for wait, want := range map[time.Duration]string{
		0: "1", time.Millisecond: "1", time.Second: "1", 1001 * time.Millisecond: "2", time.Hour: "3600",
	} {
		err := fmt.Errorf("login: %w", &session.RateLimitedError{By: session.LimitGlobal, RetryAfter: wait})
		a := answerTo(t, t.Context(), err, Write)
		if got := a.header.Get("Retry-After"); got != want || strings.Contains(fmt.Sprint(a.body), "global") {
			t.Errorf("%v: Retry-After %q, want %q; %v", wait, got, want, a.body)
		}
	}
}

func TestForToken(t *testing.T) {
	now := time.Unix(1000, 0)
	other := fmt.Errorf("other: %w", session.ErrUnavailable)
	tests := []struct {
		name string
		err  error
		exp  time.Time
		want error
	}{
		{"ended before its time", session.ErrEnded, now.Add(time.Second), session.ErrEnded},
		{"its time is up", session.ErrEnded, now, session.ErrTokenExpired},
		{"long over", session.ErrEnded, now.Add(-time.Hour), session.ErrTokenExpired},
		{"not known, and long over", other, now.Add(-time.Hour), other},
		{"no error", nil, now, nil},
	}
	for _, tt := range tests {
		if got := ForToken(tt.err, session.Token{ExpiresAt: tt.exp}, now); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// docs/problems.md and the table say the same.
func TestDocs(t *testing.T) {
	b, err := os.ReadFile("../../docs/problems.md")
	if err != nil {
		t.Fatal(err)
	}
	codes, reasons, _ := strings.Cut(string(b), "\n## Reasons")
	row := regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (\\d+) \\| .* \\| `([a-z_]+)` \\|$")
	var documented []kind
	for _, m := range row.FindAllStringSubmatch(codes, -1) {
		status, _ := strconv.Atoi(m[2])
		documented = append(documented, kind{code: m[1], status: status, oauth: m[3]})
	}
	if len(documented) != len(kinds) {
		t.Fatalf("docs/problems.md has %d codes, the table %d", len(documented), len(kinds))
	}
	for i, k := range kinds {
		want := kind{code: k.code, status: k.status, oauth: k.oauth}
		if documented[i] != want {
			t.Errorf("row %d of docs/problems.md is %+v, want %+v", i+1, documented[i], want)
		}
	}
	for _, row := range table {
		if row.reason != "" && !strings.Contains(reasons, "| `"+row.reason+"` |") {
			t.Errorf("docs/problems.md does not explain the reason %s", row.reason)
		}
	}
}

// What goes into an error_description is limited by RFC 6749 §5.2.
func TestDescriptionsAreQuotable(t *testing.T) {
	for _, row := range table {
		if strings.ContainsAny(row.detail+row.kind.title, "\"\\\n") {
			t.Errorf("%s: %q can't stand in an error_description", row.kind.code, row.detail)
		}
	}
}
