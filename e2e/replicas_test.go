package e2e

import (
	"net/http"
	"slices"
	"sync"
	"testing"
)

// TestTwoGateways: it makes no difference which gateway one asks, and what both
// do in the background happens once.
func TestTwoGateways(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	a, b := s.start(t), s.start(t)

	t.Run("a token of one is good at the other", func(t *testing.T) {
		t.Parallel()
		u := s.user(t)
		first := a.login(t, u)
		b.alive(t, first.AccessToken)
		second := b.refresh(t, first.AccessToken)
		a.alive(t, second.AccessToken)
		if again := a.refresh(t, first.AccessToken); again.AccessToken != second.AccessToken {
			t.Error("the same successor is another at the other gateway")
		}
		a.do(t, logoutCall(second.AccessToken)).want(t, http.StatusNoContent)
		b.over(t, second.AccessToken, "logged_out_or_revoked")
		s.logged(t, u.id, "login", "token_refresh", "logout (logout)")
	})
	t.Run("fifty refreshes across both", func(t *testing.T) {
		t.Parallel()
		id := newID()
		token := refreshAll(t, a.open(t, id).AccessToken, a, b)
		a.alive(t, token)
		b.alive(t, token)
		s.logged(t, id, "login", "token_refresh")
	})
	t.Run("logout at both at once", func(t *testing.T) {
		t.Parallel()
		id := newID()
		tokens := []string{a.open(t, id).AccessToken, b.open(t, id).AccessToken, a.open(t, id).AccessToken}
		var wg sync.WaitGroup
		for _, token := range tokens {
			for _, g := range []*gateway{a, b, a, b} {
				wg.Go(func() {
					if got, err := g.send(t.Context(), logoutCall(token)); err != nil || got.status != http.StatusNoContent {
						t.Errorf("%s, %v", got, err)
					}
				})
			}
		}
		wg.Wait()
		s.logged(t, id, slices.Concat(slices.Repeat([]string{"login"}, 3), slices.Repeat([]string{"logout (logout)"}, 3))...)
	})
	t.Run("keys removed by hand", func(t *testing.T) {
		t.Parallel()
		want := []string{"login", "logout (removed_in_redis)"}
		removed := make([]string, 10)
		for i := range removed {
			removed[i] = newID()
			a.open(t, removed[i])
			must(t, s.redis.Del(t.Context(), userKey(removed[i])))
		}
		for range 10 * len(removed) { // so that the removed are not too many to be believed
			b.open(t, newID())
		}
		for _, id := range removed {
			s.logged(t, id, want...)
		}
		a.runs(t, "reconcile", 2)
		b.runs(t, "reconcile", 2)
		for _, id := range removed {
			s.logged(t, id, want...)
		}
	})
}
