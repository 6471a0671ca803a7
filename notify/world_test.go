package notify

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/internal/sink"
	"github.com/sessiongate/sessiongate/session"
)

var noon = time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)

const secret = "0Jk3u7Qw9Zr5Tx1Vb8Nm2Lp6Hd4Gs0Fa"

// loopback lets tests reach what listens here.
var loopback = &Guard{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}

func authority(t *testing.T) *sink.Authority {
	t.Helper()
	a, err := sink.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// options are those of a notifier with no channels that trusts the sinks.
func options(t *testing.T, a *sink.Authority) Options {
	t.Helper()
	links, err := NewLinks("https://login.example.com", []byte(secret), 72*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return Options{
		App: "Example", Links: links, Guard: loopback, TLS: &tls.Config{RootCAs: a.Roots}, Timeout: 5 * time.Second,
		Now: time.Now, Issuer: "https://login.example.com",
	}
}

func newNotifier(t *testing.T, o Options) *Notifier {
	t.Helper()
	n, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// evil is what a stranger would like people to click.
const evil = `<img src=x onerror=alert(1)> https://evil.example/?a=b www.evil.example me@evil.example`

// risky is a sign-in that looks like somebody else's.
func risky() session.Event {
	return session.Event{
		ID: session.NewEventID(noon), CreatedAt: noon, Action: session.ActionLogin, Success: true, UserID: "42",
		SessionID: session.NewID(noon), ClientID: "mobile", ExpiresAt: noon.Add(30 * time.Minute),
		Origin: session.Origin{IP: "8.8.4.77", Country: "VN", UserAgent: "Mozilla/5.0 " + evil},
		Device: session.Device{Name: "Ana's phone " + evil, Platform: "ios", ID: "i-1"},
		Risk:   session.Risk{Score: 80, Signals: []string{"new_device", "new_country"}},
	}
}

func reused() session.Event {
	e := risky()
	e.ID, e.Action, e.Ends, e.Risk = session.EndingID(e.SessionID), session.ActionLogout, session.EndReused, session.Risk{}
	return e
}

func notice(c session.Channel, target string, e session.Event) *session.Notice {
	kind := session.NoticeSuspicious
	if e.Ends != "" {
		kind = session.NoticeKind(e.Ends)
	}
	return &session.Notice{
		ID: "ntc_0123456789abcdef0123456789abcdef01234567", Kind: kind, Channel: c, Target: target, Attempt: 1, Event: e,
	}
}

// shelf keeps subscriptions in memory.
type shelf struct {
	mu   sync.Mutex
	rows map[string]session.PushSubscription
}

func (s *shelf) AddPush(_ context.Context, p session.PushSubscription) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rows == nil {
		s.rows = make(map[string]session.PushSubscription)
	}
	s.rows[p.ID] = p
	return p.ID, nil
}

func (s *shelf) Push(_ context.Context, id string) (session.PushSubscription, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p, ok := s.rows[id]; ok {
		return p, nil
	}
	return session.PushSubscription{}, session.ErrNotFound
}

func (s *shelf) ForgetPush(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.rows, id)
	return nil
}

func whsec(s string) string { return "whsec_" + base64.StdEncoding.EncodeToString([]byte(s)) }
