package handlers_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/session"
)

func TestMySessions(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	list := func(token, query string) answer {
		return g.do(http.MethodGet, "/sessions/my-sessions"+query, token, "")
	}
	var live []string
	var token string
	for range 5 {
		var sid string
		token, sid = g.open("u1")
		live = append([]string{sid}, live...)
	}
	g.open("u2")
	var gone []string
	for range 3 {
		_, sid := g.open("u1")
		gone = append([]string{sid}, gone...)
		g.want(g.do(http.MethodDelete, "/sessions/my-sessions/"+sid, token, ""), http.StatusNoContent)
	}
	g.eventually("the ended sessions", func() bool { return len(list(token, "?state=ended").list("sessions")) == 3 })

	if a := list(token, ""); a.body["next_cursor"] != nil || strings.Contains(a.raw, "eyJ") || strings.Contains(a.raw, "token") {
		t.Errorf("%s", a.raw)
	}
	tests := []struct {
		query string
		limit int
		want  []string
	}{
		{"?", 50, live},
		{"?state=active", 2, live},
		{"?state=ended", 50, gone},
		{"?state=ended", 1, gone},
		{"?state=all", 50, append(slices.Clone(live), gone...)},
		{"?state=all", 1, append(slices.Clone(live), gone...)},
		{"?state=all", 4, append(slices.Clone(live), gone...)},
		{"?state=all", 5, append(slices.Clone(live), gone...)},
		{"?state=all", 8, append(slices.Clone(live), gone...)},
	}
	for _, tt := range tests {
		query := fmt.Sprintf("%s&limit=%d", tt.query, tt.limit)
		var got []string
		var pages int
		for cursor := ""; ; pages++ {
			a := g.want(list(token, query+cursor), http.StatusOK)
			page := a.list("sessions")
			if len(page) > tt.limit || len(page) == 0 {
				t.Fatalf("%s: a page of %d", query, len(page))
			}
			for _, s := range page {
				id := s["id"].(string)
				got = append(got, id)
				if s["current"] != (id == live[0]) || s["is_active"] != slices.Contains(live, id) || s["user_id"] != "u1" {
					t.Errorf("%s: %v", query, s)
				}
				if slices.Contains(gone, id) && (s["end_reason"] != "revoked" || g.moment(s["ended_at"]).IsZero() || s["device_info"] != "a device") {
					t.Errorf("%s: %v", query, s)
				}
			}
			next, more := a.body["next_cursor"].(string)
			if !more {
				break
			}
			cursor = "&cursor=" + next
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", query, got, tt.want)
		}
	}
}

func TestMySessionsRefuses(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	list := func(token, query string) answer {
		return g.do(http.MethodGet, "/sessions/my-sessions"+query, token, "")
	}
	g.open("u1")
	token, _ := g.open("u1")
	for query, field := range map[string]string{
		"?state=x": "state", "?limit=0": "limit", "?limit=201": "limit", "?limit=1e9": "limit", "?limit=-1": "limit",
		"?limit=a": "limit", "?limit=01": "limit", "?limit=1&limit=2": "limit", "?cursor=x": "cursor", "?%zz": "the query",
	} {
		a := list(token, query)
		g.wantProblem(a, 400, "invalid_request", "")
		if detail := a.text("detail"); !strings.HasPrefix(detail, field+" ") {
			t.Errorf("%s: %s", query, detail)
		}
	}
	foreign := g.want(list(token, "?limit=1"), 200).text("next_cursor")
	g.wantProblem(list(token, "?state=ended&cursor="+foreign), 400, "invalid_request", "")
	g.want(list(token, "?utm_source=x"), http.StatusOK)
	g.wantProblem(list("", ""), 401, "unauthenticated", "")
}

func TestRevokeOwn(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	revoke := func(token, sid string) answer {
		return g.do(http.MethodDelete, "/sessions/my-sessions/"+sid, token, "")
	}
	token, own := g.open("u1")
	second, sid := g.open("u1")
	_, foreign := g.open("u2")

	g.wantProblem(revoke(token, foreign), 404, "not_found", "")
	g.wantProblem(revoke(token, "x"), 404, "not_found", "")
	g.wantProblem(revoke(token, strings.ToUpper(sid)), 404, "not_found", "")
	g.wantProblem(revoke(token, "%2e%2e%2fstatus"), 404, "not_found", "")
	g.wantProblem(revoke("", sid), 401, "unauthenticated", "")
	g.want(revoke(token, sid), http.StatusNoContent)
	g.wantProblem(revoke(token, sid), 404, "not_found", "")
	g.wantProblem(g.do(http.MethodGet, "/sessions/status", second, ""), 401, "unauthenticated", "logged_out_or_revoked")
	if row := g.logs(token, 3)[0]; row["action"] != "logout" || row["reason"] != "revoked" || row["session_id"] != sid {
		t.Errorf("logged as %v", row)
	}
	g.want(revoke(token, own), http.StatusNoContent) // this very one
	g.wantProblem(revoke(token, own), 401, "unauthenticated", "logged_out_or_revoked")
}

func TestMyLogs(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	list := func(token, query string) answer {
		return g.do(http.MethodGet, "/sessions/my-session-logs"+query, token, "")
	}
	token, sid := g.open("u1")
	g.open("u2")
	for range 4 {
		token = g.want(g.do(http.MethodPost, "/sessions/refresh", token, ""), http.StatusOK).text("access_token")
	}
	rows := g.logs(token, 5)
	for i, r := range rows {
		if r["user_id"] != "u1" || r["session_id"] != sid || r["success"] != true {
			t.Errorf("%v", r)
		}
		if i > 0 && g.moment(r["created_at"]).After(g.moment(rows[i-1]["created_at"])) {
			t.Errorf("%v comes after %v", r, rows[i-1])
		}
		for _, name := range []string{"error_message", "country", "reason", "session_token"} {
			if _, ok := r[name]; ok {
				t.Errorf("%s: %v", name, r[name])
			}
		}
	}

	var paged []map[string]any
	for cursor, more := "", true; more; {
		a := g.want(list(token, "?limit=2"+cursor), http.StatusOK)
		paged = append(paged, a.list("logs")...)
		var next string
		if next, more = a.body["next_cursor"].(string); more {
			// A row that arrives now does not move the next page.
			token = g.want(g.do(http.MethodPost, "/sessions/refresh", token, ""), http.StatusOK).text("access_token")
		}
		cursor = "&cursor=" + next
	}
	if fmt.Sprint(paged) != fmt.Sprint(rows) {
		t.Errorf("in pages: %v, want %v", paged, rows)
	}

	oldest, newest := rows[4]["created_at"].(string), rows[0]["created_at"].(string)
	for query, want := range map[string]int{
		"?action=login":           1,
		"?action=session_expired": 0,
		"?session_id=" + sid:      5,
		"?session_id=" + string(session.NewID(time.Now())): 0,
		"?to=" + newest:                     4,
		"?from=2000-01-01T00:00:00Z":        5,
		"?from=" + oldest + "&to=" + newest: 4,
		"?to=" + oldest:                     0,
		"?from=9999-01-01T00:00:00%2B01:00": 0,
	} {
		a := g.want(list(token, query+"&limit=5"), http.StatusOK)
		// Refreshes of the paging above may have come in, all newer than newest.
		if got := len(a.list("logs")); got != want {
			t.Errorf("%s: %d rows, want %d", query, got, want)
		}
	}
}

func TestMyLogsRefuses(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	list := func(token, query string) answer {
		return g.do(http.MethodGet, "/sessions/my-session-logs"+query, token, "")
	}
	token, _ := g.open("u1")
	for query, field := range map[string]string{
		"?action=x": "action", "?session_id=x": "session_id", "?from=yesterday": "from", "?to=2026-01-01": "to",
		"?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z": "to", "?limit=x": "limit", "?cursor=bA": "cursor",
	} {
		a := list(token, query)
		g.wantProblem(a, 400, "invalid_request", "")
		if detail := a.text("detail"); !strings.HasPrefix(detail, field+" ") {
			t.Errorf("%s: %s", query, detail)
		}
	}
	g.wantProblem(list("", ""), 401, "unauthenticated", "")
}
