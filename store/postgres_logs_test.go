package store

import (
	"cmp"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/session"
)

func TestPostgresLogs(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	s := newLife("42", noon)
	entries := []Entry{
		s.login(), s.refresh(25 * time.Minute), s.refused(26 * time.Minute), s.end(40*time.Minute, session.EndReused),
		failedLogin("42", "203.0.113.1", noon.Add(time.Hour)),
	}
	l.write(entries...)
	l.write(failedLogin("", "203.0.113.1", noon), newLife("7", noon).login())

	want := make([]session.Log, len(entries))
	for i, entry := range entries {
		e := &entry.Event
		want[i] = session.Log{
			ID: e.ID, CreatedAt: e.CreatedAt, SessionID: e.SessionID, Action: e.Action, Success: e.Success,
			Error: e.Error, Reason: cmp.Or(e.Reason, string(e.Ends)), Device: e.Device.String(), IP: e.Origin.IP, UserAgent: e.Origin.UserAgent,
		}
	}
	slices.Reverse(want)
	for _, tt := range []struct {
		name   string
		filter LogFilter
		want   []session.Log
	}{
		{"all", LogFilter{}, want},
		{"an action", LogFilter{Action: session.ActionRefresh}, want[2:4]},
		{"a session", LogFilter{SessionID: s.id}, want[1:]},
		{"another session", LogFilter{SessionID: session.NewID(noon)}, []session.Log{}},
		{"from, inclusive", LogFilter{From: noon.Add(26 * time.Minute)}, want[:3]},
		{"to, exclusive", LogFilter{To: noon.Add(26 * time.Minute)}, want[3:]},
		{"between", LogFilter{From: noon.Add(25 * time.Minute), To: noon.Add(40 * time.Minute)}, want[2:4]},
		{"before a row", LogFilter{Before: LogCursor{want[1].CreatedAt, want[1].ID}}, want[2:]},
		{"all at once", LogFilter{
			Action: session.ActionRefresh, SessionID: s.id, From: noon, To: noon.Add(time.Hour),
			Before: LogCursor{want[2].CreatedAt, want[2].ID},
		}, want[3:4]},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := l.Logs(t.Context(), "42", tt.filter, 10)
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, %v\nwant %+v", got, err, tt.want)
			}
		})
	}
	if got, err := l.Logs(t.Context(), "\xff", LogFilter{}, 10); err != nil || len(got) != 0 {
		t.Errorf("of nobody: %v, %v", got, err)
	}
}

// TestPostgresLogsPages reads page by page while newer rows arrive: each row of
// the beginning comes once, in order, among them many of one millisecond.
func TestPostgresLogsPages(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	if _, err := l.EnsurePartitions(t.Context(), noon, 1); err != nil {
		t.Fatal(err)
	}
	var want []session.EventID
	for i := range 30 {
		at := noon.AddDate(0, 0, 10*(i/10)) // into the next month
		e := failedLogin("42", "203.0.113.1", at)
		l.write(e)
		want = append(want, e.Event.ID)
	}
	slices.SortFunc(want, func(a, b session.EventID) int {
		if a < b {
			return 1
		}
		return -1
	})
	var got []session.EventID
	var f LogFilter
	for {
		page, err := l.Logs(t.Context(), "42", f, 7)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, row := range page {
			got = append(got, row.ID)
			f.Before = LogCursor{row.CreatedAt, row.ID}
		}
		l.write(failedLogin("42", "203.0.113.1", noon.AddDate(0, 1, 0)))
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
