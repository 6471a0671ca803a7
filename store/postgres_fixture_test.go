package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/internal/testenv"
	"github.com/sessiongate/sessiongate/session"
)

// ledger is a migrated Postgres of the test's own.
type ledger struct {
	testing.TB
	*Postgres
	url string
}

func newLedger(tb testing.TB) *ledger {
	tb.Helper()
	l := openLedger(tb, testenv.Postgres(tb))
	if err := l.Migrate(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return l
}

func openLedger(tb testing.TB, url string) *ledger {
	tb.Helper()
	p, err := OpenPostgres(PostgresOptions{
		URL: url, MaxConns: 8, StatementTimeout: 10 * time.Second,
		FingerprintKey: []byte("a fingerprint key of 32 bytes …"),
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { p.Close() })
	return &ledger{TB: tb, Postgres: p, url: url}
}

func (l *ledger) exec(statement string, args ...any) {
	l.Helper()
	if _, err := l.DB().ExecContext(l.Context(), statement, args...); err != nil {
		l.Fatalf("%s: %v", statement, err)
	}
}

// write fails the test if the entries are not all settled.
func (l *ledger) write(entries ...Entry) WriteResult {
	l.Helper()
	r, err := l.WriteEvents(l.Context(), entries)
	if err != nil {
		l.Fatal(err)
	}
	return r
}

// rows returns what a query gives, a row a line, columns separated by bars.
func (l *ledger) rows(query string, args ...any) []string {
	l.Helper()
	rows, err := l.DB().QueryxContext(l.Context(), query, args...)
	if err != nil {
		l.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	lines := []string{}
	for rows.Next() {
		values, err := rows.SliceScan()
		if err != nil {
			l.Fatal(err)
		}
		texts := make([]string, len(values))
		for i, v := range values {
			switch v := v.(type) {
			case nil:
				texts[i] = "null"
			case []byte:
				texts[i] = string(v)
			case time.Time:
				texts[i] = v.UTC().Format(time.RFC3339Nano)
			default:
				texts[i] = fmt.Sprint(v)
			}
		}
		lines = append(lines, strings.Join(texts, "|"))
	}
	if err := rows.Err(); err != nil {
		l.Fatalf("%s: %v", query, err)
	}
	return lines
}

func (l *ledger) wantRows(want []string, query string, args ...any) {
	l.Helper()
	if got := l.rows(query, args...); !slices.Equal(got, want) {
		l.Errorf("%s\n got %s\nwant %s", query, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
}

// everything is all that the flush writes, but for when rows were made.
func (l *ledger) everything() string {
	l.Helper()
	var all []string
	for _, query := range []string{
		`SELECT id, identifier, is_active FROM users ORDER BY id`,
		`SELECT CAST(row_to_json(s) AS text) FROM user_sessions AS s ORDER BY id`,
		`SELECT CAST(row_to_json(s) AS text) FROM session_logs AS s ORDER BY id, created_at`,
		`SELECT partition, stream_id, digest, sqlstate FROM session_logs_dead ORDER BY 1, 2, 3`,
	} {
		all = append(all, l.rows(query)...)
	}
	return strings.Join(all, "\n")
}

// life makes the events of one session, as the scripts do.
type life struct {
	id       session.ID
	user     string
	began    time.Time
	device   session.Device
	ip       string
	expires  time.Time
	absolute time.Time
	n        int
}

func newLife(user string, began time.Time) *life {
	return &life{
		id: session.NewID(began), user: user, began: began,
		device: session.Device{Name: "Ana's iPhone", Platform: "ios", ID: "i-1"}, ip: "192.0.2.7",
		expires:  began.Add(30 * time.Minute).Truncate(time.Second),
		absolute: began.Add(30 * 24 * time.Hour).Truncate(time.Second),
	}
}

func (l *life) event(after time.Duration, a session.Action) session.Event {
	l.n++
	at := l.began.Add(after)
	return session.Event{
		ID: session.NewEventID(at), CreatedAt: at, Action: a, Success: true, UserID: l.user, SessionID: l.id,
		Origin: session.Origin{IP: "198.51.100.9", UserAgent: fmt.Sprintf("app/1.%d", l.n)},
		Device: l.device, SessionPlace: session.Place{IP: l.ip}, ClientID: session.FirstParty, Scope: "read write",
		AMR: []string{"pwd", "otp"}, ExpiresAt: l.expires, AbsoluteExpiresAt: l.absolute,
	}
}

func (l *life) login() Entry {
	e := l.event(0, session.ActionLogin)
	e.Origin = session.Origin{IP: l.ip, UserAgent: "app/1.0"}
	return entryOf(e)
}

func (l *life) refresh(after time.Duration) Entry {
	l.expires = l.began.Add(after + 30*time.Minute).Truncate(time.Second)
	return entryOf(l.event(after, session.ActionRefresh))
}

// refused is an attempt to refresh with a token that was replaced long ago.
func (l *life) refused(after time.Duration) Entry {
	e := l.event(after, session.ActionRefresh)
	e.Success, e.Error = false, "refresh_reused"
	return entryOf(e)
}

func (l *life) end(after time.Duration, why session.EndReason) Entry {
	e := l.event(after, session.ActionFor(why))
	e.ID, e.Ends = session.EndingID(l.id), why
	return entryOf(e)
}

// failedLogin is a login that gave no session; user is "" for an unknown name.
func failedLogin(user, ip string, at time.Time) Entry {
	return entryOf(session.Event{
		ID: session.NewEventID(at), CreatedAt: at, Action: session.ActionLogin, UserID: user,
		Error: "wrong_password", Origin: session.Origin{IP: ip, UserAgent: "curl/8"},
	})
}

func entryOf(e session.Event) Entry {
	return Entry{StreamID: fmt.Sprintf("%d-0", e.CreatedAt.UnixMilli()), Event: e, Fields: fieldsOf(&e)}
}

// malformed is an entry that could not be read.
func malformed(streamID string, fields map[string]string) Entry {
	_, err := session.DecodeEvent(fields)
	return Entry{StreamID: streamID, Fields: fields, Err: err}
}

// noon is a moment that all of a test's times are measured from.
var noon = time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)

// canceled is a context that is over.
func canceled(tb testing.TB) context.Context {
	ctx, cancel := context.WithCancel(tb.Context())
	cancel()
	return ctx
}

// planOf returns how Postgres would run a statement.
func (l *ledger) planOf(statement string, args ...any) string {
	l.Helper()
	return strings.Join(l.rows("EXPLAIN "+statement, args...), "\n")
}
