package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func mySessions(t *testing.T, g *gateway, token, query string) sessionPage {
	t.Helper()
	a := g.do(t, get("/sessions/my-sessions"+query, token))
	if what := betrays(a.body); what != "" {
		t.Errorf("%s holds %s", a.call, what)
	}
	return decode[sessionPage](t, a, http.StatusOK)
}

func ids(sessions []sess) []string {
	list := make([]string, len(sessions))
	for i, s := range sessions {
		list[i] = s.ID
	}
	return list
}

func testMySessions(t *testing.T, g *gateway) {
	id := newID()
	phone, tablet, laptop := g.open(t, id), g.open(t, id), g.open(t, id)
	stranger := g.open(t, newID())

	page := mySessions(t, g, tablet.AccessToken, "")
	if got, want := len(page.Sessions), 3; got != want || page.NextCursor != nil {
		t.Fatalf("%d sessions and then %v, want %d and no more", got, page.NextCursor, want)
	}
	for _, s := range page.Sessions {
		if s.Current != (s.ID == tablet.Session.ID) || !s.IsActive || s.UserID != id || s.EndReason != "" {
			t.Errorf("%+v, asked for by %s", s, tablet.Session.ID)
		}
	}
	checkNewestFirst(t, page.Sessions)
	if slices.Contains(ids(page.Sessions), stranger.Session.ID) {
		t.Error("a stranger's session is in the list")
	}

	// A refresh is activity: its session moves to the front.
	eventually(t, func() error {
		laptop = g.refresh(t, laptop.AccessToken)
		if first := mySessions(t, g, tablet.AccessToken, "").Sessions[0].ID; first != laptop.Session.ID {
			return fmt.Errorf("first in the list is %s, want the one just refreshed", first)
		}
		return nil
	})

	g.do(t, logoutCall(phone.AccessToken)).want(t, http.StatusNoContent)
	if got := ids(mySessions(t, g, tablet.AccessToken, "?state=active").Sessions); len(got) != 2 || slices.Contains(got, phone.Session.ID) {
		t.Errorf("active are %v", got)
	}
	g.stack.flushed(t)
	ended := mySessions(t, g, tablet.AccessToken, "?state=ended").Sessions
	if len(ended) != 1 || ended[0].ID != phone.Session.ID || ended[0].IsActive || ended[0].EndReason != "logout" || ended[0].EndedAt.IsZero() {
		t.Errorf("ended are %+v", ended)
	}
	if got := ids(mySessions(t, g, tablet.AccessToken, "?state=all").Sessions); len(got) != 3 || got[2] != phone.Session.ID {
		t.Errorf("all are %v, want the ended one last", got)
	}
}

func checkNewestFirst(t *testing.T, sessions []sess) {
	t.Helper()
	sorted := slices.IsSortedFunc(sessions, func(a, b sess) int { return b.LastActivity.Compare(a.LastActivity.Time) })
	if !sorted {
		t.Errorf("not the newest activity first: %+v", sessions)
	}
}

func testMySessionsPages(t *testing.T, g *gateway) {
	id := newID()
	var open, ended []string
	for range 3 {
		s := g.open(t, id)
		g.do(t, logoutCall(s.AccessToken)).want(t, http.StatusNoContent)
		ended = append(ended, s.Session.ID)
	}
	var token string
	for range 4 {
		s := g.open(t, id)
		open, token = append(open, s.Session.ID), s.AccessToken
	}
	g.stack.flushed(t)
	for state, want := range map[string][]string{"active": open, "ended": ended, "all": slices.Concat(open, ended)} {
		for _, limit := range []int{1, 2, 3, 4, 7, 200} {
			var got []string
			var sizes []int
			query := fmt.Sprintf("?state=%s&limit=%d", state, limit)
			for next := ""; ; {
				page := mySessions(t, g, token, query+next)
				got, sizes = append(got, ids(page.Sessions)...), append(sizes, len(page.Sessions))
				if page.NextCursor == nil || len(sizes) > 20 {
					break
				}
				next = "&cursor=" + *page.NextCursor
			}
			if !sameTexts(got, want) || slices.Max(sizes) > limit {
				t.Errorf("%s: pages of %v with %v, want each of %v once", query, sizes, got, want)
			}
		}
	}
	cursor := *mySessions(t, g, token, "?limit=1").NextCursor
	logCursor := *decode[logPage](t, g.do(t, get("/sessions/my-session-logs?limit=1", token)), http.StatusOK).NextCursor
	for _, query := range []string{
		"limit=0", "limit=-1", "limit=201", "limit=1e9", "limit=a", "limit=+1", "limit=1&limit=2", "state=dead", "state=ACTIVE",
		"cursor=x", "cursor=" + cursor + "A", "cursor=" + cursor[1:], "cursor=" + strings.Repeat("A", 5000), "cursor=" + logCursor,
		"state=ended&cursor=" + cursor, "limit=%zz",
	} {
		g.do(t, get("/sessions/my-sessions?"+query, token)).problem(t, http.StatusBadRequest, "invalid_request", "")
	}
}

func testDeleteSession(t *testing.T, g *gateway) {
	id := newID()
	mine, other, stranger := g.open(t, id), g.open(t, id), g.open(t, newID())
	remove := func(sid, token string) answer {
		return g.do(t, call{method: http.MethodDelete, path: "/sessions/my-sessions/" + sid, token: token})
	}
	for name, sid := range map[string]string{
		"a stranger's": stranger.Session.ID,
		"nobody's":     "019ab1f4-0000-7000-8000-000000000000",
		"no id":        "x",
		"upper case":   strings.ToUpper(other.Session.ID),
		"a path":       "..%2f" + other.Session.ID,
	} {
		if err := remove(sid, mine.AccessToken).checkProblem(http.StatusNotFound, "not_found", ""); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	g.alive(t, stranger.AccessToken)
	g.alive(t, other.AccessToken)
	remove(other.Session.ID, "").problem(t, http.StatusUnauthorized, "unauthenticated", "")

	if a := remove(other.Session.ID, mine.AccessToken).want(t, http.StatusNoContent); a.body != "" {
		t.Errorf("%s: a body with 204", a)
	}
	g.over(t, other.AccessToken, "logged_out_or_revoked")
	g.alive(t, mine.AccessToken)
	remove(other.Session.ID, mine.AccessToken).problem(t, http.StatusNotFound, "not_found", "")

	remove(mine.Session.ID, mine.AccessToken).want(t, http.StatusNoContent)
	g.over(t, mine.AccessToken, "logged_out_or_revoked")
	g.stack.logged(t, id, "login", "login", "logout (revoked)", "logout (revoked)")
}
