package session

import (
	"testing"
	"time"
)

func TestTokenIsAFunctionOfTheSession(t *testing.T) {
	t.Parallel()
	born := time.Date(2026, 11, 24, 4, 20, 0, 999_000_000, time.UTC)
	s := Session{ID: NewID(born), UserID: "42", CreatedAt: born, RotatedAt: born, AuthTime: born, ExpiresAt: born.Add(time.Hour)}
	first := s.Token()
	if again := s.Token(); again.ID != first.ID {
		t.Errorf("jti is %s and then %s", first.ID, again.ID)
	}
	if want := born.Truncate(time.Second); !first.IssuedAt.Equal(want) || !first.AuthTime.Equal(want) {
		t.Errorf("iat %v, auth_time %v; want %v", first.IssuedAt, first.AuthTime, want)
	}
	seen := map[string]bool{first.ID: true}
	for name, change := range map[string]func(*Session){
		"generation": func(s *Session) { s.Generation++ },
		"rotation":   func(s *Session) { s.RotatedAt = s.RotatedAt.Add(time.Second) },
		"session":    func(s *Session) { s.ID = NewID(born) },
	} {
		other := s
		change(&other)
		if id := other.Token().ID; seen[id] {
			t.Errorf("another %s has the jti of a token before", name)
		} else {
			seen[id] = true
		}
	}
}

func TestRefreshIn(t *testing.T) {
	t.Parallel()
	p := Policy{TTL: 30 * time.Minute, RefreshAfter: 25 * time.Minute, Jitter: 0.05}
	const m = time.Minute
	for _, tc := range []struct {
		name                string
		lifetime, remaining time.Duration
		random              float64
		want                time.Duration
	}{
		{"a fresh token", 30 * m, 30 * m, 0, 25 * m},
		{"with all the jitter", 30 * m, 30 * m, 1, 25*m - 75*time.Second},
		{"ten minutes old", 30 * m, 20 * m, 0, 15 * m},
		{"overdue", 30 * m, 2 * m, 0, 0},
		{"cut short by the absolute deadline", 6 * m, 6 * m, 0, 5 * m},
		{"nearly over", time.Second, time.Second, 0, 0},
	} {
		got := p.RefreshIn(tc.lifetime, tc.remaining, tc.random)
		if got != tc.want || got >= tc.remaining {
			t.Errorf("%s: %v of %v, want %v", tc.name, got, tc.remaining, tc.want)
		}
	}
}
