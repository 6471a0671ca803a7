package handlers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/sessiongate/sessiongate/internal/browser"
	"github.com/sessiongate/sessiongate/login"
	"github.com/sessiongate/sessiongate/session"
	"github.com/sessiongate/sessiongate/tokens"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// failing is everything that an endpoint asks, and fails whatever it is asked.
type failing struct{ err error }

func (f failing) Login(context.Context, login.Request) (session.Session, error) {
	return session.Session{}, f.err
}

func (f failing) Create(context.Context, session.Session, session.Event) (session.Session, int, error) {
	return session.Session{}, 0, f.err
}

func (f failing) Check(context.Context, session.Token) (session.Session, error) {
	return session.Session{}, f.err
}

func (f failing) Get(context.Context, string, session.ID) (session.Session, error) {
	return session.Session{}, f.err
}

func (f failing) Validate(context.Context, session.Token) (session.Session, error) {
	return session.Session{}, f.err
}

func (f failing) ValidateMany(_ context.Context, t []session.Token) ([]session.Session, []error) {
	errs := make([]error, len(t))
	for i := range errs {
		errs[i] = f.err
	}
	return make([]session.Session, len(t)), errs
}

func (f failing) Refresh(context.Context, session.Token, session.Event) (session.Session, bool, error) {
	return session.Session{}, false, f.err
}

func (f failing) Revoke(context.Context, string, session.ID, session.EndReason, session.Event) (bool, error) {
	return false, f.err
}

func (f failing) RevokeUser(context.Context, string, session.ID, session.EndReason, session.Event) (int, time.Time, error) {
	return 0, time.Time{}, f.err
}

func (f failing) List(context.Context, string) ([]session.Session, error) { return nil, f.err }

func (f failing) EndedSessions(context.Context, string, time.Time, session.ID, int) ([]session.Session, error) {
	return nil, f.err
}

func (f failing) Logs(context.Context, string, LogQuery, int) ([]session.Log, error) {
	return nil, f.err
}

func (f failing) Append(context.Context, session.Event) error { return f.err }

func (f failing) Ping(context.Context) error { return f.err }

func (f failing) Sign(session.Token) (string, error) { return "", f.err }

func anybody(context.Context) Asker { return Asker{} }

// good accepts a token with an hour left, and remembers nothing.
type good struct{}

func (good) Verify(string) (session.Token, error) { return testToken, nil }

func (good) Seen(session.Token, time.Time)                               {}
func (good) Asked(session.Token, time.Time)                              {}
func (good) Assess(context.Context, login.SignIn) (session.Risk, string) { return session.Risk{}, "" }

func placeOfVN(ip string) session.Place { return session.Place{IP: ip, Country: "VN", ASN: 45899} }

func (good) Login(context.Context, login.Request) (session.Session, error) {
	return session.Session{ID: testToken.SessionID, UserID: "u1"}, nil
}

var testToken = session.Token{
	SessionID: "0192f0c0-0000-7000-8000-000000000001", UserID: "u1",
	IssuedAt: noon.Add(-time.Hour), ExpiresAt: noon.Add(time.Hour),
}

// engineOn returns the routes on stores that fail with err, for a caller and a
// client whom every guard lets through.
func engineOn(t *testing.T, err error, change func(*API)) *gin.Engine {
	t.Helper()
	f, now := failing{err}, func() time.Time { return noon }
	origin := func(*http.Request) session.Origin { return session.Origin{IP: "203.0.113.7"} }
	grant := &Grant{Tokens: f, Policy: session.Policy{TTL: time.Hour}, Now: now}
	origins, errOrigins := browser.NewOrigins(nil, "")
	if errOrigins != nil {
		t.Fatal(errOrigins)
	}
	signIns := &Browser{Origins: origins, Tokens: good{}, Sessions: f, Origin: origin, Now: now}
	api := &API{
		Login: Login{Service: f, Origin: origin, Grant: grant, Browser: signIns},
		Backend: Backend{
			Sessions: f, Assessor: good{}, Place: placeOfVN, Client: func(context.Context) string { return "shop" }, Grant: grant,
		},
		Status:     Status{Sessions: f, Activity: good{}, Grant: grant},
		Refresh:    Refresh{Sessions: f, Origin: origin, Grant: grant},
		Logout:     Logout{Sessions: f, Origin: origin, Now: now},
		MySessions: MySessions{Live: f, History: f, Revoker: f, Origin: origin, Now: now},
		MyLogs:     MyLogs{Logs: f},
		Introspect: Introspect{Tokens: good{}, Sessions: f, Many: f, Activity: good{}, Asker: anybody, Now: now},
		Revoke:     Revoke{Tokens: good{}, Sessions: f, Client: func(context.Context) string { return "" }, Origin: origin, Now: now},
		ForwardAuth: ForwardAuth{
			Tokens: good{}, Sessions: f, Activity: good{}, Now: now, Identity: identities["own"], Cookie: "c",
		},
		WellKnown: WellKnown{Keys: new(tokens.Keyring), Now: now},
		Health:    Health{Redis: f, Postgres: f, Draining: func() bool { return false }},
		Metrics:   http.NotFoundHandler(),
	}
	if change != nil {
		change(api)
	}
	signedIn := func(c *gin.Context) {
		ctx := session.NewContext(c.Request.Context(), session.Caller{Token: testToken})
		c.Request = c.Request.WithContext(ctx)
	}
	form := func(c *gin.Context) { c.Request.PostForm = map[string][]string{"token": {"t"}} }
	e, errEngine := NewEngine(nil, api, Guards{Live: signedIn, Signed: signedIn, Backend: func(*gin.Context) {}, Introspector: form, Batch: func(*gin.Context) {}, Revoker: form})
	if errEngine != nil {
		t.Fatal(errEngine)
	}
	return e
}

func ask(e *gin.Engine, method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("Cookie", "c=t") // for forward-auth
	rec := httptest.NewRecorder()
	e.ServeHTTP(rec, r)
	return rec
}

// TestStoreErrors: what a store can't say is a 503 everywhere, a fault is a 500
// without a word about it, and only a session that is known to be over is a 401.
func TestStoreErrors(t *testing.T) {
	requests := []struct{ method, path, body string }{
		{"POST", "/sessions/login", `{"identifier":"a","password":"b"}`},
		{"POST", "/sessions", `{"user_id":"u1"}`},
		{"GET", "/sessions/status", ""},
		{"GET", "/sessions/my-sessions", ""},
		{"GET", "/sessions/my-sessions?state=ended", ""},
		{"DELETE", "/sessions/my-sessions/" + string(testToken.SessionID), ""},
		{"GET", "/sessions/my-session-logs", ""},
		{"POST", "/sessions/refresh", ""},
		{"POST", "/sessions/logout", ""},
		{"POST", "/sessions/logout-all", ""},
		{"POST", "/oauth2/introspect", ""},
		{"POST", "/oauth2/introspect/batch", `{"tokens":["a","b"]}`},
		{"POST", "/oauth2/revoke", ""},
		{"PROPFIND", "/forward-auth", ""},
		{"GET", "/forward-auth/policy/x", ""},
	}
	inner := errors.New("dial tcp 10.1.2.3:6379: pq: redis eyJhbGciOi")
	tests := []struct {
		err    error
		status int
	}{
		{session.ErrUnavailable, 503},
		{session.ErrOverloaded, 503},
		{context.DeadlineExceeded, 503},
		{errors.New("a bug"), 500},
		{session.ErrMalformedEvent, 500},
	}
	for _, tt := range tests {
		e := engineOn(t, fmt.Errorf("store: %w: %w", tt.err, inner), nil)
		for _, r := range requests {
			rec := ask(e, r.method, r.path, r.body)
			if rec.Code != tt.status || (rec.Header().Get("Retry-After") != "") != (tt.status == 503) {
				t.Errorf("%s %s with %v: %d, Retry-After %q", r.method, r.path, tt.err, rec.Code, rec.Header().Get("Retry-After"))
			}
			for _, part := range []string{"10.1.2.3", "pq:", "redis", "eyJ", "a bug"} {
				if strings.Contains(rec.Body.String(), part) {
					t.Errorf("%s %s with %v: %s shows %q", r.method, r.path, tt.err, rec.Body, part)
				}
			}
		}
	}
}

// TestEndedErrors: between the guard and the handler a session may end.
func TestEndedErrors(t *testing.T) {
	tests := []struct {
		err    error
		reason string
	}{
		{session.ErrEnded, "logged_out_or_revoked"},
		{session.ErrSuperseded, "superseded"},
		{session.ErrReused, "refresh_reused"},
		{session.ErrTokenExpired, "expired"},
	}
	for _, tt := range tests {
		e := engineOn(t, fmt.Errorf("store: %w", tt.err), nil)
		for _, r := range []struct{ method, path string }{{"GET", "/sessions/status"}, {"POST", "/sessions/refresh"}} {
			rec := ask(e, r.method, r.path, "")
			if rec.Code != 401 || !strings.Contains(rec.Body.String(), `"reason":"`+tt.reason+`"`) {
				t.Errorf("%s with %v: %d %s, want reason %s", r.path, tt.err, rec.Code, rec.Body, tt.reason)
			}
		}
		if tt.err == session.ErrReused {
			continue // is refresh's alone
		}
		if rec := ask(e, "POST", "/oauth2/introspect", ""); rec.Code != 200 || rec.Body.String() != `{"active":false}` {
			t.Errorf("introspection with %v: %d %s", tt.err, rec.Code, rec.Body)
		}
	}
	late := engineOn(t, session.ErrEnded, func(a *API) {
		grant := *a.Status.Grant
		grant.Now = func() time.Time { return testToken.ExpiresAt }
		a.Status.Grant, a.Refresh.Grant = &grant, &grant
	})
	for _, r := range []struct{ method, path string }{{"GET", "/sessions/status"}, {"POST", "/sessions/refresh"}} {
		if rec := ask(late, r.method, r.path, ""); !strings.Contains(rec.Body.String(), `"reason":"expired"`) {
			t.Errorf("%s when the token's time is up: %s", r.path, rec.Body)
		}
	}
}

func TestSigningFails(t *testing.T) {
	e := engineOn(t, errors.New("a bug"), func(a *API) { a.Login.Service = good{} })
	rec := ask(e, "POST", "/sessions/login", `{"identifier":"a","password":"b"}`)
	if rec.Code != 500 || strings.Contains(rec.Body.String(), "bug") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

func TestReady(t *testing.T) {
	up, down := failing{}, failing{session.ErrUnavailable}
	tests := []struct {
		name            string
		redis, postgres pinger
		degraded        []string
		draining        bool
		status          int
		body            string
	}{
		{"all well", up, up, nil, false, 200, `{"status":"ready","redis":"ok","postgres":"ok"}`},
		{"no Postgres", up, down, nil, false, 200, `{"status":"degraded","redis":"ok","postgres":"unavailable"}`},
		{
			"something else", up, up,
			[]string{"migrations_pending"},
			false, 200,
			`{"status":"degraded","redis":"ok","postgres":"ok","degraded":["migrations_pending"]}`,
		},
		{"no Redis", down, up, nil, false, 503, `{"status":"unavailable","redis":"unavailable","postgres":"ok"}`},
		{"going down", up, up, nil, true, 503, `{"status":"draining","redis":"ok","postgres":"ok"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := engineOn(t, nil, func(a *API) {
				a.Health = Health{
					Redis: tt.redis, Postgres: tt.postgres,
					Degraded: func() []string { return tt.degraded }, Draining: func() bool { return tt.draining },
				}
			})
			if rec := ask(e, "GET", "/readyz", ""); rec.Code != tt.status || rec.Body.String() != tt.body {
				t.Errorf("%d %s, want %d %s", rec.Code, rec.Body, tt.status, tt.body)
			}
		})
	}
}

// hanging answers no ping until it is told to give up.
type hanging struct{}

func (hanging) Ping(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestReadyDoesNotHang(t *testing.T) {
	e := engineOn(t, nil, func(a *API) { a.Health.Redis, a.Health.Postgres = hanging{}, hanging{} })
	if rec := ask(e, "GET", "/readyz", ""); rec.Code != 503 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

// TestRoutes holds the table to what is said about it.
func TestRoutes(t *testing.T) {
	var paths []string
	for _, r := range (&API{}).routes(Guards{}) {
		paths = append(paths, r.path)
	}
	for _, path := range Quiet {
		if !slices.Contains(paths, path) {
			t.Errorf("%s is to be quiet and is no route", path)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a handler without its guard finds a caller")
		}
	}()
	c, _ := gin.CreateTestContext(httptest.NewRecorder())
	c.Request = httptest.NewRequest("GET", "/", nil)
	caller(c)
}

// TestGrantTimes: what a client is told adds up, near the absolute deadline too.
func TestGrantTimes(t *testing.T) {
	policy := session.Policy{TTL: 30 * time.Minute, RefreshAfter: 25 * time.Minute, Jitter: .05}
	tests := []struct {
		name        string
		issued, exp time.Time
		at          time.Time
		in          int64
		least, most int64 // refresh_after
	}{
		{"fresh", noon, noon.Add(30 * time.Minute), noon, 1800, 1425, 1500},
		{"fresh, within a second", noon, noon.Add(30*time.Minute + time.Second), noon.Add(100 * time.Millisecond), 1800, 1424, 1499},
		{"half way", noon, noon.Add(30 * time.Minute), noon.Add(15 * time.Minute), 900, 525, 600},
		{"late", noon, noon.Add(30 * time.Minute), noon.Add(29 * time.Minute), 60, 0, 0},
		{"over", noon, noon.Add(30 * time.Minute), noon.Add(31 * time.Minute), 0, 0, 0},
		{"short, near the end of the session", noon, noon.Add(time.Minute), noon, 60, 50, 50},
	}
	for _, tt := range tests {
		g := &Grant{Policy: policy, Now: func() time.Time { return tt.at }}
		e := newEncoder()
		e.open('{')
		g.times(e, &session.Session{}, &session.Token{IssuedAt: tt.issued, ExpiresAt: tt.exp}, tt.at)
		var in, after int64
		var now string
		if _, err := fmt.Sscanf(string(e.b), `{"expires_in":%d,"refresh_after":%d,"server_time":%q`, &in, &after, &now); err != nil {
			t.Fatalf("%s: %s: %v", tt.name, e.b, err)
		}
		if in != tt.in || after < tt.least || after > tt.most || in > 0 && after >= in {
			t.Errorf("%s: expires_in %d, refresh_after %d, want %d and %d to %d", tt.name, in, after, tt.in, tt.least, tt.most)
		}
	}
}
