package e2e

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// limited is a gateway that believes its tests' X-Forwarded-For, with these bursts
// and so slow a refill that no test sees one.
func (s *stack) limited(t *testing.T, known, account, prefix, global int) *gateway {
	t.Helper()
	settings := []string{
		"SESSIONGATE_HTTP_TRUSTED_PROXIES=127.0.0.1",
		"SESSIONGATE_PASSWORDS_MAX_WAIT=50s", "SESSIONGATE_HTTP_REQUEST_TIMEOUT=1m", // all guesses get their turn
	}
	for name, burst := range map[string]int{"KNOWN": known, "ACCOUNT": account, "PREFIX": prefix, "GLOBAL": global} {
		settings = append(settings, fmt.Sprintf("SESSIONGATE_LIMITS_%s_BURST=%d", name, burst), "SESSIONGATE_LIMITS_"+name+"_EVERY=1h")
	}
	return s.start(t, settings...)
}

// from is a sign-in from an address, with a device's id if that is not "".
func from(address, device, identifier, password string) call {
	c := loginCall(identifier, password).with("X-Forwarded-For", address)
	c.json.(object)["device_info"] = object{"id": device}
	return c
}

// wantLimited fails the test unless the answer is 429.
func wantLimited(t testing.TB, a answer) {
	t.Helper()
	a.problem(t, http.StatusTooManyRequests, "rate_limited", "")
	if n, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || n < 1 || n > 3600 {
		t.Errorf("%s: Retry-After is %q", a, a.header.Get("Retry-After"))
	}
}

func TestF63BruteForce(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.limited(t, 5, 5, 30, 100)
	const ownPhone = "the-owner's-own-phone"
	owner := s.user(t)
	g.do(t, from("192.0.2.10", ownPhone, owner.identifier, password)).want(t, http.StatusCreated)

	// Each from another network, in every spelling there is, fifty at once.
	spellings := []string{owner.identifier, strings.ToUpper(owner.identifier), " " + owner.identifier + " ", wide(owner.identifier)}
	answers := make([]answer, 50)
	var attack sync.WaitGroup
	for i := range answers {
		attack.Go(func() {
			a, err := g.send(t.Context(), from(fmt.Sprintf("198.51.%d.1", i), "", spellings[i%4], wrongPassword))
			if err != nil {
				t.Error(err)
			}
			answers[i] = a
		})
	}
	attack.Wait()
	refused := 0
	for _, a := range answers {
		switch a.status {
		case http.StatusUnauthorized:
			refused++
		default:
			wantLimited(t, a)
		}
	}
	if refused != 5 {
		t.Errorf("%d of 50 guesses were looked at, want 5", refused)
	}
	// The right password does not help a stranger now, and none is told from another.
	wantLimited(t, g.do(t, from("203.0.113.1", "", owner.identifier, password)))

	// The owner gets in from where they have been before: their phone anywhere, and
	// anything in their network. Only they can use that up.
	g.do(t, from("203.0.113.99", ownPhone, owner.identifier, password)).want(t, http.StatusCreated)
	g.do(t, from("192.0.2.77", "", owner.identifier, password)).want(t, http.StatusCreated)
	for range 5 {
		g.do(t, from("203.0.113.99", ownPhone, owner.identifier, wrongPassword)).want(t, http.StatusUnauthorized)
	}
	wantLimited(t, g.do(t, from("203.0.113.99", ownPhone, owner.identifier, password)))
	g.do(t, from("192.0.2.77", "", owner.identifier, password)).want(t, http.StatusCreated)

	// Every 401 has its row, and no 429 has one.
	want := slices.Repeat([]string{"login! wrong password"}, 10)
	s.logged(t, owner.id, append(want, "login", "login", "login", "login")...)
	metrics := g.do(t, get("/metrics", "")).want(t, http.StatusOK).body
	for _, line := range []string{
		`sessiongate_login_limited_total{limit="account"} 46`, `sessiongate_login_limited_total{limit="device"} 1`,
	} {
		if !strings.Contains(metrics, "\n"+line+"\n") {
			t.Errorf("the metrics have no line %s", line)
		}
	}
	checkLimitKeys(t, s, owner)
}

// wide spells letters as Japanese typewriters do.
func wide(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return r + 0xFEE0
		}
		return r
	}, s)
}

// checkLimitKeys: what the limits keep goes by itself, and tells nobody who tried.
func checkLimitKeys(t *testing.T, s *stack, u user) {
	t.Helper()
	keys := append(must(t, s.redis.Keys(t.Context(), "sg:{0}:limit:*")), must(t, s.redis.Keys(t.Context(), "sg:{0}:known:*"))...)
	if len(keys) < 5 {
		t.Errorf("limits are in %q", keys)
	}
	for _, key := range keys {
		if strings.Contains(key, u.identifier) || strings.Contains(key, u.id) || strings.Contains(key, "198.51") {
			t.Errorf("the key %q says who it is about", key)
		}
		if ttl := must(t, s.redis.TTL(t.Context(), key)); ttl <= 0 {
			t.Errorf("%s stays for ever", key)
		}
	}
}

// Spraying: one guess at each of many accounts.
func TestF63Spraying(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.limited(t, 5, 5, 8, 20)
	looked := map[string]int{}
	guess := func(network, address string) {
		if a := g.do(t, from(address, "", newID(), wrongPassword)); a.status == http.StatusUnauthorized {
			looked[network]++
		} else {
			wantLimited(t, a)
		}
	}
	for i := range 12 {
		guess("a /24", fmt.Sprintf("198.51.100.%d", i))
	}
	for i := range 12 {
		guess("a /64", fmt.Sprintf("2001:db8:0:1:%x::1", i))
	}
	for i := range 12 {
		guess("everywhere", fmt.Sprintf("203.%d.113.9", i))
	}
	for network, want := range map[string]int{"a /24": 8, "a /64": 8, "everywhere": 4} {
		if looked[network] != want {
			t.Errorf("from %s %d guesses were looked at, want %d", network, looked[network], want)
		}
	}
	// Who signs in costs nothing: an office is one network.
	office := newStack(t).limited(t, 2, 2, 2, 3)
	for range 6 {
		u := office.stack.user(t)
		office.do(t, from("192.0.2.1", "", u.identifier, password)).want(t, http.StatusCreated)
	}
}

// Counting is not possible, so guessing is not either.
func TestF63LimitsFailClosed(t *testing.T) {
	t.Parallel()
	s, redis := ownRedis(t)
	g := s.limited(t, 5, 5, 30, 100)
	u := s.user(t)
	if err := redis.Stop(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := redis.Start(context.Background()); err != nil { // the stack looks for secrets in it
			t.Error(err)
		}
	}()
	for _, pw := range []string{password, wrongPassword} {
		g.do(t, loginCall(u.identifier, pw)).problem(t, http.StatusServiceUnavailable, "store_unavailable", "")
	}
}

// F64: nobody can tell by the clock whether there is such a user. Each round tries all
// three kinds, in turn, so that whatever else the machine does meets them alike; then
// two kinds are alike if a try of the one is as likely to be the slower as one of
// the other (Mann-Whitney).
func testF64SameTime(t *testing.T, g *gateway) {
	known, disabled := g.stack.user(t), g.stack.user(t)
	g.stack.exec(t, "UPDATE users SET is_active = false WHERE id = $1", disabled.id)
	kinds := []struct {
		name                 string
		identifier, password string
	}{
		{"wrong password", known.identifier, wrongPassword},
		{"disabled, right password", disabled.identifier, password},
		{"disabled, wrong password", disabled.identifier, wrongPassword},
		{"unknown", "", wrongPassword},
		{"impossible", "a\u0000b", wrongPassword},
	}
	// A machine that others use may be unfair for a while, not for ever.
	const rounds, tolerance, tries = 60, 0.2, 3 // four standard deviations of the statistic
	var took [5][]time.Duration
	measure := func() error {
		took = [5][]time.Duration{}
		for round := range rounds {
			for i := range kinds {
				k := (i + round) % len(kinds)
				identifier := kinds[k].identifier
				if identifier == "" {
					identifier = newID()
				}
				a := g.do(t, loginCall(identifier, kinds[k].password)).want(t, http.StatusUnauthorized)
				took[k] = append(took[k], a.took)
			}
		}
		for k := 1; k < len(kinds); k++ {
			if p := slower(took[k], took[0]); math.Abs(p-0.5) > tolerance {
				return fmt.Errorf("%q is slower than %q in %.2f of all pairs, want 0.5 or less than %.1f from it; medians %v, %v",
					kinds[k].name, kinds[0].name, p, tolerance, median(took[k]), median(took[0]))
			}
		}
		return nil
	}
	err := measure()
	for range tries - 1 {
		if err == nil {
			break
		}
		err = measure()
	}
	if err != nil {
		t.Errorf("in each of %d tries: %v", tries, err)
	}
	for k := range kinds {
		t.Logf("%s: median %v", kinds[k].name, median(took[k]))
	}
}

// slower is how likely one of a is slower than one of b: the statistic U of Mann and
// Whitney, as a share.
func slower(a, b []time.Duration) float64 {
	n := 0.0
	for _, x := range a {
		for _, y := range b {
			switch {
			case x > y:
				n++
			case x == y:
				n += 0.5
			}
		}
	}
	return n / float64(len(a)*len(b))
}

func median(d []time.Duration) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return d[len(d)/2]
}
