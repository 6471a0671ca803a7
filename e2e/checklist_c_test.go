package e2e

import (
	"net/http"
	"sync"
	"testing"
)

// TestChecklistC holds the lines on refreshes that need nothing but a gateway with
// its ordinary settings. Those on remembered devices are TestC….
func TestChecklistC(t *testing.T) {
	t.Parallel()
	g := newStack(t).start(t)
	together(t, g, []shared{
		{"C34 remembered browsers", testC34RememberedBrowsers},
		{"C35 a lost answer comes again", testLostAnswer},
		{"C36 fifty refreshes at once are one", testFiftyRefreshes},
		{"C37, C38 an older token ends its session, and no other", testReuse},
		{"C39 no refresh gets past a logout", testC39NoRefreshGetsPastALogout},
		{"C40 clients are told when to come back, each another time", testC40NoHerd},
	})
}

// testC39NoRefreshGetsPastALogout: whatever a refresh answers that runs at the same
// time as the end of its session, what it hands out is no good afterwards.
func testC39NoRefreshGetsPastALogout(t *testing.T, g *gateway) {
	id := newID()
	by := g.open(t, id)
	except := logoutAllCall(by.AccessToken)
	except.json = object{"except_current": true}
	refreshed, refused := 0, 0
	for range 60 {
		s := g.open(t, id)
		var wg sync.WaitGroup
		var a answer
		var err error
		wg.Go(func() { a, err = g.send(t.Context(), refreshCall(s.AccessToken)) })
		g.do(t, except).want(t, http.StatusOK)
		wg.Wait()
		if err != nil {
			t.Fatal(err)
		}
		tokens := []string{s.AccessToken}
		if a.status == http.StatusOK {
			refreshed++
			tokens = append(tokens, between(a.body, `"access_token":"`))
		} else {
			refused++
			a.problem(t, http.StatusUnauthorized, "unauthenticated", "logged_out_or_revoked")
		}
		for _, token := range tokens {
			for _, c := range []call{statusCall(token), refreshCall(token), get("/forward-auth", token)} {
				g.do(t, c).want(t, http.StatusUnauthorized)
			}
		}
		if n := must(t, g.stack.redis.Exists(t.Context(), sessionKey(s.Session.ID))); n != 0 {
			t.Errorf("the refresh brought back %s", s.Session.ID)
		}
	}
	t.Logf("%d refreshes came before the end, %d after it", refreshed, refused)
}

// testC40NoHerd: clients that signed in together do not all refresh together, and
// who comes too often is told when to come back and keeps their session.
func testC40NoHerd(t *testing.T, g *gateway) {
	at := map[int]bool{}
	for range 30 {
		s := g.open(t, newID())
		if s.RefreshAfter <= 0 || s.RefreshAfter >= s.ExpiresIn || s.ExpiresIn > 1800 {
			t.Fatalf("refresh_after %d, expires_in %d", s.RefreshAfter, s.ExpiresIn)
		}
		at[s.RefreshAfter] = true
	}
	if len(at) < 5 {
		t.Errorf("thirty clients come back at only %d different times", len(at))
	}
}
