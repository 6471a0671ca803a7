package gateways

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"
)

// running is a gateway that has been started.
type running struct {
	*recipe
	url string
}

// TestRecipes puts every gateway through the matrix. What happens to sessiongate and
// its Redis happens to all of them at once, so the parts follow each other.
func TestRecipes(t *testing.T) {
	g, a := startGate(t), startApplication(t)
	all := make([]running, len(recipes))
	for i := range recipes {
		all[i] = running{&recipes[i], recipes[i].start(t, g, a)}
	}
	report := newReport()
	t.Cleanup(func() { report.publish(t) })
	part := func(name string, f func(t *testing.T, by running)) {
		t.Run(name, func(t *testing.T) {
			for _, by := range all {
				t.Run(by.name, func(t *testing.T) {
					t.Parallel()
					f(t, by)
				})
			}
		})
	}
	known, outage, away := g.situations(t)
	part("known", func(t *testing.T, by running) { by.matrix(t, a, report, known) })
	part("lag", func(t *testing.T, by running) { by.measureLag(t, g, report) })
	if err := g.redis.Stop(); err != nil {
		t.Fatal(err)
	}
	part(outage.name, func(t *testing.T, by running) { by.matrix(t, a, report, []situation{outage}) })
	if err := g.redis.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := g.answers("http://"+g.addr+"/readyz", http.StatusOK); err != nil {
		t.Fatal(err)
	}
	back := outage
	back.name, back.status = "Redis back", http.StatusOK
	part(back.name, func(t *testing.T, by running) { by.matrix(t, a, report, []situation{back}) })
	g.end()
	part(away.name, func(t *testing.T, by running) { by.matrix(t, a, report, []situation{away}) })
}

// situations are those in which sessiongate knows, and two in which nobody does, with
// sessions that no gateway has asked about before.
func (g *gate) situations(t *testing.T) (known []situation, outage, away situation) {
	t.Helper()
	const orders, adminPath = "/orders/7", "/admin/users"
	good, poor := g.open(t, full), g.open(t, bare)
	known = []situation{
		{name: "good", status: http.StatusOK, path: orders, of: good, bare: poor},
		{name: "missing", status: http.StatusUnauthorized, path: orders},
		{name: "garbage", status: http.StatusUnauthorized, path: orders, of: session{Token: "gar.ba.ge"}},
		{name: "expired", status: http.StatusUnauthorized, path: orders, of: g.expired(t)},
		{name: "revoked", status: http.StatusUnauthorized, path: orders, of: g.revoked(t)},
		{name: "superseded", status: http.StatusUnauthorized, path: orders, of: g.superseded(t)},
		{name: "forbidden", status: http.StatusForbidden, path: adminPath, of: good, bare: poor},
		{name: "permitted", status: http.StatusOK, path: adminPath, of: g.open(t, admin)},
	}
	unknown := func(name string) situation {
		return situation{
			name: name, status: http.StatusServiceUnavailable, path: orders,
			of: g.open(t, full), bare: g.open(t, bare),
		}
	}
	outage, away = unknown("Redis stopped"), unknown("no sessiongate")
	away.away = true
	return known, outage, away
}

// matrix sends all variants of each situation at once: a gateway must not mix them up
// either.
func (by running) matrix(t *testing.T, a *application, to *report, all []situation) {
	for _, s := range all {
		var requests sync.WaitGroup
		for _, v := range variants {
			requests.Go(func() { by.try(t, a, to, &s, v) })
		}
		requests.Wait()
	}
}

func (by running) try(t *testing.T, a *application, to *report, s *situation, v variant) {
	r := s.request(v, by.recipe)
	id := fmt.Sprintf("%s/%s/%s", by.name, s.name, v.name)
	got, err := r.send(t.Context(), by.url, id)
	if err == nil {
		saw, passed := a.saw(id)
		err = r.check(got, saw, passed)
	}
	if err != nil {
		t.Errorf("%s, %s: %v", s.name, v.name, err)
	}
	to.result(by.name, s.name, v.name, got.status, err == nil)
}

// measurements of the lag; the worst counts.
const measurements = 5

// measureLag ends sessions that the gateway has just let through, and asks until it
// refuses.
func (by running) measureLag(t *testing.T, g *gate, to *report) {
	worst := time.Duration(0)
	for range measurements {
		s := g.open(t, full)
		if a := by.ask(t, s); a.status != http.StatusOK {
			t.Fatalf("a good token: status %d", a.status)
		}
		ended := g.logout(t, s)
		asked := by.untilRefused(t, s, ended)
		if lag := asked.Sub(ended); lag > by.lag && by.lag > 0 {
			t.Errorf("let through until %v after the logout, may be %v", lag, by.lag)
		}
		worst = max(worst, time.Since(ended))
	}
	to.lag(by.name, by.lag, worst)
}

func (by running) ask(t *testing.T, s session) answer {
	t.Helper()
	r := request{method: http.MethodGet, path: "/orders/7", header: http.Header{}}
	r.bear(s)
	a, err := r.send(t.Context(), by.url, t.Name())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// untilRefused returns when the last request that was let through was sent. Where
// nothing may be let through, the first has to be refused.
func (by running) untilRefused(t *testing.T, s session, ended time.Time) time.Time {
	t.Helper()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	last := ended
	for {
		sent := time.Now()
		a := by.ask(t, s)
		switch {
		case a.status == http.StatusUnauthorized:
			return last
		case a.status != http.StatusOK || by.lag == 0 || sent.Sub(ended) > patience:
			t.Fatalf("%v after the logout: status %d", sent.Sub(ended), a.status)
		}
		last = sent
		<-poll.C
	}
}
