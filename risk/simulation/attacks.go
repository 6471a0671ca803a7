package simulation

import (
	"time"

	"github.com/sessiongate/sessiongate/risk"
	"github.com/sessiongate/sessiongate/session"
)

// attack is one on one victim, at a time. Nothing of it goes on record but what
// comes before the success, since each is to be judged as the first.
type attack struct {
	name string
	what string
	run  func(w *world, p *person, at time.Time) risk.Assessment
}

// attacks are those that sessions and passwords meet. The attacker always has the
// right password, or the token.
var attacks = []attack{
	{"stuffing", "a list of stolen passwords, from rented servers: hundreds of tries from an address, a script", func(w *world, p *person, at time.Time) risk.Assessment {
		from := spot{address(hostASN, w.IntN(500), w.IntN(250)), hostASN, cities[w.IntN(len(cities))]}
		script := device{agent: "python-requests/2.32.3"}
		for i := range 60 {
			w.ledger.Failed("", from.attempt(at.Add(time.Duration(i-60)*time.Second), script))
		}
		return w.ledger.Assess(p.id, from.attempt(at, script))
	}},
	{"stuffing, browser", "the same, passing for a browser", func(w *world, p *person, at time.Time) risk.Assessment {
		from := spot{address(hostASN, w.IntN(500), w.IntN(250)), hostASN, cities[w.IntN(len(cities))]}
		d := w.newComputer()
		for i := range 60 {
			w.ledger.Failed("", from.attempt(at.Add(time.Duration(i-60)*time.Second), d))
		}
		return w.ledger.Assess(p.id, from.attempt(at, d))
	}},
	{"stuffing, proxies", "one try from each home of a botnet, anywhere in the world", func(w *world, p *person, at time.Time) risk.Assessment {
		return w.ledger.Assess(p.id, w.lineIn(cities[w.IntN(len(cities))]).attempt(at, w.newComputer()))
	}},
	{"guessing", "some twenty guesses, then the right one", func(w *world, p *person, at time.Time) risk.Assessment {
		from, d := w.lineIn(cities[w.IntN(len(cities))]), w.newComputer()
		for i := range 20 {
			w.ledger.Failed(p.id, from.attempt(at.Add(time.Duration(i-20)*20*time.Second), d))
		}
		return w.ledger.Assess(p.id, from.attempt(at, d))
	}},
	{"phishing, abroad", "a password that was given away, used in another country", func(w *world, p *person, at time.Time) risk.Assessment {
		in := cities[w.IntN(len(cities))]
		for in.country == p.home.country {
			in = cities[w.IntN(len(cities))]
		}
		return w.ledger.Assess(p.id, w.lineIn(in).attempt(at, w.newComputer()))
	}},
	{"phishing, same country", "the same, through a proxy in the victim's own city", func(w *world, p *person, at time.Time) risk.Assessment {
		return w.ledger.Assess(p.id, w.lineIn(p.home).attempt(at, w.newComputer()))
	}},
	{"resold account", "four strangers within the hour, in four countries", func(w *world, p *person, at time.Time) risk.Assessment {
		var last risk.Assessment
		for i := range 4 {
			a := w.lineIn(cities[(w.IntN(4)+4*i)%len(cities)]).attempt(at.Add(time.Duration(10*i)*time.Minute), w.newComputer())
			last = w.ledger.Assess(p.id, a)
			w.ledger.Seen(p.id, a)
		}
		return last
	}},
	{"stolen token, other browser", "a token from a log or a disk, refreshed elsewhere", func(w *world, p *person, _ time.Time) risk.Assessment {
		return w.stolen(p, cities[w.IntN(len(cities))], w.newComputer().agent, false)
	}},
	{"stolen token, same browser", "the same, with the victim's user agent copied, in another country", func(w *world, p *person, _ time.Time) risk.Assessment {
		in := cities[w.IntN(len(cities))]
		for in.country == p.home.country {
			in = cities[w.IntN(len(cities))]
		}
		return w.stolen(p, in, p.computer.agent, false)
	}},
	{"stolen token, used twice", "thief and victim both refresh: the older token comes again", func(w *world, p *person, _ time.Time) risk.Assessment {
		return w.stolen(p, p.home, p.computer.agent, true)
	}},
}

// stolen refreshes a session of the victim's computer from elsewhere.
func (w *world) stolen(p *person, in city, agent string, reused bool) risk.Assessment {
	there := w.lineIn(in)
	return risk.AssessRefresh(risk.Refresh{
		Began:      session.Place{IP: p.line.ip, Country: p.line.in.country, ASN: p.line.asn},
		Now:        session.Place{IP: there.ip, Country: there.in.country, ASN: there.asn},
		BeganAgent: p.computer.agent, NowAgent: agent, Reused: reused,
	}, w.ledger.rules)
}
