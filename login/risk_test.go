package login

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/sessiongate/sessiongate/risk"
	"github.com/sessiongate/sessiongate/session"
)

// memory is a history that answers when it is told to.
type memory struct {
	mu      sync.Mutex
	asked   []string
	history risk.History
	err     error
	hangs   bool
}

func (m *memory) SignInHistory(ctx context.Context, userID, ip string, _ time.Time) (risk.History, error) {
	m.mu.Lock()
	m.asked = append(m.asked, userID+" "+ip)
	m.mu.Unlock()
	if m.hangs {
		<-ctx.Done()
		return risk.History{}, ctx.Err()
	}
	return m.history, m.err
}

// settled is the history of somebody who has always been in Vietnam.
func settled() risk.History {
	return risk.History{
		FirstLogin: now.AddDate(0, -3, 0), Logins: 40, LastSeen: now.Add(-time.Hour), Devices: []string{"i:another"},
		Places: []risk.Place{{Network: "1.53.0.0/24", Country: "VN", ASN: 45899, LastSeen: now.Add(-time.Hour)}},
	}
}

// abroad is a request from Germany.
func abroad(identifier, password string) Request {
	r := request(identifier, password)
	r.Origin.Country, r.Origin.ASN = "DE", 3320
	return r
}

// withRisk gives the service an assessor by these rules.
func (s *setup) withRisk(t *testing.T, m *memory, change func(*risk.Rules)) *prometheus.Registry {
	t.Helper()
	reg := prometheus.NewRegistry()
	metrics, err := NewAssessorMetrics(reg)
	if err != nil {
		t.Fatal(err)
	}
	rules := risk.Default()
	change(&rules)
	berlin, hanoi := risk.Point{Lat: 52.5, Lon: 13.4, Known: true}, risk.Point{Lat: 21, Lon: 105.8, Known: true}
	s.Assessor = &Assessor{
		History: m, Rules: rules, Timeout: 50 * time.Millisecond, Metrics: metrics, Log: slog.New(slog.NewTextHandler(&s.log, nil)),
		Locate: func(a netip.Addr) risk.Point {
			if a == netip.MustParseAddr("1.53.0.0") {
				return hanoi
			}
			return berlin
		},
	}
	return reg
}

func TestLoginIsAssessed(t *testing.T) {
	t.Parallel()
	all := []string{risk.ImpossibleTravel, risk.NewDevice, risk.NewCountry}
	for _, c := range []struct {
		name    string
		change  func(*risk.Rules)
		refused string
		signals []string
	}{
		{"off", func(r *risk.Rules) { r.Mode = risk.Off }, "", nil},
		{"observe", func(r *risk.Rules) { r.Mode = risk.Observe }, "", all},
		{"notify", func(*risk.Rules) {}, "", all},
		{"block", func(r *risk.Rules) { r.Mode, r.BlockAt = risk.Block, 95 }, "suspicious", all},
		{"block, below it", func(r *risk.Rules) { r.Mode, r.BlockAt = risk.Block, 96 }, "", all},
		{"a country that is denied", func(r *risk.Rules) { r.Deny = []string{"DE"} }, "country refused", all},
		{"though risk is off", func(r *risk.Rules) { r.Mode, r.Allow = risk.Off, []string{"VN"} }, "country refused", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSetup(t)
			reg := s.withRisk(t, &memory{history: settled()}, c.change)
			_, err := s.Login(t.Context(), abroad("bob", password))
			if refused := errors.Is(err, session.ErrInvalidCredentials); refused != (c.refused != "") || !refused && err != nil {
				t.Fatalf("error is %v", err)
			}
			e := s.events[0]
			if e.Success != (c.refused == "") || e.Error != c.refused || e.UserID != "u-bob" || !slices.Equal(e.Risk.Signals, c.signals) {
				t.Errorf("event is %+v", e)
			}
			if want := 95; len(c.signals) > 0 && e.Risk.Score != want {
				t.Errorf("score is %d, want %d", e.Risk.Score, want)
			}
			if e.Origin.Country != "DE" || e.Origin.ASN != 3320 {
				t.Errorf("origin is %+v", e.Origin)
			}
			if c.refused == "" && (s.created[0].Country != "DE" || s.created[0].ASN != 3320) {
				t.Errorf("session is %+v", s.created[0])
			}
			if c.refused != "" && len(s.created) > 0 {
				t.Error("a session was created")
			}
			if n, err := testutil.GatherAndCount(reg, "sessiongate_risk_signals_total"); err != nil || n != len(risk.Names()) {
				t.Errorf("there are %d signals in the metrics, %v", n, err)
			}
			if text := s.log.String(); len(c.signals) > 0 && !strings.Contains(text, "from DE; on record: VN") {
				t.Errorf("the log does not say why:\n%s", text)
			}
		})
	}
}

// TestOnlyTheRightPasswordIsAssessed: a wrong one fails as ever, and the score of
// an attempt is nobody's business then.
func TestOnlyTheRightPasswordIsAssessed(t *testing.T) {
	t.Parallel()
	s := newSetup(t)
	m := &memory{history: settled()}
	s.withRisk(t, m, func(r *risk.Rules) { r.Mode, r.BlockAt = risk.Block, 50 })
	for _, name := range []string{"bob", "gone", "nobody", "stub"} {
		if _, err := s.Login(t.Context(), abroad(name, "wrong")); !errors.Is(err, session.ErrInvalidCredentials) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, e := range s.events {
		if e.Error == Suspicious || len(e.Risk.Signals) > 0 {
			t.Errorf("event is %+v", e)
		}
	}
	// The same work whoever it is: the time of an answer tells nothing.
	if want := []string{"u-bob 203.0.113.7", "u-gone 203.0.113.7", " 203.0.113.7", "u-stub 203.0.113.7"}; !slices.Equal(m.asked, want) {
		t.Errorf("asked about %q, want %q", m.asked, want)
	}
}

func TestLoginGoesOnWithoutHistory(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]*memory{
		"it can't be read":     {err: session.ErrUnavailable},
		"it is not there soon": {hangs: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSetup(t)
			reg := s.withRisk(t, m, func(r *risk.Rules) { r.Mode, r.BlockAt = risk.Block, 1 })
			if _, err := s.Login(t.Context(), abroad("bob", password)); err != nil {
				t.Fatal(err)
			}
			if e := s.events[0]; !e.Success || e.Risk.Score != 0 || e.Risk.Signals != nil {
				t.Errorf("event is %+v", e)
			}
			const want = "# HELP sessiongate_risk_unread_total Sign-ins that were not assessed, since what is on record could not be read in time.\n" +
				"# TYPE sessiongate_risk_unread_total counter\nsessiongate_risk_unread_total 1\n"
			if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "sessiongate_risk_unread_total"); err != nil {
				t.Error(err)
			}

			// But not from a country that is denied.
			s = newSetup(t)
			s.withRisk(t, m, func(r *risk.Rules) { r.Deny = []string{"DE"} })
			if _, err := s.Login(t.Context(), abroad("bob", password)); !errors.Is(err, session.ErrInvalidCredentials) {
				t.Errorf("from a country that is denied: %v", err)
			}
		})
	}
}
