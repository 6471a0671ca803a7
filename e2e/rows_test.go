package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// row is a row of session_logs.
type row struct {
	id, action, userID, sid string
	success                 bool
	err, reason             string
	device, ip, userAgent   string
	token                   string
	at                      time.Time
}

// String is what the tables of the tests compare: "login", "login! wrong
// password", "logout (evicted)".
func (r row) String() string {
	s := r.action
	if !r.success {
		s += "! " + r.err
	}
	if r.reason != "" {
		s += " (" + r.reason + ")"
	}
	return s
}

const selectRows = `
	SELECT id, action, COALESCE(user_id, ''), COALESCE(session_id::text, ''), success, COALESCE(error_message, ''),
	       COALESCE(reason, ''), COALESCE(device_info, ''), COALESCE(host(ip_address), ''), COALESCE(user_agent, ''),
	       COALESCE(session_token, ''), created_at
	FROM session_logs WHERE %s ORDER BY created_at, id`

func (s *stack) query(ctx context.Context, where string, args ...any) ([]row, error) {
	found, err := s.db.QueryContext(ctx, fmt.Sprintf(selectRows, where), args...)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	var rows []row
	for found.Next() {
		var r row
		if err := found.Scan(&r.id, &r.action, &r.userID, &r.sid, &r.success, &r.err, &r.reason,
			&r.device, &r.ip, &r.userAgent, &r.token, &r.at); err != nil {
			return nil, err
		}
		rows = append(rows, r)
	}
	return rows, found.Err()
}

// rows returns the rows of session_logs that the condition selects, oldest first,
// once all that has been answered so far is written.
func (s *stack) rows(t testing.TB, where string, args ...any) []row {
	t.Helper()
	s.flushed(t)
	rows, err := s.query(t.Context(), where, args...)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// logged waits for exactly these rows of the user, in any order of those that
// share a millisecond, and returns them, oldest first.
func (s *stack) logged(t testing.TB, userID string, want ...string) []row {
	t.Helper()
	var rows []row
	eventually(t, func() (err error) {
		if rows, err = s.query(t.Context(), "user_id = $1", userID); err != nil {
			return err
		}
		if got := texts(rows); !sameTexts(got, want) {
			return fmt.Errorf("session_logs of %s has %s, want %s", userID, listed(got), listed(want))
		}
		return nil
	})
	return rows
}

func texts(rows []row) []string {
	list := make([]string, len(rows))
	for i, r := range rows {
		list[i] = r.String()
	}
	return list
}

func sameTexts(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

func listed(list []string) string { return "[" + strings.Join(list, ", ") + "]" }

// one returns the only row of an action.
func one(t testing.TB, rows []row, text string) row {
	t.Helper()
	var found []row
	for _, r := range rows {
		if r.String() == text {
			found = append(found, r)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d rows are %q among %s, want 1", len(found), text, listed(texts(rows)))
	}
	return found[0]
}
