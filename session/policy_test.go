package session

import (
	"testing"
	"time"
)

func TestLimits(t *testing.T) {
	t.Parallel()
	d := func(d time.Duration) *time.Duration { return &d }
	p := Policy{
		TTL: 30 * time.Minute, Absolute: 720 * time.Hour, Remember: 48 * time.Hour,
		Rules: []Rule{
			{Role: "admin", Idle: d(15 * time.Minute), Remember: d(0)},
			{Role: "ops", Idle: d(10 * time.Minute), Absolute: d(12 * time.Hour)},
			{ClientID: "kiosk", TTL: d(5 * time.Minute), Idle: d(0)},
			{ClientID: "tv", TTL: d(time.Hour), Absolute: d(0), Remember: d(96 * time.Hour)},
			{ClientID: "tv", Role: "guest", Absolute: d(24 * time.Hour), Remember: d(72 * time.Hour)},
		},
	}
	base := Lifetimes{TTL: p.TTL, Absolute: p.Absolute, Remember: p.Remember}
	tests := []struct {
		name, client string
		roles        []string
		want         Lifetimes
	}{
		{"nothing matches", "app", []string{"user"}, base},
		{"a role", "app", []string{"user", "admin"}, Lifetimes{p.TTL, 15 * time.Minute, p.Absolute, 0}},
		{"two roles: the strictest of each limit", "app", []string{"admin", "ops"}, Lifetimes{p.TTL, 10 * time.Minute, 12 * time.Hour, 0}},
		{"their order makes no difference", "app", []string{"ops", "admin"}, Lifetimes{p.TTL, 10 * time.Minute, 12 * time.Hour, 0}},
		{"a client", "kiosk", nil, Lifetimes{5 * time.Minute, 0, p.Absolute, p.Remember}},
		{"no limit gives way to one", "kiosk", []string{"ops"}, Lifetimes{5 * time.Minute, 10 * time.Minute, 12 * time.Hour, p.Remember}},
		{"a rule may be more generous than the default", "tv", nil, Lifetimes{time.Hour, 0, 0, 96 * time.Hour}},
		{"a client and a role", "tv", []string{"guest"}, Lifetimes{time.Hour, 0, 24 * time.Hour, 72 * time.Hour}},
		{"a rule for both is not one for the role", "app", []string{"guest"}, base},
	}
	for _, tt := range tests {
		if got := p.Lifetimes(tt.client, tt.roles); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
	if got := p.MaxTTL(); got != time.Hour {
		t.Errorf("the longest life of a token is %v, want 1h", got)
	}
}
