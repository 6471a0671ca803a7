package store

import (
	"database/sql"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/session"
)

func TestPostgresWriteActivity(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	s, later := newLife("42", noon), newLife("42", noon.Add(time.Second))
	l.write(s.login())
	use := func(id session.ID, after time.Duration) session.Use {
		return session.Use{SessionID: id, At: noon.Add(after)}
	}
	uses := []session.Use{
		use(s.id, time.Minute), use(s.id, 3*time.Minute), use(s.id, 2*time.Minute), use(later.id, time.Minute),
		use("not an id", time.Minute),
		{SessionID: s.id, At: time.Unix(1e10, 0)},
		{SessionID: s.id},
	}
	written, err := l.WriteActivity(t.Context(), uses)
	if err != nil || !reflect.DeepEqual(written, uses[:3]) {
		t.Errorf("written is %+v, %v; want the first three", written, err)
	}
	l.wantRows([]string{"2026-03-10T12:03:00Z"}, `SELECT last_activity FROM user_sessions`)

	t.Run("never goes back", func(*testing.T) {
		if written, err := l.WriteActivity(t.Context(), uses[:1]); err != nil || len(written) != 1 {
			t.Errorf("written is %+v, %v; want the one", written, err)
		}
		l.wantRows([]string{"2026-03-10T12:03:00Z"}, `SELECT last_activity FROM user_sessions`)
	})
	t.Run("nothing", func(*testing.T) {
		if written, err := l.WriteActivity(t.Context(), nil); err != nil || len(written) != 0 {
			t.Errorf("written is %+v, %v", written, err)
		}
	})
}

// TestPostgresWriteActivityTouchesNoIndex holds user_sessions to what its
// migration promises: an update of last_activity is HOT.
func TestPostgresWriteActivityTouchesNoIndex(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	s := newLife("42", noon)
	l.write(s.login())
	err := inTx(t.Context(), l.DB(), func(tx *sql.Tx) error {
		c := newColumns(3, 1)
		c.add(string(s.id), timeText(noon.Add(time.Minute)), timeText(noon.Add(time.Minute)))
		if _, err := tx.ExecContext(t.Context(), updateLastActivity, c.args()...); err != nil {
			return err
		}
		var hot int
		err := tx.QueryRowContext(t.Context(),
			`SELECT pg_stat_get_xact_tuples_hot_updated(CAST('user_sessions' AS regclass))`).Scan(&hot)
		if hot != 1 {
			t.Errorf("%d updates were HOT, want 1", hot)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestPostgresWriteActivityBesideTheFlush(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	var logins, refreshes []Entry
	var uses []session.Use
	for i := range 200 {
		s := newLife("42", noon.Add(time.Duration(i)*time.Millisecond))
		logins = append(logins, s.login())
		refreshes = append(refreshes, s.refresh(time.Minute))
		uses = append(uses, session.Use{SessionID: s.id, At: s.began.Add(2 * time.Minute)})
	}
	l.write(logins...)
	slices.Reverse(uses)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if written, err := l.WriteActivity(t.Context(), uses); err != nil || len(written) != 200 {
				t.Errorf("%d written, %v", len(written), err)
			}
		})
		wg.Go(func() {
			if _, err := l.WriteEvents(t.Context(), refreshes); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	l.wantRows([]string{"200"}, `SELECT count(*) FROM user_sessions WHERE last_activity = created_at + interval '2 minutes'`)
}

// pageAll reads all pages and fails if one is longer than the limit.
func pageAll(t *testing.T, limit int, page func(after session.ID) ([]session.Session, error)) []session.ID {
	t.Helper()
	var ids []session.ID
	var after session.ID
	for {
		list, err := page(after)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 0 {
			return ids
		}
		if len(list) > limit {
			t.Fatalf("a page has %d", len(list))
		}
		for _, s := range list {
			if s.UserID != "42" || s.CreatedAt.IsZero() || s.ExpiresAt.IsZero() {
				t.Errorf("incomplete: %+v", s)
			}
			ids, after = append(ids, s.ID), s.ID
		}
	}
}

func TestPostgresExpiredAndActive(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	var active, expired []session.ID
	for i := range 10 {
		s := newLife("42", noon.Add(time.Duration(i)*time.Minute))
		l.write(s.login())
		if i%3 == 0 {
			l.write(s.end(time.Second, session.EndLogout))
			continue
		}
		active = append(active, s.id)
		if i <= 5 {
			expired = append(expired, s.id)
		}
	}
	before := noon.Add(35 * time.Minute) // when the session of minute 5 runs out, to the millisecond
	got := pageAll(t, 2, func(after session.ID) ([]session.Session, error) {
		return l.Expired(t.Context(), before, after, 2)
	})
	if !slices.Equal(got, expired) {
		t.Errorf("expired are %v, want %v", got, expired)
	}
	got = pageAll(t, 4, func(after session.ID) ([]session.Session, error) { return l.Active(t.Context(), after, 4) })
	if !slices.Equal(got, active) {
		t.Errorf("active are %v, want %v", got, active)
	}
}

func TestPostgresCloseMissing(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	for _, tt := range []struct {
		name     string
		lookedAt time.Duration
		change   func(*life)
		want     string // of the session, then of the log
	}{
		{"before its deadline", 10 * time.Minute, nil, "removed_in_redis|12:10:00|logout|removed_in_redis|12:10:00"},
		{"at its deadline", 30 * time.Minute, nil, "expired|12:30:00|session_expired|expired|12:30:00"},
		{"long after it", 9 * time.Hour, nil, "expired|12:30:00|session_expired|expired|12:30:00"},
		{
			"at its last deadline", time.Hour, func(s *life) { s.absolute = s.expires },
			"absolute_timeout|12:30:00|session_expired|absolute_timeout|12:30:00",
		},
		{
			"without a last deadline", time.Hour, func(s *life) { s.absolute = time.Time{} },
			"expired|12:30:00|session_expired|expired|12:30:00",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newLife("42", noon)
			if tt.change != nil {
				tt.change(s)
			}
			l.write(s.login())
			for _, want := range []int{1, 0} {
				closed, err := l.CloseMissing(t.Context(), []session.ID{s.id}, noon.Add(tt.lookedAt))
				if err != nil || closed != want {
					t.Errorf("closed %d, %v; want %d", closed, err, want)
				}
			}
			l.wantRows([]string{fmt.Sprintf("false|%s|%s|true|true|192.0.2.7|app/1.0|Ana's iPhone (ios)|42", tt.want, session.EndingID(s.id))},
				`SELECT s.is_active, s.end_reason, to_char(s.ended_at, 'HH24:MI:SS'), l.action, l.reason,
					to_char(l.created_at, 'HH24:MI:SS'), l.id, l.success, l.session_token = s.session_token,
					l.ip_address, l.user_agent, l.device_info, l.user_id
				FROM user_sessions AS s JOIN session_logs AS l ON l.session_id = s.id AND l.action <> 'login'
				WHERE s.id = $1`, s.id)
		})
	}
	t.Run("nothing", func(t *testing.T) {
		if closed, err := l.CloseMissing(t.Context(), nil, noon); err != nil || closed != 0 {
			t.Errorf("closed %d, %v", closed, err)
		}
	})
}

func TestPostgresCloseMissingLeavesOut(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	ended, dead, handled, held := newLife("1", noon), newLife("2", noon), newLife("3", noon), newLife("4", noon)
	l.write(ended.login(), ended.end(time.Minute, session.EndLogout), dead.login(), handled.login(), held.login())
	for _, s := range []*life{dead, handled} {
		fields := s.end(time.Minute, session.EndRevoked).Fields
		fields["at"] = "yesterday"
		l.write(malformed(string(s.id), fields))
	}
	l.exec(`UPDATE session_logs_dead SET handled_at = now() WHERE session_id = $1`, handled.id)

	ids := []session.ID{ended.id, dead.id, handled.id, held.id, session.NewID(noon)}
	tx, err := l.DB().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(t.Context(), `SELECT FROM user_sessions WHERE id = $1 FOR UPDATE`, held.id); err != nil {
		t.Fatal(err)
	}
	if closed, err := l.CloseMissing(t.Context(), ids, noon.Add(time.Hour)); err != nil || closed != 1 {
		t.Errorf("closed %d, %v; want 1", closed, err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	l.wantRows([]string{"1|false|logout", "2|true|null", "3|false|expired", "4|true|null"},
		`SELECT user_id, is_active, end_reason FROM user_sessions ORDER BY user_id`)
	if closed, err := l.CloseMissing(t.Context(), ids, noon.Add(time.Hour)); err != nil || closed != 1 {
		t.Errorf("once it is let go, closed %d, %v; want 1", closed, err)
	}
}

func TestPostgresCloseMissingBesideTheFlush(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	var ids []session.ID
	var logins, endings []Entry
	for i := range 300 {
		s := newLife("42", noon.Add(time.Duration(i)*time.Millisecond))
		ids = append(ids, s.id)
		logins = append(logins, s.login())
		endings = append(endings, s.end(time.Minute, session.EndLogout))
	}
	l.write(logins...)
	var wg sync.WaitGroup
	var mu sync.Mutex
	total := 0
	for range 4 {
		wg.Go(func() {
			for part := range slices.Chunk(ids, 40) {
				n, err := l.CloseMissing(t.Context(), part, noon.Add(time.Hour))
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				total += n
				mu.Unlock()
			}
		})
		wg.Go(func() {
			for part := range slices.Chunk(endings, 30) {
				r, err := l.WriteEvents(t.Context(), part)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				total += r.Inserted
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if total != 300 {
		t.Errorf("%d endings were counted, want 300", total)
	}
	l.wantRows([]string{"300|300"}, `SELECT count(*), count(DISTINCT session_id) FROM session_logs WHERE action <> 'login'`)
	l.wantRows([]string{"300"}, `SELECT count(*) FROM user_sessions AS s JOIN session_logs AS l
		ON l.session_id = s.id AND l.reason = s.end_reason AND l.created_at = s.ended_at`)
}

func TestPostgresEndedSessions(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	var want []session.ID
	for i := range 7 {
		s := newLife("42", noon.Add(time.Duration(i/2)*time.Minute)) // two of each last activity
		l.write(s.login(), s.end(20*time.Minute, session.EndRevoked))
		want = append(want, s.id)
	}
	other := newLife("7", noon)
	l.write(newLife("42", noon).login(), other.login(), other.end(time.Minute, session.EndLogout))
	slices.SortFunc(want, func(a, b session.ID) int { return strings.Compare(string(b), string(a)) })

	var got []session.ID
	var at SessionCursor
	for {
		list, err := l.EndedSessions(t.Context(), "42", at, 3)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 0 {
			break
		}
		for _, s := range list {
			got = append(got, s.ID)
			at = SessionCursor{LastActivity: s.LastActivity, ID: s.ID}
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if list, err := l.EndedSessions(t.Context(), "\x00", SessionCursor{}, 3); err != nil || len(list) != 0 {
		t.Errorf("of nobody: %v, %v", list, err)
	}
}

func TestPostgresEndedSessionsCarryEverything(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	for _, d := range []session.Device{
		{Name: "Ana's iPhone", Platform: "ios", ID: "i-1"},
		{Name: "Ana's iPhone"},
		{Platform: "ios"},
		{},
		{Name: "a (ios)", Platform: "ios"},
		{ID: "i-1"},
	} {
		s := newLife("user of "+d.String()+d.ID, noon)
		s.device = d
		l.write(s.login(), s.end(time.Minute, session.EndLogout))
		got, err := l.EndedSessions(t.Context(), s.user, SessionCursor{}, 10)
		if err != nil {
			t.Fatal(err)
		}
		want := []session.Session{{
			ID: s.id, UserID: s.user, ClientID: session.FirstParty, Scope: "read write", AMR: []string{"pwd", "otp"},
			Device: d, IP: s.ip, UserAgent: "app/1.0", CreatedAt: noon, LastActivity: noon.Add(time.Minute),
			ExpiresAt: s.expires, AbsoluteExpiresAt: s.absolute,
			EndedAt: noon.Add(time.Minute), EndReason: session.EndLogout,
		}}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v\nwant %+v", got, want)
		}
	}
}

func TestPostgresDeletingAUserDeletesTheSessions(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	l.write(newLife("42", noon).login())
	l.exec(`DELETE FROM users`)
	l.wantRows([]string{"0|1"}, `SELECT (SELECT count(*) FROM user_sessions), (SELECT count(*) FROM session_logs)`)
}

// TestPostgresIdleEndings: what is missing in Redis was idle where the row says so,
// from the user's own activity and not from the last use.
func TestPostgresIdleEndings(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	tests := []struct {
		name string
		uses []session.Use // at minutes after the login
		look time.Duration
		want string
		at   time.Duration
	}{
		{"nothing but the login", nil, 11 * time.Minute, "idle_timeout", 10 * time.Minute},
		{"looked for in time", nil, 9 * time.Minute, "removed_in_redis", 9 * time.Minute},
		{"a use that was no activity", []session.Use{{At: noon.Add(5 * time.Minute)}}, 11 * time.Minute, "idle_timeout", 10 * time.Minute},
		{"activity", []session.Use{{At: noon.Add(5 * time.Minute), Active: true}}, 14 * time.Minute, "removed_in_redis", 14 * time.Minute},
		{
			"activity, and a later use that was none",
			[]session.Use{{At: noon.Add(5 * time.Minute), Active: true}, {At: noon.Add(8 * time.Minute)}},
			20 * time.Minute, "idle_timeout", 15 * time.Minute,
		},
		{"activity until the token's time was over", []session.Use{{At: noon.Add(25 * time.Minute), Active: true}}, time.Hour, "expired", 30 * time.Minute},
	}
	for _, tt := range tests {
		s := newLife("42", noon)
		entry := s.login()
		entry.Event.Idle, entry.Event.ActiveAt = 10*time.Minute, noon
		l.write(entry)
		for i := range tt.uses {
			tt.uses[i].SessionID = s.id
		}
		if written, err := l.WriteActivity(t.Context(), tt.uses); err != nil || len(written) != len(tt.uses) {
			t.Fatalf("%s: %d written, error %v", tt.name, len(written), err)
		}
		if n, err := l.CloseMissing(t.Context(), []session.ID{s.id}, noon.Add(tt.look)); err != nil || n != 1 {
			t.Fatalf("%s: closed %d, error %v", tt.name, n, err)
		}
		var reason string
		var at time.Time
		err := l.DB().QueryRowContext(t.Context(), "SELECT end_reason, ended_at FROM user_sessions WHERE id = $1", string(s.id)).Scan(&reason, &at)
		if err != nil || reason != tt.want || !at.Equal(noon.Add(tt.at)) {
			t.Errorf("%s: %s after %v, error %v; want %s after %v", tt.name, reason, at.Sub(noon), err, tt.want, tt.at)
		}
	}
}
