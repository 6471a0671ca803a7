package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func aRefreshToken() RefreshToken {
	return NewRefreshToken(7, NewID(time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)))
}

func TestRefreshTokenText(t *testing.T) {
	t.Parallel()
	first := aRefreshToken()
	text := first.Next(NewSeed()).Text()
	got, err := ParseRefreshToken(text)
	if err != nil || got.Text() != text || got.GrantID != first.GrantID || got.Generation != 1 || got.Partition != 7 {
		t.Fatalf("%#v, error %v", got, err)
	}
	wrong := []string{"", "sgr_", text + "A", "sgr_" + text, strings.ToUpper(text), " " + text, text + "=", text + "\n"}
	for i := range text {
		wrong = append(wrong, text[:i])
	}
	for _, s := range wrong {
		if got, err := ParseRefreshToken(s); !errors.Is(err, ErrInvalidToken) {
			t.Errorf("%q is taken for %v, error %v", s, got.GrantID, err)
		}
	}
}

func TestRefreshTokenIsHidden(t *testing.T) {
	t.Parallel()
	token := aRefreshToken()
	s := Session{Refresh: token}
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{fmt.Sprint(s), fmt.Sprintf("%+v", s), fmt.Sprintf("%#v", s), string(b)} {
		if !strings.Contains(shown, "(hidden)") || strings.Contains(shown, token.Text()[20:]) || strings.Contains(shown, fmt.Sprint(token.Secret)) {
			t.Errorf("shown: %s", shown)
		}
	}
}

// TestRefreshTokenChain: each token leads to those after it and to no others, and
// only with the seed.
func TestRefreshTokenChain(t *testing.T) {
	t.Parallel()
	seed := NewSeed()
	chain := []RefreshToken{aRefreshToken()}
	for range 4 {
		chain = append(chain, chain[len(chain)-1].Next(seed))
	}
	current := chain[3]
	g := &Grant{ID: current.GrantID, Generation: 3, Digest: current.Digest(), Seed: seed}
	for i, token := range chain {
		if got, want := token.Leads(g), i < 3; got != want {
			t.Errorf("token %d leads to the current one: %v, want %v", i, got, want)
		}
		if got, want := g.Names(token), i <= 3; got != want {
			t.Errorf("token %d is the grant's: %v, want %v", i, got, want)
		}
	}
	forged := chain[1]
	forged.Secret[0] ^= 1
	aged := current
	aged.Generation = 1
	other := aRefreshToken()
	for name, token := range map[string]RefreshToken{"a bit is changed": forged, "it says it is older": aged, "of another grant": other} {
		if token.Leads(g) || g.Names(token) {
			t.Errorf("%s: taken for one of the grant's", name)
		}
	}
	if chain[1].Leads(&Grant{ID: g.ID, Generation: 3, Digest: g.Digest, Seed: NewSeed()}) {
		t.Error("it leads there with another seed")
	}
}
