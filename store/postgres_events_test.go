package store

import (
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sessiongate/sessiongate/session"
)

const sessionColumns = `SELECT user_id, device_info, device_id, device_platform, ip_address, user_agent, client_id,
	scope, amr, is_active, created_at, last_activity, expires_at, ended_at, end_reason FROM user_sessions`

func TestPostgresWriteEventsTellsOneSession(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	s := newLife("42", noon)
	r := l.write(s.login(), s.refresh(25*time.Minute), s.refused(26*time.Minute), s.end(40*time.Minute, session.EndLogout))
	if want := (WriteResult{Inserted: 4}); r != want {
		t.Errorf("result is %+v, want %+v", r, want)
	}
	l.wantRows([]string{"42|null|true"}, `SELECT id, identifier, is_active FROM users`)
	l.wantRows([]string{
		"42|Ana's iPhone (ios)|i-1|ios|192.0.2.7|app/1.0|sessiongate|read write|{pwd,otp}|false|" +
			"2026-03-10T12:00:00Z|2026-03-10T12:40:00Z|2026-03-10T12:55:00Z|2026-03-10T12:40:00Z|logout",
	}, sessionColumns)
	const device = "192.0.2.7|app/1.0|Ana's iPhone (ios)"
	l.wantRows([]string{
		"login|42|" + device + "|true|null|null|2026-03-10T12:00:00Z",
		"token_refresh|42|198.51.100.9|app/1.2|Ana's iPhone (ios)|true|null|null|2026-03-10T12:25:00Z",
		"token_refresh|42|198.51.100.9|app/1.3|Ana's iPhone (ios)|false|refresh_reused|null|2026-03-10T12:26:00Z",
		"logout|42|198.51.100.9|app/1.4|Ana's iPhone (ios)|true|null|logout|2026-03-10T12:40:00Z",
	}, `SELECT action, user_id, ip_address, user_agent, device_info, success, error_message, reason, created_at
		FROM session_logs ORDER BY created_at`)
	l.wantRows([]string{"1|true|64"}, `SELECT count(DISTINCT l.session_token), CAST(bool_and(l.session_token = s.session_token)
		AS text), max(length(s.session_token)) FROM session_logs AS l JOIN user_sessions AS s ON s.id = l.session_id`)
}

func TestPostgresWriteEventsFingerprintIsKeyed(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	s := newLife("42", noon)
	l.write(s.login())
	other, err := OpenPostgres(PostgresOptions{URL: l.url, FingerprintKey: []byte("another")})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	ours, theirs := l.fingerprint()(s.id), other.fingerprint()(s.id)
	l.wantRows([]string{ours}, `SELECT session_token FROM user_sessions`)
	if ours == theirs || strings.Contains(ours, string(s.id)) {
		t.Errorf("fingerprint is %q, with another key %q", ours, theirs)
	}
}

func TestPostgresWriteEventsLastActivity(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	for _, tt := range []struct {
		name  string
		event func(*life) Entry
		want  string
	}{
		{"a login", (*life).login, "2026-03-10T12:00:00Z"},
		{"a refresh", func(s *life) Entry { return s.refresh(time.Minute) }, "2026-03-10T12:01:00Z"},
		{"a refused refresh", func(s *life) Entry { return s.refused(time.Minute) }, "2026-03-10T12:00:00Z"},
		{"a logout", func(s *life) Entry { return s.end(time.Minute, session.EndLogout) }, "2026-03-10T12:01:00Z"},
		{"a revocation", func(s *life) Entry { return s.end(time.Minute, session.EndRevoked) }, "2026-03-10T12:00:00Z"},
		{"an eviction", func(s *life) Entry { return s.end(time.Minute, session.EndEvicted) }, "2026-03-10T12:00:00Z"},
	} {
		s := newLife("42", noon)
		l.write(tt.event(s))
		l.wantRows([]string{tt.want}, `SELECT last_activity FROM user_sessions WHERE id = $1`, s.id)
	}
}

func TestPostgresWriteEventsWithoutALogin(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	s := newLife("42", noon)
	l.write(s.refresh(25 * time.Minute))
	const rest = "|sessiongate|read write|{pwd,otp}|true|2026-03-10T12:00:00Z|2026-03-10T12:25:00Z|" +
		"2026-03-10T12:55:00Z|null|null"
	l.wantRows([]string{"42|Ana's iPhone (ios)|i-1|ios|192.0.2.7|null" + rest}, sessionColumns)

	s.device = session.Device{Name: "Ana's iPad"}
	l.write(s.login())
	l.wantRows([]string{"42|Ana's iPad|null|null|192.0.2.7|app/1.0" + rest}, sessionColumns)
}

func TestPostgresWriteEventsEndsOnce(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	s := newLife("42", noon)
	first, second := s.end(time.Minute, session.EndRevoked), s.end(2*time.Minute, session.EndLogout)

	t.Run("the first in the stream wins", func(*testing.T) {
		l.write(s.login(), first, second)
		l.wantRows([]string{"revoked|2026-03-10T12:01:00Z"}, `SELECT reason, created_at FROM session_logs WHERE action = 'logout'`)
	})
	t.Run("a later one changes nothing", func(*testing.T) {
		if r := l.write(second); r != (WriteResult{}) {
			t.Errorf("result is %+v, want nothing", r)
		}
		l.wantRows([]string{"revoked|2026-03-10T12:01:00Z"}, `SELECT reason, created_at FROM session_logs WHERE action = 'logout'`)
		l.wantRows([]string{"false|revoked|2026-03-10T12:01:00Z"}, `SELECT is_active, end_reason, ended_at FROM user_sessions`)
	})
	t.Run("what comes after it does not bring it back", func(*testing.T) {
		l.write(s.refresh(30 * time.Second))
		l.wantRows([]string{"false|revoked"}, `SELECT is_active, end_reason FROM user_sessions`)
	})
}

func TestPostgresWriteEventsFailedLogin(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	l.write(failedLogin("", "203.0.113.1", noon), failedLogin("7", "not an address", noon.Add(time.Second)))
	l.wantRows([]string{
		"null|null|null|203.0.113.1|false|wrong_password",
		"7|null|null|null|false|wrong_password",
	}, `SELECT user_id, session_id, session_token, ip_address, success, error_message FROM session_logs ORDER BY created_at`)
	l.wantRows([]string{}, `SELECT id FROM users`)
}

func TestPostgresIPText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "2001:DB8::1": "2001:db8::1", "fe80::1%eth0": "fe80::1",
		"::ffff:192.0.2.1": "192.0.2.1", "": "", "unknown": "", "192.0.2.1:80": "", "192.0.2.0/24": "",
		"192.0.2.1\x00": "",
	} {
		if got := ipText(in); got != want {
			t.Errorf("ipText(%q) is %q, want %q", in, got, want)
		}
	}
}

// history is all that can happen to a few sessions.
func history() []Entry {
	var all []Entry
	for i, end := range []session.EndReason{session.EndLogout, session.EndReused, session.EndExpired, "", ""} {
		s := newLife([]string{"a", "b", "b", "c", "a"}[i], noon.Add(time.Duration(i)*time.Second))
		if i != 2 { // its login was lost
			all = append(all, s.login())
		}
		all = append(all, s.refresh(20*time.Minute), s.refresh(40*time.Minute))
		if i == 3 {
			s.refresh(45 * time.Minute) // was lost; the next event still tells the deadline
		}
		all = append(all, s.refused(46*time.Minute))
		if end != "" {
			all = append(all, s.end(50*time.Minute, end))
		}
		all = append(all, failedLogin("a", "203.0.113.1", noon.Add(time.Duration(i)*time.Minute)))
	}
	return append(all, malformed("1-1", map[string]string{"v": "1", "id": "x"}))
}

func TestPostgresWriteEventsAnyOrderGivesTheSameRows(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	all := history()
	l.write(all...)
	want := l.everything()

	rapid.Check(t, func(rt *rapid.T) {
		l.exec("WITH a AS (DELETE FROM session_logs), b AS (DELETE FROM session_logs_dead) DELETE FROM users")
		order := rapid.Permutation(all).Draw(rt, "order")
		again := rapid.SliceOfN(rapid.SampledFrom(all), 0, 8).Draw(rt, "delivered again")
		order = append(order, again...)
		for len(order) > 0 {
			n := rapid.IntRange(1, len(order)).Draw(rt, "batch")
			if _, err := l.WriteEvents(t.Context(), order[:n]); err != nil {
				rt.Fatal(err)
			}
			order = order[n:]
		}
		if got := l.everything(); got != want {
			rt.Fatalf("got\n%s\nwant\n%s", got, want)
		}
	})
}

func TestPostgresWriteEventsAgainChangesNothing(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	all := history()
	l.write(all...)
	want := l.everything()
	if r := l.write(all...); r != (WriteResult{}) {
		t.Errorf("result is %+v, want nothing", r)
	}
	if got := l.everything(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestPostgresWriteEventsWithoutSessionsAtTheSameTime has nothing but the order
// of the log's own rows to keep the gateways from waiting for each other.
func TestPostgresWriteEventsWithoutSessionsAtTheSameTime(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	for round := range 5 {
		var all []Entry
		for i := range 500 {
			all = append(all, failedLogin("a", "203.0.113.1", noon.Add(time.Duration(i)*time.Millisecond)))
		}
		var wg sync.WaitGroup
		for range 4 {
			mine := slices.Clone(all)
			rand.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
			wg.Go(func() {
				if _, err := l.WriteEvents(t.Context(), mine); err != nil {
					t.Errorf("round %d: %v", round, err)
				}
			})
		}
		wg.Wait()
	}
	l.wantRows([]string{"2500"}, `SELECT count(*) FROM session_logs`)
}

func TestPostgresWriteEventsAtTheSameTime(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	var all []Entry
	for i := range 100 {
		s := newLife(string(rune('a'+i%7)), noon.Add(time.Duration(i)*time.Millisecond))
		all = append(all, s.login(), s.refresh(time.Minute), failedLogin("a", "203.0.113.1", s.began))
		if i%2 == 0 {
			all = append(all, s.end(2*time.Minute, session.EndLogout))
		}
	}
	var wg sync.WaitGroup
	results := make([]WriteResult, 6)
	for i := range results {
		wg.Go(func() {
			mine := slices.Clone(all)
			rand.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
			for part := range slices.Chunk(mine, 60+20*i) {
				r, err := l.WriteEvents(t.Context(), part)
				if err != nil {
					t.Error(err) // a deadlock is one
				}
				results[i].Inserted += r.Inserted
			}
		})
	}
	wg.Wait()
	inserted := 0
	for _, r := range results {
		inserted += r.Inserted
	}
	if inserted != len(all) {
		t.Errorf("%d rows were inserted, want %d", inserted, len(all))
	}
	l.wantRows([]string{"350|350"}, `SELECT count(*), count(DISTINCT id) FROM session_logs`)
	l.wantRows([]string{"100|50"}, `SELECT count(*), count(end_reason) FROM user_sessions`)
}
