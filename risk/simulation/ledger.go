// Package simulation lives through months of a made-up population's sign-ins and
// of attacks on it, and counts what package risk says of each: how much of an
// attack it notices, and how often it bothers somebody who only bought a phone.
//
// All of it follows from a seed. What people do is an assumption that
// population.go and attacks.go spell out; docs/RISK.md has the result, and
// `make risk-report` makes it again. The program does not contain it.
package simulation

import (
	"time"

	"github.com/sessiongate/sessiongate/risk"
)

// Ledger is what is on record, as store.Postgres keeps it, in memory.
type Ledger struct {
	rules risk.Rules
	users map[string]*past
	ips   map[string][]try
}

type past struct {
	first, last time.Time
	logins      int
	devices     map[string]bool
	networks    map[string]risk.Place
	failures    []time.Time
}

type try struct {
	at   time.Time
	user string
	ok   bool
}

// NewLedger returns one without a record.
func NewLedger(rules risk.Rules) *Ledger {
	return &Ledger{rules: rules, users: map[string]*past{}, ips: map[string][]try{}}
}

func (l *Ledger) user(id string) *past {
	p := l.users[id]
	if p == nil {
		p = &past{devices: map[string]bool{}, networks: map[string]risk.Place{}}
		l.users[id] = p
	}
	return p
}

// History is what is known of a user and an address at a time.
func (l *Ledger) History(user, ip string, at time.Time) risk.History {
	p := l.user(user)
	h := risk.History{FirstLogin: p.first, Logins: p.logins, LastSeen: p.last}
	for device := range p.devices {
		h.Devices = append(h.Devices, device)
	}
	for _, n := range p.networks {
		h.Places = append(h.Places, n)
	}
	for _, failed := range p.failures {
		if at.Sub(failed) < l.rules.FailureWindow {
			h.Failures++
		}
	}
	others := map[string]bool{}
	for _, t := range l.ips[ip] {
		if t.ok && at.Sub(t.at) < l.rules.IPWindow {
			h.IP.Logins++
		}
		if at.Sub(t.at) < l.rules.FailureWindow {
			h.IP.Tries++
			if !t.ok {
				h.IP.Failures++
			}
			if t.user != user {
				others[t.user] = true
			}
		}
	}
	h.IP.RecentUsers = len(others)
	return h
}

// Assess weighs an attempt by what is on record.
func (l *Ledger) Assess(user string, a risk.Attempt) risk.Assessment {
	return risk.Assess(l.History(user, a.Origin.IP, a.At), a, l.rules)
}

// Login puts a sign-in on record.
func (l *Ledger) Login(user string, a risk.Attempt) {
	p := l.user(user)
	if p.logins++; p.logins == 1 {
		p.first = a.At
	}
	for _, key := range risk.DeviceKeys(a.Device, a.Origin.UserAgent) {
		p.devices[key] = true
	}
	l.Seen(user, a)
	l.try(a.Origin.IP, try{a.At, user, true})
}

// Seen puts it on record that the user was somewhere: a refresh that is nothing
// out of the ordinary.
func (l *Ledger) Seen(user string, a risk.Attempt) {
	p := l.user(user)
	p.last = a.At
	if a.Origin.Country != "" || a.Origin.ASN != 0 {
		network := risk.Network(a.Origin.IP)
		p.networks[network] = risk.Place{
			Network: network, Country: a.Origin.Country, ASN: a.Origin.ASN, LastSeen: a.At, Where: a.Where,
		}
	}
}

// Failed puts a failed attempt on record; user is "" where nobody has that name.
func (l *Ledger) Failed(user string, a risk.Attempt) {
	if user != "" {
		p := l.user(user)
		p.failures = append(p.failures, a.At)
	}
	l.try(a.Origin.IP, try{a.At, user, false})
}

// try keeps the attempts from an address that still count, the last 500 at most.
func (l *Ledger) try(ip string, t try) {
	all := append(l.ips[ip], t)
	for len(all) > 0 && (len(all) > 500 || t.at.Sub(all[0].at) > l.rules.IPWindow) {
		all = all[1:]
	}
	l.ips[ip] = all
}

// Forget drops what is older than keep, as the job forget_history does. Devices
// carry no time here; the store forgets those as well.
func (l *Ledger) Forget(at time.Time, keep time.Duration) {
	for _, p := range l.users {
		for key, n := range p.networks {
			if at.Sub(n.LastSeen) > keep {
				delete(p.networks, key)
			}
		}
	}
}
