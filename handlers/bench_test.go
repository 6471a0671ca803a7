package handlers_test

import (
	"context"
	"crypto/sha256"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sessiongate/sessiongate/handlers"
	"github.com/sessiongate/sessiongate/middleware"
	"github.com/sessiongate/sessiongate/session"
	"github.com/sessiongate/sessiongate/tokens"
)

// instant is a Redis without a round trip.
type instant struct{ s session.Session }

func (i instant) Validate(context.Context, session.Token) (session.Session, error) { return i.s, nil }

func (i instant) Check(context.Context, session.Token) (session.Session, error) { return i.s, nil }

func (instant) Seen(session.Token, time.Time)  {}
func (instant) Asked(session.Token, time.Time) {}

// BenchmarkAnswer is what the gateway itself costs an introspection and a status,
// with the whole chain and without Redis and the network.
func BenchmarkAnswer(b *testing.B) {
	now := time.Now()
	live := instant{session.Session{
		ID: session.NewID(now), UserID: "u1", ClientID: "shop", Scope: "read write", AMR: []string{"pwd"},
		Device: session.Device{Name: "Ana's iPhone", Platform: "ios"}, IP: "203.0.113.7",
		UserAgent: "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X)", CreatedAt: now, RotatedAt: now,
		AuthTime: now, LastActivity: now, ExpiresAt: now.Add(time.Hour).Truncate(time.Second),
	}}
	engine, raw := benchEngine(b, live)

	form := url.Values{"token": {raw}}.Encode()
	introspect := httptest.NewRequest(http.MethodPost, "/oauth2/introspect", nil)
	introspect.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	introspect.SetBasicAuth("c", "s")
	introspect.ContentLength = int64(len(form))
	status := httptest.NewRequest(http.MethodGet, "/sessions/status", nil)
	status.Header.Set("Authorization", "Bearer "+raw)

	forward := httptest.NewRequest(http.MethodGet, "/forward-auth", nil)
	forward.Header.Set("Authorization", "Bearer "+raw)

	for name, r := range map[string]*http.Request{"introspect": introspect, "status": status, "forward-auth": forward} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if r == introspect {
					r.Body = io.NopCloser(strings.NewReader(form))
				}
				w := &discard{header: make(http.Header, 8)}
				engine.ServeHTTP(w, r)
				if w.status != http.StatusOK {
					b.Fatalf("status %d", w.status)
				}
			}
		})
	}
}

func benchEngine(b *testing.B, live instant) (engine http.Handler, raw string) {
	b.Helper()
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	key, err := tokens.NewHS256Key([]byte(signingSecret))
	must(err)
	keys, err := tokens.NewKeyring(key)
	must(err)
	options := tokens.Options{Issuer: "sessiongate", Audience: "sessiongate", CacheSize: 1024}
	issuer, err := tokens.NewIssuer(keys, options)
	must(err)
	raw, err = issuer.Sign(live.s.Token())
	must(err)
	verifier, err := tokens.NewVerifier(keys, options)
	must(err)
	metrics, err := middleware.NewMetrics(prometheus.NewRegistry())
	must(err)
	clients, err := middleware.NewClients([]middleware.Client{
		{ID: "c", Secrets: [][sha256.Size]byte{sha256.Sum256([]byte("s"))}, Allow: []string{"introspect"}},
	})
	must(err)
	identity, err := handlers.NewIdentity("own")
	must(err)
	auth := &middleware.Authenticator{Tokens: verifier, Sessions: live, Activity: live, Now: time.Now}
	grant := &handlers.Grant{Tokens: issuer, Policy: session.Policy{TTL: time.Hour, RefreshAfter: time.Hour / 2}, Now: time.Now}
	engine, err = handlers.NewEngine(middleware.Chain(middleware.Options{
		Log:     slog.New(slog.NewJSONHandler(io.Discard, nil)),
		Metrics: metrics, Addresses: middleware.NewAddresses(nil), Quiet: handlers.Quiet,
		BodyBytes: 64 << 10, Timeout: 5 * time.Second, Unbounded: handlers.Brief,
	}), &handlers.API{
		Status:      handlers.Status{Sessions: live, Activity: live, Grant: grant},
		Introspect:  handlers.Introspect{Tokens: verifier, Sessions: live, Activity: live, Asker: anybody, Issuer: "i", Audience: "a", Now: time.Now},
		ForwardAuth: handlers.ForwardAuth{Tokens: verifier, Sessions: live, Activity: live, Now: time.Now, Identity: identity},
		Metrics:     http.NotFoundHandler(),
	}, handlers.Guards{Live: auth.Live(), Signed: auth.Signed(), Backend: clients.Basic("sessions"), Introspector: clients.OAuth("introspect")})
	must(err)
	return engine, raw
}

func anybody(context.Context) handlers.Asker { return handlers.Asker{} }

// discard is a ResponseWriter that keeps the status only.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }
