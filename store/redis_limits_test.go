package store

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/session"
)

// slowly is so slow that no test sees a counter run down.
const slowly = time.Hour

var someLimits = session.Limits{
	Known:    session.Rate{Burst: 4, Every: slowly},
	Account:  session.Rate{Burst: 3, Every: slowly},
	Prefix:   session.Rate{Burst: 6, Every: slowly},
	Global:   session.Rate{Burst: 9, Every: slowly},
	Remember: time.Hour,
}

// try makes an attempt and returns the limit that it counts under, or that refused
// it.
func (f *fixture) try(a session.Attempt, l session.Limits) (by session.Limit, taken bool) {
	f.Helper()
	by, err := f.TakeAttempt(f.Context(), a, l)
	if limited, ok := errors.AsType[*session.RateLimitedError](err); ok {
		return limited.By, false
	}
	if err != nil {
		f.Fatal(err)
	}
	return by, true
}

func (f *fixture) wantTries(a session.Attempt, n int, then session.Limit) {
	f.Helper()
	for i := range n {
		if by, taken := f.try(a, someLimits); !taken {
			f.Fatalf("attempt %d of %+v is refused by %s, want %d of them", i+1, a, by, n)
		}
	}
	if by, taken := f.try(a, someLimits); taken || by != then {
		f.Fatalf("attempt %d of %+v: taken %v, %s, want it refused by %s", n+1, a, taken, by, then)
	}
}

func attempt(account, device, prefix string) session.Attempt {
	return session.Attempt{Account: account, Device: device, Prefix: prefix}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(*fixture){
		"one account, whichever network": func(f *fixture) {
			f.wantTries(attempt("bob", "", "n1"), 3, session.LimitAccount)
			f.wantTries(attempt("bob", "d9", "n2"), 0, session.LimitAccount)
			f.wantTries(attempt("ann", "", "n1"), 3, session.LimitAccount)
		},
		"one network, whichever account": func(f *fixture) {
			for i := range 6 {
				f.try(attempt(fmt.Sprint("user", i), "", "n1"), someLimits)
			}
			f.wantTries(attempt("fresh", "", "n1"), 0, session.LimitPrefix)
			f.wantTries(attempt("fresh", "", "n2"), 3, session.LimitAccount)
		},
		"everybody": func(f *fixture) {
			for i := range 9 {
				f.try(attempt(fmt.Sprint("user", i), "", fmt.Sprint("n", i)), someLimits)
			}
			f.wantTries(attempt("fresh", "", "fresh"), 0, session.LimitGlobal)
		},
		"nobody by that name": func(f *fixture) {
			f.wantTries(attempt("", "d1", "n1"), 6, session.LimitPrefix)
		},
		"no address": func(f *fixture) {
			f.wantTries(attempt("", "", ""), 9, session.LimitGlobal)
		},
		"a refused attempt takes nothing": func(f *fixture) {
			f.wantTries(attempt("bob", "", "n1"), 3, session.LimitAccount)
			for range 20 {
				f.wantTries(attempt("bob", "", "n1"), 0, session.LimitAccount)
			}
			f.wantTries(attempt("ann", "", "n1"), 3, session.LimitAccount) // n1 has had three of six
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(newFixture(t, nil))
		})
	}
}

// Nobody elsewhere can keep the owner out of where they have been before.
func TestKnownPlacesHaveTheirOwnLimit(t *testing.T) {
	t.Parallel()
	for name, owner := range map[string]struct {
		later session.Attempt
		under session.Limit
	}{
		"the same device elsewhere":        {attempt("bob", "phone", "abroad"), session.LimitDevice},
		"another device, the same network": {attempt("bob", "tablet", "home"), session.LimitNetwork},
		"no device, the same network":      {attempt("bob", "", "home"), session.LimitNetwork},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, nil)
			f.right(attempt("bob", "phone", "home"), session.LimitNone)
			// The attack: at the account, from the network, and from everywhere.
			for i := range 40 {
				f.try(attempt("bob", "", fmt.Sprint("n", i)), someLimits)
				f.try(attempt(fmt.Sprint("other", i), "", "home"), someLimits)
				f.try(attempt(fmt.Sprint("other", i), "", fmt.Sprint("m", i)), someLimits)
			}
			for _, stranger := range []session.Attempt{
				attempt("bob", "", "elsewhere"), attempt("ann", "phone", "home"), // known for bob alone
			} {
				if by, taken := f.try(stranger, someLimits); taken {
					f.Errorf("%+v is taken under %s after all that", stranger, by)
				}
			}
			f.wantTries(owner.later, 4, owner.under)
		})
	}
}

// taken makes an attempt, and returns the limit that it counts under.
func (f *fixture) taken(a session.Attempt) session.Limit {
	f.Helper()
	under, taken := f.try(a, someLimits)
	if !taken {
		f.Fatalf("%+v is refused by %s", a, under)
	}
	return under
}

// right makes an attempt that turns out to be right.
func (f *fixture) right(a session.Attempt, want session.Limit) {
	f.Helper()
	under := f.taken(a)
	if under != want {
		f.Fatalf("%+v counts under %s, want %s", a, under, want)
	}
	if err := f.ForgiveAttempt(f.Context(), a, someLimits, under, true); err != nil {
		f.Fatal(err)
	}
}

func TestRightAttemptsCostNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	for i := range 30 { // as many users of one network as there are
		f.right(attempt(fmt.Sprint("user", i), "", "office"), session.LimitNone)
	}
	for range 30 {
		f.right(attempt("user1", "", "office"), session.LimitNetwork)
	}
	f.wantTries(attempt("user1", "", "office"), 4, session.LimitNetwork)
	// One that nobody looked at costs nothing either, and makes nothing known.
	for range 10 {
		a := attempt("eve", "phone", "n9")
		if err := f.ForgiveAttempt(t.Context(), a, someLimits, f.taken(a), false); err != nil {
			t.Fatal(err)
		}
	}
	f.wantTries(attempt("eve", "phone", "n9"), 3, session.LimitAccount)
	// One that is right does not forgive those that were wrong.
	f.try(attempt("bob", "", "n1"), someLimits)
	f.try(attempt("bob", "", "n1"), someLimits)
	f.right(attempt("bob", "phone", "n1"), session.LimitNone)
	f.wantTries(attempt("bob", "", "n2"), 1, session.LimitAccount)
}

func TestLimitsRunDown(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	l := session.Limits{Account: session.Rate{Burst: 2, Every: time.Minute}}
	a := attempt("bob", "", "n1")
	key := f.keys.limits(a)[3]
	f.try(a, l)
	f.try(a, l)
	_, err := f.TakeAttempt(f.Context(), a, l)
	limited, ok := errors.AsType[*session.RateLimitedError](err)
	if !ok || limited.RetryAfter > time.Minute || limited.RetryAfter < 50*time.Second {
		t.Fatalf("third attempt: %v, want it refused for a minute less the time the first two took", err)
	}
	// A minute passes: the counter says when it will be empty, so move that.
	empty, err := f.raw.Get(f.Context(), key).Int64()
	if err != nil {
		t.Fatal(err)
	}
	f.raw.Set(f.Context(), key, strconv.FormatInt(empty-time.Minute.Milliseconds(), 10), 0)
	if _, taken := f.try(a, l); !taken {
		t.Error("a minute later one more is refused")
	}
	if _, taken := f.try(a, l); taken {
		t.Error("a minute later two more are taken")
	}
}

// What lies in Redis goes by itself, and has nobody's name in it.
func TestLimitKeysExpire(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.right(attempt("bob", "phone", "home"), session.LimitNone)
	f.try(attempt("bob", "phone", "home"), someLimits)
	f.try(attempt("bob", "tablet", "home"), someLimits)
	f.try(attempt("bob", "", "n1"), someLimits)
	keys, err := f.raw.Keys(f.Context(), f.keys.root+":*").Result()
	if err != nil {
		t.Fatal(err)
	}
	limits := 0
	for _, key := range keys {
		if strings.Contains(key, ":limit:") || strings.Contains(key, ":known:") {
			limits++
			if ttl := f.raw.PTTL(f.Context(), key).Val(); ttl <= 0 || ttl > slowly {
				t.Errorf("%s lives for %v", key, ttl)
			}
		}
	}
	if limits != 6 {
		t.Errorf("%d keys of limits among %q, want 6", limits, keys)
	}
	for i := range 2 * maxKnown {
		f.right(attempt("ann", fmt.Sprint("device", i), ""), session.LimitNone)
	}
	if n := f.raw.ZCard(f.Context(), f.keys.limits(attempt("ann", "", ""))[0]).Val(); n != maxKnown {
		t.Errorf("%d devices of one account are known, want %d", n, maxKnown)
	}
}

func TestLimitsHoldInParallel(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	l := session.Limits{Account: session.Rate{Burst: 10, Every: slowly}}
	var taken atomic.Int32
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if _, err := f.TakeAttempt(t.Context(), attempt("bob", "", "n1"), l); err == nil {
				taken.Add(1)
			}
		})
	}
	all.Wait()
	if taken.Load() != 10 {
		t.Errorf("%d of 50 at once are taken, want 10", taken.Load())
	}
}

func TestLimitsFailClosed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	a := attempt("bob", "phone", "home")
	keys := f.keys.limits(a)
	f.raw.HSet(t.Context(), keys[3], "x", "y") // by hand
	if _, err := f.TakeAttempt(t.Context(), a, someLimits); !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("a counter of another type: %v", err)
	}
	if n := f.raw.Exists(t.Context(), keys[1], keys[2], keys[4], keys[5]).Val(); n > 0 {
		t.Errorf("%d counters were written before the type was looked at", n)
	}
	if err := f.ForgiveAttempt(t.Context(), a, someLimits, session.LimitNone, true); !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("forgive: %v", err)
	}
}
