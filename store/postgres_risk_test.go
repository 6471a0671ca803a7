package store

import (
	"strings"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/internal/testenv"
	"github.com/sessiongate/sessiongate/risk"
	"github.com/sessiongate/sessiongate/session"
)

// newHistory is a ledger that assesses and learns.
func newHistory(t *testing.T) *ledger {
	t.Helper()
	p, err := OpenPostgres(PostgresOptions{
		URL: testenv.Postgres(t), MaxConns: 8, StatementTimeout: 10 * time.Second,
		FingerprintKey: []byte("a fingerprint key of 32 bytes …"), Rules: risk.Default(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	l := &ledger{TB: t, Postgres: p}
	if err := l.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l
}

const (
	chromeAgent  = "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36"
	firefoxAgent = "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0"
)

var (
	inVietnam = session.Place{IP: "1.53.0.9", Country: "VN", ASN: 45899}
	inGermany = session.Place{IP: "80.128.1.1", Country: "DE", ASN: 3320}
)

func originOf(p session.Place, agent string) session.Origin {
	return session.Origin{IP: p.IP, UserAgent: agent, Country: p.Country, ASN: p.ASN}
}

// signIn is the entry of a login.
func signIn(user string, at time.Time, p session.Place, agent string, r session.Risk) Entry {
	at = at.Truncate(time.Millisecond)
	sid := session.NewID(at)
	return entryOf(session.Event{
		ID: session.NewEventID(at), CreatedAt: at, Action: session.ActionLogin, Success: true, UserID: user, SessionID: sid,
		Origin: originOf(p, agent), SessionPlace: p, Device: session.Device{Name: "x", ID: "id of " + user},
		ExpiresAt: at.Add(time.Hour).Truncate(time.Second), Risk: r,
	})
}

// refreshOf is the entry of a refresh of the session that another entry began.
func refreshOf(begun Entry, at time.Time, p session.Place, agent string) Entry {
	e := begun.Event
	e.ID, e.Action, e.Risk, e.Origin = session.NewEventID(at), session.ActionRefresh, session.Risk{}, originOf(p, agent)
	e.CreatedAt = e.ID.Time()
	return entryOf(e)
}

func TestHistory(t *testing.T) {
	t.Parallel()
	l := newHistory(t)
	at := noon
	l.write(signIn("42", at, inVietnam, chromeAgent, session.Risk{}),
		signIn("42", at.Add(time.Hour), inVietnam, chromeAgent, session.Risk{}),
		signIn("42", at.Add(2*time.Hour), inGermany, firefoxAgent, session.Risk{Score: 55, Signals: []string{"new_device", "new_country"}}),
		signIn("43", at.Add(2*time.Hour), inGermany, firefoxAgent, session.Risk{}))
	for i := range 3 {
		e := failedLogin("42", inGermany.IP, at.Add(2*time.Hour+time.Duration(i)*time.Second))
		l.write(e)
	}
	l.write(failedLogin("", inGermany.IP, at.Add(2*time.Hour+time.Minute)))
	now := at.Add(2*time.Hour + 5*time.Minute)

	h, err := l.SignInHistory(t.Context(), "42", inGermany.IP, now)
	if err != nil {
		t.Fatal(err)
	}
	if h.Logins != 3 || !h.FirstLogin.Equal(at) || !h.LastSeen.Equal(at.Add(2*time.Hour)) || h.Failures != 3 {
		t.Errorf("history is %+v", h)
	}
	if want := (risk.IP{Logins: 2, RecentUsers: 1, Tries: 6, Failures: 4}); h.IP != want {
		t.Errorf("the address is %+v, want %+v", h.IP, want)
	}
	if len(h.Places) != 2 || h.Places[0] != (risk.Place{Network: "80.128.1.0/24", Country: "DE", ASN: 3320, LastSeen: at.Add(2 * time.Hour)}) ||
		h.Places[1] != (risk.Place{Network: "1.53.0.0/24", Country: "VN", ASN: 45899, LastSeen: at.Add(time.Hour)}) {
		t.Errorf("places are %+v", h.Places)
	}
	if got := strings.Join(h.Devices, ", "); strings.Count(got, "c:") != 2 || strings.Count(got, "i:") != 1 || strings.Contains(got, "id of") {
		t.Errorf("devices are %s", got)
	}
	l.wantRows([]string{"DE|3320|55|{new_device,new_country}"},
		`SELECT country, asn, risk_score, signals FROM session_logs WHERE risk_score IS NOT NULL`)
	l.wantRows([]string{"VN|45899", "VN|45899", "DE|3320"}, `SELECT country, asn FROM user_sessions WHERE user_id = '42' ORDER BY created_at`)

	later, err := l.SignInHistory(t.Context(), "42", inGermany.IP, now.Add(time.Hour))
	if err != nil || later.Failures != 0 || later.IP.Tries != 0 || later.IP.Logins != 2 {
		t.Errorf("an hour later: %+v, %v", later, err)
	}
	nobody, err := l.SignInHistory(t.Context(), "", "", now)
	if err != nil || nobody.Logins+nobody.Failures+len(nobody.Devices)+len(nobody.Places) != 0 || nobody.IP != (risk.IP{}) || !nobody.FirstLogin.IsZero() {
		t.Errorf("nobody has %+v, %v", nobody, err)
	}

	t.Run("it goes with the user", func(t *testing.T) {
		l.exec(`DELETE FROM users WHERE id = '43'`)
		l.wantRows([]string{"0|0"}, `SELECT (SELECT count(*) FROM known_devices WHERE user_id = '43'),
			(SELECT count(*) FROM known_networks WHERE user_id = '43')`)
	})
	t.Run("it is forgotten", func(t *testing.T) {
		n, err := l.ForgetHistory(t.Context(), at.Add(90*time.Minute), 10)
		if err != nil || n != 2 { // Vietnam, and Chrome; the installation was seen later
			t.Errorf("forgotten were %d, %v", n, err)
		}
		l.wantRows([]string{"80.128.1.0/24"}, `SELECT network FROM known_networks`)
		if n, err := l.ForgetHistory(t.Context(), at.Add(24*time.Hour), 1); n != 2 || err != nil {
			t.Errorf("with a limit of 1: %d, %v", n, err)
		}
	})
}

// TestHistoryIsTheSameInAnyOrder: batches may be repeated, and come in any order.
func TestHistoryIsTheSameInAnyOrder(t *testing.T) {
	t.Parallel()
	entries := []Entry{
		signIn("1", noon, inVietnam, chromeAgent, session.Risk{}),
		signIn("2", noon.Add(time.Minute), inGermany, chromeAgent, session.Risk{}),
		signIn("1", noon.Add(2*time.Hour), inVietnam, firefoxAgent, session.Risk{}),
		signIn("1", noon.Add(4*time.Hour), inGermany, chromeAgent, session.Risk{}),
	}
	const all = `SELECT user_id, device, first_seen_at, last_seen_at FROM known_devices
		UNION ALL SELECT user_id, network || ' ' || country || ' ' || asn, first_seen_at, last_seen_at FROM known_networks ORDER BY 1, 2`
	var want []string
	for _, order := range [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {2, 0, 3, 1, 2, 0}} {
		l := newHistory(t)
		for _, i := range order {
			l.write(entries[i])
		}
		if want == nil {
			want = l.rows(all)
			l = newHistory(t)
			l.write(entries...)
		}
		l.wantRows(want, all)
	}
	if len(want) != 8 {
		t.Errorf("on record is %q", want)
	}
}

func TestRefreshesAreAssessed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		where session.Place
		agent string
		want  string
		known string
	}{
		{"from the same network", session.Place{IP: "1.53.0.77", Country: "VN", ASN: 45899}, firefoxAgent, "null|null", "1.53.0.0/24"},
		{"from another network", session.Place{IP: "27.64.0.1", Country: "VN", ASN: 7552}, chromeAgent, "null|null", "1.53.0.0/24 27.64.0.0/24"},
		{"abroad", inGermany, chromeAgent, "40|{refresh_country}", "1.53.0.0/24 80.128.1.0/24"},
		{"abroad with another program", inGermany, firefoxAgent, "95|{refresh_country,refresh_network,refresh_agent}", "1.53.0.0/24"},
		{"from nowhere with another program", session.Place{IP: "10.0.0.1"}, firefoxAgent, "15|{refresh_agent}", "1.53.0.0/24"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newHistory(t)
			begun := signIn("42", noon, inVietnam, chromeAgent, session.Risk{})
			refreshed := refreshOf(begun, noon.Add(25*time.Minute), c.where, c.agent)
			l.write(begun, refreshed) // in one batch,
			l.write(refreshed)        // and again
			l.wantRows([]string{c.want}, `SELECT risk_score, signals FROM session_logs WHERE action = 'token_refresh'`)
			l.wantRows([]string{c.known}, `SELECT string_agg(CAST(network AS text), ' ' ORDER BY network) FROM known_networks`)
		})
	}
	t.Run("with an old token", func(t *testing.T) {
		t.Parallel()
		l := newHistory(t)
		begun := signIn("42", noon, inVietnam, chromeAgent, session.Risk{})
		again := refreshOf(begun, noon.Add(25*time.Minute), inVietnam, chromeAgent)
		again.Event.Success, again.Event.Error = false, string(session.EndReused)
		l.write(begun, again)
		l.wantRows([]string{"80|{refresh_reused}"}, `SELECT risk_score, signals FROM session_logs WHERE action = 'token_refresh'`)
	})
	t.Run("not where risk is off", func(t *testing.T) {
		t.Parallel()
		l := newLedger(t)
		begun := signIn("42", noon, inVietnam, chromeAgent, session.Risk{})
		l.write(begun, refreshOf(begun, noon.Add(25*time.Minute), inGermany, firefoxAgent))
		l.wantRows([]string{"DE|null"}, `SELECT country, risk_score FROM session_logs WHERE action = 'token_refresh'`)
		l.wantRows([]string{"0|0"}, `SELECT (SELECT count(*) FROM known_devices), (SELECT count(*) FROM known_networks)`)
	})
}

// TestRefusedSignInsTeachNothing: an attacker who is refused is as new the next time.
func TestRefusedSignInsTeachNothing(t *testing.T) {
	t.Parallel()
	l := newHistory(t)
	l.write(signIn("42", noon, inVietnam, chromeAgent, session.Risk{}))
	refused := failedLogin("42", inGermany.IP, noon.Add(time.Hour))
	refused.Event.Error, refused.Event.Origin = "suspicious", originOf(inGermany, firefoxAgent)
	refused.Event.Risk = session.Risk{Score: 120, Signals: []string{"new_device"}}
	l.write(refused)
	l.wantRows([]string{"f|suspicious|DE|120|{new_device}"},
		`SELECT CASE WHEN success THEN 't' ELSE 'f' END, error_message, country, risk_score, signals FROM session_logs WHERE session_id IS NULL`)
	l.wantRows([]string{"1.53.0.0/24"}, `SELECT network FROM known_networks`)
	l.wantRows([]string{"2"}, `SELECT count(*) FROM known_devices`)
}
