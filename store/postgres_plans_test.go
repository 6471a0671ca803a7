package store

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sessiongate/sessiongate/session"
)

// TestPostgresPlans holds the statements that run often to the indexes that
// their headers name.
func TestPostgresPlans(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	if _, err := l.EnsurePartitions(t.Context(), noon, 1); err != nil {
		t.Fatal(err)
	}
	// A history in which most has ended and next to nothing has run out.
	l.exec(`INSERT INTO users (id) SELECT 'user ' || n FROM generate_series(0, 999) AS n`)
	l.exec(`INSERT INTO user_sessions (id, user_id, session_token, is_active, created_at, last_activity, expires_at,
			ended_at, end_reason)
		SELECT gen_random_uuid(), 'user ' || n % 1000, '', n % 10 = 0, at, at, at + interval '30 minutes',
			CASE WHEN n % 10 > 0 THEN at END, CASE WHEN n % 10 > 0 THEN 'logout' END
		FROM generate_series(1, 30000) AS n, LATERAL (SELECT CAST($1 AS timestamptz) + n * interval '1 minute' AS at) AS t`, noon)
	l.exec(`INSERT INTO session_logs (id, created_at, user_id, action, success)
		SELECT gen_random_uuid(), CAST($1 AS timestamptz) + n * interval '1 minute', 'user ' || n % 1000, 'login', true
		FROM generate_series(1, 30000) AS n`, noon)
	l.exec(`ANALYZE`)
	first := pageStart("")
	for _, tt := range []struct {
		name, statement string
		args            []any
		index           string
		sorts           bool
	}{
		{"expired", selectExpiredSessions, []any{noon.Add(2 * time.Hour), first, 10}, "user_sessions_expires_at_idx", true},
		{"active", selectActiveSessions, []any{first, 10}, "user_sessions_active_id_idx", false},
		{
			"ended", selectEndedSessions,
			[]any{"user 42", "infinity", uuid.Max.String(), 10},
			"user_sessions_user_id_ended_activity_idx", false,
		},
		{
			"logs", selectSessionLogs,
			[]any{"user 42", "", "", "-infinity", "infinity", "infinity", uuid.Max.String(), 10},
			"session_logs_202603_user_id_created_at_id_idx", false,
		},
		{
			"logs from a cursor", selectSessionLogs,
			[]any{"user 42", "login", session.NewID(noon), noon, "infinity", noon, uuid.Max.String(), 10},
			"session_logs_202603_user_id_created_at_id_idx", false,
		},
		{"user by identifier", selectUserByIdentifier, []any{"ana"}, "users_identifier_key", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			plan := l.planOf(tt.statement, tt.args...)
			if !strings.Contains(plan, tt.index) {
				t.Errorf("plan does not use %s:\n%s", tt.index, plan)
			}
			if strings.Contains(plan, "Seq Scan") {
				t.Errorf("plan scans a table:\n%s", plan)
			}
			if got := strings.Contains(plan, "Sort  ("); got != tt.sorts {
				t.Errorf("plan sorts: %v:\n%s", got, plan)
			}
		})
	}
	t.Run("months that are out of range are not read", func(t *testing.T) {
		plan := l.planOf(selectSessionLogs, "user 42", "", "", "-infinity", "infinity", noon, uuid.Max.String(), 10)
		if strings.Contains(plan, "session_logs_202604") {
			t.Errorf("plan reads a month after the cursor:\n%s", plan)
		}
	})
}
