package simulation

import (
	"maps"
	"math/rand/v2"
	"time"

	"github.com/sessiongate/sessiongate/risk"
	"github.com/sessiongate/sessiongate/session"
)

// Scores counts assessments by what was in them.
type Scores struct {
	Name, What string
	Total      int
	Signals    map[string]int
	scores     []int
}

// At is how many scored at least so much.
func (s *Scores) At(threshold int) int {
	n := 0
	for _, score := range s.scores {
		if score >= threshold {
			n++
		}
	}
	return n
}

// Share is that as a part of all, 0 to 1.
func (s *Scores) Share(threshold int) float64 {
	return float64(s.At(threshold)) / float64(max(s.Total, 1))
}

func newScores(name, what string) *Scores {
	return &Scores{Name: name, What: what, Signals: map[string]int{}}
}

func (s *Scores) add(a risk.Assessment) {
	s.Total++
	s.scores = append(s.scores, a.Score)
	for _, found := range a.Signals {
		s.Signals[found.Name]++
	}
}

// Result is what came of a life.
type Result struct {
	Seed              uint64
	Users, Days       int
	Logins, Refreshes *Scores // of people
	Attacks           []*Scores
}

// Options say how long and how large a life is.
type Options struct {
	Seed    uint64
	Users   int
	Days    int
	Attacks int // of each kind
	Rules   risk.Rules
	NoGeo   bool // as without geo.files
}

// Run lives through it. The same options give the same result.
func Run(o Options) *Result {
	w := &world{
		Rand: rand.New(rand.NewPCG(o.Seed, 42)), ledger: NewLedger(o.Rules), days: o.Days,
		start: time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC),
	}
	w.populate(o.Users)
	r := &Result{
		Seed: o.Seed, Users: o.Users, Days: o.Days,
		Logins: newScores("sign-ins", ""), Refreshes: newScores("refreshes", ""),
	}
	for _, a := range attacks {
		r.Attacks = append(r.Attacks, newScores(a.name, a.what))
	}
	for day := range o.Days {
		for _, p := range w.people {
			w.change(p)
			if p.sleeps > 0 && day >= p.sleeps && day < p.sleeps+200 {
				continue
			}
			if w.chance(1 / p.everyDays) {
				w.live(p, day, r, o.NoGeo)
			}
		}
		if day%30 == 29 {
			w.ledger.Forget(w.start.AddDate(0, 0, day), 90*24*time.Hour)
		}
		if day >= o.Days/2 {
			w.strike(r, day, o)
		}
	}
	return r
}

// live is a sign-in of a person, perhaps after a few typing mistakes, and two
// refreshes of the session from wherever they go next.
func (w *world) live(p *person, day int, r *Result, noGeo bool) {
	at := w.start.AddDate(0, 0, day).Add(time.Duration(6*60+w.IntN(17*60)) * time.Minute)
	if !at.After(w.ledger.user(p.id).last) {
		at = w.ledger.user(p.id).last.Add(time.Minute)
	}
	from, with := w.whereabouts(p, day)
	a := hide(from.attempt(at, with), noGeo)
	for range w.mistakes() {
		w.ledger.Failed(p.id, a)
	}
	r.Logins.add(w.ledger.Assess(p.id, a))
	w.ledger.Login(p.id, a)
	for i := range 2 {
		if with == p.phone {
			from = w.next(p, day, from)
		}
		at = at.Add(time.Duration(25*(i+1)) * time.Minute)
		b := hide(from.attempt(at, with), noGeo)
		found := risk.AssessRefresh(risk.Refresh{
			Began: place(a), Now: place(b), BeganAgent: a.Origin.UserAgent, NowAgent: b.Origin.UserAgent,
		}, w.ledger.rules)
		r.Refreshes.add(found)
		if found.Score < w.ledger.rules.NotifyAt {
			w.ledger.Seen(p.id, b)
		}
	}
}

// next is where a telephone is 25 minutes later: mostly where it was, sometimes on
// the street, now and then with its VPN switched on.
func (w *world) next(p *person, day int, here spot) spot {
	switch x := w.Float64(); {
	case x < 0.6:
		return here
	case x < 0.97 || !p.usesVPN:
		in := p.home
		for _, t := range p.away {
			if day >= t.from && day <= t.to {
				in = t.in
			}
		}
		return w.cell(p, in)
	}
	return p.vpn
}

// mistakes are those before a sign-in.
func (w *world) mistakes() int {
	switch x := w.Float64(); {
	case x < 0.9:
		return 0
	case x < 0.997:
		return 1 + w.IntN(3)
	}
	return 5 + w.IntN(4) // forgotten
}

// strike attacks people who have been there for a while, a part of all attacks each
// day.
func (w *world) strike(r *Result, day int, o Options) {
	days := o.Days - o.Days/2
	today := (day - o.Days/2 + 1) * o.Attacks / days
	for i, a := range attacks {
		for r.Attacks[i].Total < today {
			p := w.people[w.IntN(len(w.people))]
			before := w.ledger.user(p.id)
			if before.logins < o.Rules.LearnLogins {
				continue
			}
			at := w.start.AddDate(0, 0, day+1).Add(time.Duration(w.IntN(6*60)) * time.Minute)
			saved := before.copy()
			r.Attacks[i].add(a.run(w, p, at))
			w.ledger.users[p.id] = saved
		}
	}
}

// copy is the record as it is, for after an attack: the people of this world are
// not to be judged by what an attacker did.
func (p *past) copy() *past {
	c := *p
	c.networks = map[string]risk.Place{}
	maps.Copy(c.networks, p.networks)
	c.failures = append([]time.Time(nil), p.failures...)
	return &c
}

func place(a risk.Attempt) session.Place { return a.Origin.Place() }

// hide takes away what only the operator's files know.
func hide(a risk.Attempt, noGeo bool) risk.Attempt {
	if noGeo {
		a.Origin.Country, a.Origin.ASN, a.Where = "", 0, risk.Point{}
	}
	return a
}
