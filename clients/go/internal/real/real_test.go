package real

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	sessiongate "github.com/sessiongate/sessiongate/clients/go"
)

// TestRealGateway shares one gateway, which signs with managed keys so that there
// is a JWKS, and one that changes.
func TestRealGateway(t *testing.T) {
	t.Parallel()
	g := startGateway(
		t, "SESSIONGATE_TOKENS_ALGORITHM=EdDSA", "SESSIONGATE_TOKENS_KEYS=managed", "SESSIONGATE_TOKENS_RELOAD=1s",
		"SESSIONGATE_TOKENS_SEALING_KEY=Kd9Vb8Nm2Lp6Hd4Gs0Fa0Jk3u7Qw9Zx5Ct1Rf4Yh",
		"SESSIONGATE_SESSIONS_MAX_PER_USER=50",
	)
	t.Run("the whole life of a session", g.life)
	t.Run("a session in a file survives a restart", g.restart)
	t.Run("a device that is remembered", g.remembered)
	t.Run("fifty callers after a lost answer", g.lostAnswer)
	t.Run("requests through the transport and the middleware", g.transport)
	t.Run("an introspector hears of a logout by the feed", g.feed)
	t.Run("local verification goes on across a new key", g.keys)
	t.Run("signed out everywhere", g.everywhere) // the last: it ends all of them
}

func (g *gateway) life(t *testing.T) {
	ctx := t.Context()
	c := g.client(t, sessiongate.ClientOptions{Device: sessiongate.Device{Name: "a test"}})
	wrong := g.credentials
	wrong.Password = "wrong"
	var refusal *sessiongate.Error
	if err := c.Login(ctx, wrong); !errors.As(err, &refusal) || refusal.Code != "invalid_credentials" || refusal.RequestID == "" {
		t.Fatalf("a wrong password: %v", err)
	}
	if err := c.Login(ctx, g.credentials); err != nil {
		t.Fatal(err)
	}
	first, _ := c.Token(ctx)
	second, err := c.Refresh(ctx)
	if err != nil || second == "" || second == first {
		t.Fatalf("refresh: the same token %t, %v", second == first, err)
	}
	s, err := c.Status(ctx)
	if err != nil || s.ID != c.Snapshot().Session.ID || s.DeviceInfo != "a test" || s.ExpiresAt.IsZero() {
		t.Fatalf("status: %+v, %v", s, err)
	}
	other := g.signedIn(t, sessiongate.ClientOptions{NotLive: true})
	page, err := c.Sessions(ctx, sessiongate.SessionQuery{State: "active", Limit: 10})
	if err != nil || len(page.Sessions) < 2 {
		t.Fatalf("sessions: %+v, %v", page, err)
	}
	if _, err := c.Logs(ctx, sessiongate.LogQuery{Limit: 5, From: time.Now().Add(-time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if err := c.EndSession(ctx, other.Snapshot().Session.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Status(ctx); !errors.As(err, &refusal) || refusal.Reason != "logged_out_or_revoked" {
		t.Errorf("status of a session that was ended: %v", err)
	}
	if s := other.Snapshot(); s.State != sessiongate.StateSignedOut || s.Reason != "logged_out_or_revoked" {
		t.Errorf("a session that was ended: %+v", s)
	}
	if err := c.Logout(ctx); err != nil {
		t.Fatal(err)
	}
	if got := g.status(t, "/sessions/status", second); got != http.StatusUnauthorized {
		t.Errorf("after the logout: %d", got)
	}
	if _, err := c.Status(ctx); !errors.Is(err, sessiongate.ErrSignedOut) {
		t.Errorf("status without a session: %v", err)
	}
}

func (g *gateway) restart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "app", "session.json")
	c := g.signedIn(t, sessiongate.ClientOptions{Store: sessiongate.NewFileStore(file)})
	c.Stop()
	again := g.client(t, sessiongate.ClientOptions{Store: sessiongate.NewFileStore(file)})
	s, err := again.Start(t.Context())
	if err != nil || s.State != sessiongate.StateActive || s.Session.ID != c.Snapshot().Session.ID {
		t.Fatalf("after a restart: %+v, %v", s, err)
	}
	if err := again.Logout(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s, _ := g.client(t, sessiongate.ClientOptions{Store: sessiongate.NewFileStore(file)}).Start(t.Context()); s.State != sessiongate.StateSignedOut {
		t.Errorf("after the logout: %+v", s)
	}
}

func (g *gateway) remembered(t *testing.T) {
	ctx := t.Context()
	store := sessiongate.NewMemoryStore()
	c := g.client(t, sessiongate.ClientOptions{Store: store, Device: sessiongate.Device{Name: "a laptop"}})
	who := g.credentials
	who.Remember = true
	if err := c.Login(ctx, who); err != nil {
		t.Fatal(err)
	}
	devices, err := c.Devices(ctx)
	if err != nil || len(devices) != 1 || !devices[0].Current || devices[0].Device != "a laptop" {
		t.Fatalf("devices: %+v, %v", devices, err)
	}
	first := c.Snapshot().Session.ID
	c.Stop()
	// Days later: the token is long over, and what is left is the refresh token.
	forgetAccess(t, store)
	later := g.client(t, sessiongate.ClientOptions{Store: store})
	s, err := later.Start(ctx)
	if err != nil || s.State != sessiongate.StateActive || s.Session.ID == first {
		t.Fatalf("days later: %+v, %v", s, err)
	}
	if err := later.ForgetDevice(ctx, devices[0].ID); err != nil {
		t.Fatal(err)
	}
	if s, _ := g.client(t, sessiongate.ClientOptions{Store: store}).Start(ctx); s.State != sessiongate.StateSignedOut {
		t.Errorf("a device that was forgotten: %+v", s)
	}
}

func (g *gateway) lostAnswer(t *testing.T) {
	ctx := t.Context()
	var lost atomic.Bool
	c := g.signedIn(t, sessiongate.ClientOptions{HTTPClient: &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		res, err := http.DefaultTransport.RoundTrip(r)
		if err == nil && r.URL.Path == "/sessions/refresh" && lost.CompareAndSwap(false, true) {
			_ = res.Body.Close()
			return nil, errors.New("the answer was lost")
		}
		return res, err
	})}})
	first, _ := c.Token(ctx)
	if same, _ := c.Refresh(ctx); same != first || c.Snapshot().State != sessiongate.StateStale {
		t.Fatalf("after a lost answer: %+v", c.Snapshot())
	}
	until(t, "the retry", func() bool { return c.Snapshot().State == sessiongate.StateActive })
	var wg sync.WaitGroup
	tokens := make([]string, 50)
	for n := range tokens {
		wg.Add(1)
		go func() {
			defer wg.Done()
			tokens[n], _ = c.Token(ctx)
		}()
	}
	wg.Wait()
	for _, token := range tokens {
		if token == "" || token == first || token != tokens[0] {
			t.Fatal("not all have the one new token")
		}
	}
	if _, err := c.Status(ctx); err != nil {
		t.Error(err)
	}
}

func (g *gateway) transport(t *testing.T) {
	in := g.introspector(t)
	api := httptest.NewServer(sessiongate.Require(in)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-User", sessiongate.FromContext(r.Context()).Subject)
	})))
	defer api.Close()
	c := g.client(t, sessiongate.ClientOptions{APIOrigins: []string{api.URL}})
	web := &http.Client{Transport: c.Transport(nil)}
	get := func() (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, api.URL+"/things", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := web.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.StatusCode, res.Header.Get("X-User")
	}
	if status, _ := get(); status != http.StatusUnauthorized {
		t.Errorf("signed out: %d", status)
	}
	if err := c.Login(t.Context(), g.credentials); err != nil {
		t.Fatal(err)
	}
	if status, user := get(); status != http.StatusOK || user != c.Snapshot().Session.UserID {
		t.Errorf("signed in: %d, %q", status, user)
	}
}

func (g *gateway) feed(t *testing.T) {
	ctx := t.Context()
	in := g.introspector(t)
	go in.Follow(ctx)
	until(t, "the feed", in.Following)
	c := g.signedIn(t, sessiongate.ClientOptions{NotLive: true})
	token, _ := c.Token(ctx)
	for range 2 { // the second is from memory
		if s, err := in.Verify(ctx, token); err != nil || s.ID != c.Snapshot().Session.ID {
			t.Fatalf("verify: %+v, %v", s, err)
		}
	}
	began := time.Now()
	if err := c.Logout(ctx); err != nil {
		t.Fatal(err)
	}
	answered := time.Since(began)
	until(t, "the logout", func() bool {
		_, err := in.Verify(ctx, token)
		return errors.Is(err, sessiongate.ErrInactive)
	})
	// Less than the cache's minute: the feed did it.
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("the introspector saw the logout after %v", took)
	} else {
		t.Logf("the logout was answered after %v, and seen through the feed %v after that", answered, took-answered)
	}
}

func (g *gateway) keys(t *testing.T) {
	ctx := t.Context()
	local, err := sessiongate.NewLocal(sessiongate.LocalOptions{BaseURL: g.url, Issuer: "sessiongate", Audience: "sessiongate"})
	if err != nil {
		t.Fatal(err)
	}
	c := g.signedIn(t, sessiongate.ClientOptions{NotLive: true})
	token, _ := c.Token(ctx)
	if s, err := local.Verify(ctx, token); err != nil || s.ID != c.Snapshot().Session.ID {
		t.Fatalf("verify: %+v, %v", s, err)
	}
	before := kid(t, token)
	g.run(t, "keys", "rotate", "--now")
	var next string
	until(t, "a token of the new key", func() bool {
		next, err = g.signedIn(t, sessiongate.ClientOptions{NotLive: true}).Token(ctx)
		return err == nil && kid(t, next) != before
	})
	until(t, "the new key", func() bool { // unknown ones are asked for now and then only
		_, err := local.Verify(ctx, next)
		return err == nil
	})
	if _, err := local.Verify(ctx, token); err != nil {
		t.Errorf("a token of the old key: %v", err)
	}
}

func (g *gateway) everywhere(t *testing.T) {
	ctx := t.Context()
	phone := g.signedIn(t, sessiongate.ClientOptions{})
	here := g.signedIn(t, sessiongate.ClientOptions{})
	if _, err := phone.Status(ctx); err != nil {
		t.Fatal(err)
	}
	heard := make(chan time.Time, 1)
	defer phone.Subscribe(func(s sessiongate.Snapshot) {
		if s.State == sessiongate.StateSignedOut {
			heard <- time.Now()
		}
	})()
	g.streaming(t, 2)
	began := time.Now()
	if n, err := here.LogoutAll(ctx); err != nil || n < 2 {
		t.Fatalf("logout-all: %d, %v", n, err)
	}
	select {
	case at := <-heard:
		t.Logf("from logout-all to sign-out, from the call on: %v", at.Sub(began))
	case <-time.After(patience):
		t.Fatal("the phone is signed in")
	}
	if s := phone.Snapshot(); s.Reason != "logout_all" {
		t.Errorf("the phone: %+v", s)
	}
	if s := here.Snapshot(); s.State != sessiongate.StateSignedOut || s.Reason != "signed_out" {
		t.Errorf("here: %+v", s)
	}
}
