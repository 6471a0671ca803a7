package store

import (
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/session"
)

// The five queries of the guide, as it prints them.
const (
	guideLoginFrequency = `-- Get user login frequency
SELECT user_id, COUNT(*) as login_count, 
       DATE(created_at) as login_date
FROM session_logs 
WHERE action = 'login' 
GROUP BY user_id, DATE(created_at);`

	guideActiveByDevice = `-- Get active sessions by device
SELECT device_info, COUNT(*) as active_sessions
FROM user_sessions 
WHERE is_active = true 
GROUP BY device_info;`

	guideDuration = `-- Get session duration
SELECT user_id, 
       AVG(EXTRACT(EPOCH FROM (last_activity - created_at))/3600) as avg_hours
FROM user_sessions 
WHERE is_active = false 
GROUP BY user_id;`

	guideFailedLogins = `-- Failed login attempts
SELECT user_id, COUNT(*) as failed_attempts
FROM session_logs 
WHERE action = 'login' AND success = false
GROUP BY user_id;`

	guideSuspiciousIP = `-- Suspicious IP activity
SELECT ip_address, COUNT(*) as login_count
FROM session_logs 
WHERE action = 'login' 
GROUP BY ip_address 
HAVING COUNT(*) > 10;`
)

// sorted makes the order of the answer certain; the query inside is untouched.
func sorted(query string) string {
	return "SELECT * FROM (" + query[:len(query)-1] + "\n) AS answer ORDER BY CAST(answer AS text)"
}

// TestPostgresGuide runs the guide's queries over a known history:
//
//	ana    two logins on the 10th and one on the 11th; the first session lasts
//	       3 h (refreshed, then logged out), the second 1 h (used, then expired),
//	       the third is active on her phone
//	bo     one login on the 10th, active on the same kind of phone; two failed
//	cy     one active session on a laptop
//	nobody twelve failed logins from one address
func TestPostgresGuide(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	if _, err := l.EnsurePartitions(t.Context(), noon, 0); err != nil {
		t.Fatal(err)
	}
	first, second := newLife("ana", noon), newLife("ana", noon.Add(time.Hour))
	third, bo, cy := newLife("ana", noon.Add(24*time.Hour)), newLife("bo", noon), newLife("cy", noon)
	cy.device, cy.ip = session.Device{Name: "ThinkPad", Platform: "linux"}, "192.0.2.8"
	l.write(
		first.login(), first.refresh(25*time.Minute), first.refused(26*time.Minute), second.login(), bo.login(),
		cy.login(), third.login(), failedLogin("bo", "192.0.2.7", noon), failedLogin("bo", "192.0.2.9", noon),
		first.end(3*time.Hour, session.EndLogout),
	)
	for range 12 {
		l.write(failedLogin("", "203.0.113.1", noon))
	}
	if _, err := l.WriteActivity(t.Context(), []session.Use{{SessionID: second.id, At: second.began.Add(time.Hour)}}); err != nil {
		t.Fatal(err)
	}
	if closed, err := l.CloseMissing(t.Context(), []session.ID{second.id}, noon.Add(9*time.Hour)); err != nil || closed != 1 {
		t.Fatalf("closed %d, %v", closed, err)
	}

	l.wantRows([]string{
		"null|12|2026-03-10T00:00:00Z",
		"ana|1|2026-03-11T00:00:00Z", "ana|2|2026-03-10T00:00:00Z", "bo|3|2026-03-10T00:00:00Z", "cy|1|2026-03-10T00:00:00Z",
	}, sorted(guideLoginFrequency))
	l.wantRows([]string{"Ana's iPhone (ios)|2", "ThinkPad (linux)|1"}, sorted(guideActiveByDevice))
	l.wantRows([]string{"ana|2.00000000000000000000"}, sorted(guideDuration))
	l.wantRows([]string{"null|12", "bo|2"}, sorted(guideFailedLogins))
	l.wantRows([]string{"203.0.113.1|12"}, sorted(guideSuspiciousIP))

	for _, query := range []string{
		guideLoginFrequency, guideActiveByDevice, guideDuration, guideFailedLogins, guideSuspiciousIP,
	} {
		l.rows(query) // as it stands
	}
}
