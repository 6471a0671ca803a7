package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// The five queries of the product's guide, as analysts have them.
const (
	loginFrequency = `
-- Get user login frequency
SELECT user_id, COUNT(*) as login_count, 
       DATE(created_at) as login_date
FROM session_logs 
WHERE action = 'login' 
GROUP BY user_id, DATE(created_at);`

	activeByDevice = `
-- Get active sessions by device
SELECT device_info, COUNT(*) as active_sessions
FROM user_sessions 
WHERE is_active = true 
GROUP BY device_info;`

	sessionDuration = `
-- Get session duration
SELECT user_id, 
       AVG(EXTRACT(EPOCH FROM (last_activity - created_at))/3600) as avg_hours
FROM user_sessions 
WHERE is_active = false 
GROUP BY user_id;`

	failedLogins = `
-- Failed login attempts
SELECT user_id, COUNT(*) as failed_attempts
FROM session_logs 
WHERE action = 'login' AND success = false
GROUP BY user_id;`

	suspiciousIPs = `
-- Suspicious IP activity
SELECT ip_address, COUNT(*) as login_count
FROM session_logs 
WHERE action = 'login' 
GROUP BY ip_address 
HAVING COUNT(*) > 10;`
)

// TestAnalytics: the guide's queries run as they are written, and what they say
// is what happened.
func TestAnalytics(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.start(t)
	ana, bob := s.user(t), s.user(t)
	login := func(u user, device, word string) answer {
		c := loginCall(u.identifier, word)
		c.json.(object)["device_info"] = device
		return g.do(t, c)
	}
	from := func(id, device, ip string) grant {
		c := openCall(id)
		c.json = object{"user_id": id, "device_info": device, "ip_address": ip}
		return decode[grant](t, g.do(t, c), http.StatusCreated)
	}
	today := time.Now().UTC().Format(time.DateOnly)

	login(ana, "phone", password).want(t, http.StatusCreated)
	login(ana, "laptop", password).want(t, http.StatusCreated)
	login(ana, "laptop", wrongPassword).want(t, http.StatusUnauthorized)
	ended := decode[grant](t, login(bob, "phone", password), http.StatusCreated)
	g.do(t, logoutCall(g.refresh(t, ended.AccessToken).AccessToken)).want(t, http.StatusNoContent)
	login(bob, "phone", wrongPassword).want(t, http.StatusUnauthorized)
	login(bob, "phone", wrongPassword).want(t, http.StatusUnauthorized)
	login(user{identifier: "nobody"}, "", wrongPassword).want(t, http.StatusUnauthorized)
	for i := range 11 {
		from(ana.id, "tablet", "203.0.113.7")
		if i < 10 {
			from(bob.id, "tablet", "203.0.113.8")
		}
	}
	s.flushed(t)
	if today != time.Now().UTC().Format(time.DateOnly) {
		t.Fatal("the day ended during the test")
	}
	for _, tt := range []struct {
		query string
		want  []string
	}{
		{loginFrequency, []string{ana.id + " 14 " + today, bob.id + " 13 " + today, "NULL 1 " + today}},
		{activeByDevice, []string{"laptop 1", "phone 1", "tablet 21"}},
		{failedLogins, []string{ana.id + " 1", bob.id + " 2", "NULL 1"}},
		{suspiciousIPs, []string{"203.0.113.7 11"}},
	} {
		if got := s.answer(t, tt.query); !sameTexts(got, tt.want) {
			t.Errorf("%s\n%s, want %s", tt.query, listed(got), listed(tt.want))
		}
	}
	var hours float64
	got := s.answer(t, sessionDuration)
	if len(got) != 1 {
		t.Fatalf("%s\n%s, want one line", sessionDuration, listed(got))
	}
	if _, err := fmt.Sscanf(got[0], bob.id+" %g", &hours); err != nil || hours <= 0 || hours > patience.Hours() {
		t.Errorf("%s\n%s (%v), want %s and the seconds it took", sessionDuration, got[0], err, bob.id)
	}
}

// answer returns the lines of the query's answer.
func (s *stack) answer(t *testing.T, query string) []string {
	t.Helper()
	rows, err := s.db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatalf("%s\n%v", query, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for rows.Next() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(any)
		}
		if err := rows.Scan(values...); err != nil {
			t.Fatal(err)
		}
		var line []string
		for _, v := range values {
			line = append(line, shown(*v.(*any)))
		}
		lines = append(lines, strings.Join(line, " "))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return slices.Clip(lines)
}

func shown(v any) string {
	switch v := v.(type) {
	case nil:
		return "NULL"
	case []byte:
		return string(v)
	case time.Time:
		return v.Format(time.DateOnly)
	}
	return fmt.Sprint(v)
}
