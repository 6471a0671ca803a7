package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"
)

func myLogs(t *testing.T, g *gateway, token, query string) logPage {
	t.Helper()
	a := g.do(t, get("/sessions/my-session-logs"+query, token))
	if what := betrays(a.body); what != "" {
		t.Errorf("%s holds %s", a.call, what)
	}
	return decode[logPage](t, a, http.StatusOK)
}

func entries(logs []logEntry) []string {
	list := make([]string, len(logs))
	for i, l := range logs {
		list[i] = l.String()
	}
	return list
}

func testLogs(t *testing.T, g *gateway) {
	u := g.stack.user(t)
	g.do(t, loginCall(u.identifier, wrongPassword)).want(t, http.StatusUnauthorized)
	ended := g.login(t, u)
	g.stack.flushed(t) // takes long enough for another millisecond
	g.do(t, logoutCall(ended.AccessToken)).want(t, http.StatusNoContent)
	mine := g.login(t, u)
	g.stack.flushed(t)
	mine = g.refresh(t, mine.AccessToken)
	g.open(t, newID())
	g.stack.flushed(t)

	page := myLogs(t, g, mine.AccessToken, "")
	all := []string{"token_refresh", "login", "logout (logout)", "login", "login! wrong password"}
	if got := entries(page.Logs); !slices.Equal(got, all) || page.NextCursor != nil {
		t.Fatalf("log is %s and then %v, want %s", listed(got), page.NextCursor, listed(all))
	}
	for _, l := range page.Logs {
		if l.UserID != u.id || l.IPAddress != "127.0.0.1" || l.ID == "" || (l.SessionID == "") != !l.Success {
			t.Errorf("entry is %+v", l)
		}
	}
	at := func(l logEntry) string { return url.QueryEscape(l.CreatedAt.Format(time.RFC3339Nano)) }
	logout := page.Logs[2]
	for query, want := range map[string][]string{
		"?action=login":                                      {"login", "login", "login! wrong password"},
		"?action=token_refresh":                              {"token_refresh"},
		"?action=session_expired":                            {},
		"?session_id=" + ended.Session.ID:                    {"logout (logout)", "login"},
		"?session_id=" + mine.Session.ID:                     {"token_refresh", "login"},
		"?from=" + at(logout):                                all[:3],
		"?to=" + at(logout):                                  all[3:],
		"?from=" + at(logout) + "&to=" + at(mineLogin(page)): {"logout (logout)"},
		"?action=logout&session_id=" + mine.Session.ID:       {},
		"?from=2101-01-01T00:00:00%2B02:00":                  {},
	} {
		if got := entries(myLogs(t, g, mine.AccessToken, query).Logs); !slices.Equal(got, want) {
			t.Errorf("%s: %s, want %s", query, listed(got), listed(want))
		}
	}
	for _, query := range []string{
		"action=dance", "session_id=x", "session_id=%00", "from=yesterday", "to=2026-13-01T00:00:00Z", "limit=0", "limit=201",
		"from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "cursor=x", "cursor=%27%20OR%201=1--", "action=login&action=logout",
	} {
		g.do(t, get("/sessions/my-session-logs?"+query, mine.AccessToken)).problem(t, http.StatusBadRequest, "invalid_request", "")
	}
	g.do(t, get("/sessions/my-session-logs", "")).problem(t, http.StatusUnauthorized, "unauthenticated", "")
}

// mineLogin is the login of the session that asked.
func mineLogin(p logPage) logEntry { return p.Logs[1] }

// testLogPages: pages hold each row once, also when rows arrive in between, and
// those that arrive are not in them.
func testLogPages(t *testing.T, g *gateway) {
	id := newID()
	token := g.open(t, id).AccessToken
	for range 6 {
		g.open(t, id)
	}
	g.stack.flushed(t)
	whole := myLogs(t, g, token, "").Logs
	if len(whole) != 7 {
		t.Fatalf("log is %s", listed(entries(whole)))
	}
	var got []logEntry
	for query, pages := "?limit=2", 1; ; pages++ {
		page := myLogs(t, g, token, query)
		if len(page.Logs) > 2 || pages > 4 {
			t.Fatalf("page %d is %+v", pages, page)
		}
		got = append(got, page.Logs...)
		if page.NextCursor == nil {
			break
		}
		query = "?limit=2&cursor=" + url.QueryEscape(*page.NextCursor)
		g.open(t, id)
		g.stack.flushed(t)
	}
	if !slices.Equal(got, whole) {
		t.Errorf("the pages hold %+v, want %+v", got, whole)
	}
}

// TestEventsAreReadableWithinTwoSeconds runs alone: it is about the time.
func TestEventsAreReadableWithinTwoSeconds(t *testing.T) {
	s := newStack(t)
	g := s.start(t, "SESSIONGATE_LOG_LEVEL=info")
	token := g.open(t, newID()).AccessToken
	for round := range 3 {
		token = g.refresh(t, token).AccessToken
		within(t, 2*time.Second, func() error {
			logs := decode[logPage](t, g.do(t, get("/sessions/my-session-logs?action=token_refresh", token)), http.StatusOK).Logs
			if len(logs) != round+1 {
				return fmt.Errorf("%d refreshes are in the log, want %d", len(logs), round+1)
			}
			return nil
		})
	}
}
