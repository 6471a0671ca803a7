package login

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/sessiongate/sessiongate/session"
)

func (w *world) TakeAttempt(_ context.Context, a session.Attempt, l session.Limits) (session.Limit, error) {
	w.counted = append(w.counted, "take")
	w.attempts = append(w.attempts, a)
	if l != testLimits {
		return "", fmt.Errorf("limits are %+v", l)
	}
	return session.LimitNone, w.takeErr
}

func (w *world) ForgiveAttempt(_ context.Context, a session.Attempt, _ session.Limits, under session.Limit, right bool) error {
	if !right {
		w.counted = append(w.counted, "withdraw")
		return w.forgiveErr
	}
	w.counted = append(w.counted, "forgive")
	w.forgiven = append(w.forgiven, a)
	if under != session.LimitNone {
		return fmt.Errorf("forgives under %q", under)
	}
	return w.forgiveErr
}

var testLimits = session.Limits{Account: session.Rate{Burst: 3, Every: time.Minute}, Remember: time.Hour}

func (s *setup) guard(t *testing.T) *Guard {
	t.Helper()
	s.reg = prometheus.NewRegistry()
	g, err := NewGuard(s.world, GuardOptions{
		Limits: testLimits, PrefixIPv4: 24, PrefixIPv6: 64, Key: []byte("key"),
		Log: slog.New(slog.NewTextHandler(&s.log, nil)),
	}, s.reg)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestAttempts(t *testing.T) {
	t.Parallel()
	s := newSetup(t)
	of := func(identifier, device, ip string) session.Attempt {
		return s.Guard.attempt(identifier, session.Device{ID: device}, session.Origin{IP: ip})
	}
	const device = "0123456789abcdef"
	bob := of("bob", device, "203.0.113.7")
	t.Run("all spellings of a name are one account", func(t *testing.T) {
		t.Parallel()
		for _, typed := range []string{"Bob", " bob\t", "ＢＯＢ", "bOB", "ｂｏｂ"} {
			if got := of(typed, device, "203.0.113.7"); got != bob {
				t.Errorf("%q: %+v, want %+v", typed, got, bob)
			}
		}
		if of("straße", "", "") != of("STRASSE", "", "") || of("Ⅸ", "", "") != of("ix", "", "") {
			t.Error("folding and compatibility make two accounts of one")
		}
		if got := of("bob2", device, "203.0.113.7"); got.Account == bob.Account || got.Prefix != bob.Prefix || got.Device != bob.Device {
			t.Errorf("somebody else: %+v, and bob %+v", got, bob)
		}
	})
	t.Run("a network is as wide as the settings say", func(t *testing.T) {
		t.Parallel()
		for _, ip := range []string{"203.0.113.0", "203.0.113.255"} {
			if of("bob", device, ip).Prefix != bob.Prefix {
				t.Errorf("%s is another network", ip)
			}
		}
		if of("bob", device, "203.0.112.7").Prefix == bob.Prefix {
			t.Error("203.0.112.7 is the same network")
		}
		six := of("bob", "", "2001:db8:1:2::1").Prefix
		if six != of("bob", "", "2001:db8:1:2:ffff::9").Prefix || six == of("bob", "", "2001:db8:1:3::1").Prefix {
			t.Error("an IPv6 network is not a /64")
		}
		if got := of("bob", "", ""); got.Prefix != "" || got.Account == "" {
			t.Errorf("without an address: %+v", got)
		}
	})
	t.Run("what can't be known is left out", func(t *testing.T) {
		t.Parallel()
		if got := of("bob", device[1:], ""); got.Device != "" {
			t.Errorf("a device's id that can be guessed: %+v", got)
		}
		for _, nobody := range []string{"", "a\x00b", strings.Repeat("x", 2000)} {
			if got := of(nobody, device, "203.0.113.7"); got.Account != "" || got.Prefix != bob.Prefix {
				t.Errorf("%q: %+v", nobody, got)
			}
		}
	})
	t.Run("nothing is in the clear", func(t *testing.T) {
		t.Parallel()
		for _, digest := range []string{bob.Account, bob.Device, bob.Prefix} {
			if len(digest) != 22 || strings.Contains(digest, "bob") {
				t.Errorf("digest %q", digest)
			}
		}
		other, err := NewGuard(s.world, GuardOptions{PrefixIPv4: 24, Key: []byte("other")}, prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		if got := other.attempt("bob", session.Device{}, session.Origin{}); got.Account == bob.Account {
			t.Error("the digest does not depend on the key")
		}
	})
}

func TestLoginIsGuarded(t *testing.T) {
	t.Parallel()
	t.Run("right", func(t *testing.T) {
		t.Parallel()
		s := newSetup(t)
		if _, err := s.Login(t.Context(), request("bob", password)); err != nil {
			t.Fatal(err)
		}
		if want := []string{"take", "forgive"}; !slices.Equal(s.counted, want) {
			t.Errorf("calls %v, want %v", s.counted, want)
		}
		if !reflect.DeepEqual(s.forgiven, s.attempts) {
			t.Errorf("forgiven %+v of %+v", s.forgiven, s.attempts)
		}
	})
	t.Run("wrong, whoever", func(t *testing.T) {
		t.Parallel()
		for _, who := range []string{"bob", "gone", "nobody", "stub", "\x00"} {
			s := newSetup(t)
			if _, err := s.Login(t.Context(), request(who, "wrong")); !errors.Is(err, session.ErrInvalidCredentials) {
				t.Errorf("%q: %v", who, err)
			}
			if len(s.attempts) != 1 || len(s.forgiven) > 0 || len(s.counted) != 1 {
				t.Errorf("%q: calls %v", who, s.counted)
			}
		}
	})
	t.Run("a disabled user's right password is not forgiven", func(t *testing.T) {
		t.Parallel()
		s := newSetup(t)
		if _, err := s.Login(t.Context(), request("gone", password)); !errors.Is(err, session.ErrInvalidCredentials) || len(s.forgiven) > 0 {
			t.Errorf("%v, forgiven %v", err, s.forgiven)
		}
	})
	t.Run("too many", func(t *testing.T) {
		t.Parallel()
		s := newSetup(t)
		s.takeErr = &session.RateLimitedError{By: session.LimitAccount, RetryAfter: time.Second}
		_, err := s.Login(t.Context(), request("bob", password))
		if limited, ok := errors.AsType[*session.RateLimitedError](err); !ok || limited.RetryAfter != time.Second {
			t.Errorf("error %v", err)
		}
		// Nothing is looked at, hashed or logged: it looks the same for everybody.
		if len(s.steps) > 0 || s.count.total() > 0 || len(s.events) > 0 {
			t.Errorf("steps %v, %d hashes, events %v", s.steps, s.count.total(), s.events)
		}
		if got := testutil.ToFloat64(s.Guard.limited.WithLabelValues("account")); got != 1 {
			t.Errorf("%v are counted", got)
		}
	})
	t.Run("nobody looked", func(t *testing.T) {
		t.Parallel()
		s := newSetup(t)
		s.findErr = errors.New("no database")
		if _, err := s.Login(t.Context(), request("bob", "wrong")); !errors.Is(err, session.ErrUnavailable) {
			t.Errorf("error %v", err)
		}
		if want := []string{"take", "withdraw"}; !slices.Equal(s.counted, want) || len(s.forgiven) > 0 {
			t.Errorf("calls %v, want %v", s.counted, want)
		}
	})
	t.Run("nobody can count", func(t *testing.T) {
		t.Parallel()
		s := newSetup(t)
		s.takeErr = fmt.Errorf("store: %w", session.ErrUnavailable)
		if _, err := s.Login(t.Context(), request("bob", password)); !errors.Is(err, session.ErrUnavailable) || s.count.total() > 0 {
			t.Errorf("%v after %d hashes", err, s.count.total())
		}
	})
	t.Run("forgiving fails", func(t *testing.T) {
		t.Parallel()
		s := newSetup(t)
		s.forgiveErr = session.ErrUnavailable
		if _, err := s.Login(t.Context(), request("bob", password)); err != nil || !strings.Contains(s.log.String(), "counts as a failed attempt and was none") {
			t.Errorf("%v; log %s", err, &s.log)
		}
	})
}
