package session

import (
	"slices"
	"time"
)

// Policy is how long sessions live and how their tokens rotate.
type Policy struct {
	TTL          time.Duration // of a token and of the session, from each refresh
	RefreshAfter time.Duration // when clients should refresh; less than TTL
	Jitter       float64       // clients are told up to this share earlier, 0 to 1
	Grace        time.Duration // how long the previous token is good once its successor is in use
	Idle         time.Duration // how long a user may do nothing; 0: no limit
	Absolute     time.Duration // longest life of a session whatever happens; 0: no limit
	Remember     time.Duration // how long a device is remembered that asks for it; 0: none is
	MaxPerUser   int           // sessions at once; devices remembered at once
	DenyMore     bool          // beyond MaxPerUser a login is refused; else the oldest is evicted
	Rules        []Rule        // what differs for some sessions
}

// A Rule says what differs for the sessions of a client, of users with a role, or
// of users with the role at that client. What is nil stays as it is.
type Rule struct {
	ClientID, Role                string // "" for any
	TTL, Idle, Absolute, Remember *time.Duration
}

// Lifetimes are how long one session may live, and its device be remembered; as in
// Policy.
type Lifetimes struct {
	TTL, Idle, Absolute, Remember time.Duration
}

// Lifetimes returns what applies to a session of the client for a user with these
// roles. A limit comes from the rules that match and set it, the strictest of them,
// whatever their order: a second role never gives somebody more time. Where no rule
// sets it, it is the policy's own; so a rule may be more generous than that.
func (p *Policy) Lifetimes(clientID string, roles []string) Lifetimes {
	l := Lifetimes{TTL: p.TTL, Idle: p.Idle, Absolute: p.Absolute, Remember: p.Remember}
	var set [4]bool
	for i := range p.Rules {
		r := &p.Rules[i]
		if r.ClientID != "" && r.ClientID != clientID || r.Role != "" && !slices.Contains(roles, r.Role) {
			continue
		}
		stricter(&l.TTL, r.TTL, &set[0], false)
		stricter(&l.Idle, r.Idle, &set[1], true)
		stricter(&l.Absolute, r.Absolute, &set[2], true)
		stricter(&l.Remember, r.Remember, &set[3], false)
	}
	return l
}

// MaxTTL returns the longest life that any token has.
func (p *Policy) MaxTTL() time.Duration {
	longest := p.TTL
	for i := range p.Rules {
		if ttl := p.Rules[i].TTL; ttl != nil {
			longest = max(longest, *ttl)
		}
	}
	return longest
}

// stricter lets a rule's limit into to: the first one in place of the policy's
// own, a later one if it is shorter. endless says that 0 is no limit at all.
func stricter(to, limit *time.Duration, set *bool, endless bool) {
	if limit == nil {
		return
	}
	shorter := *limit < *to
	if endless && (*limit == 0 || *to == 0) {
		shorter = *to == 0 && *limit != 0
	}
	if !*set || shorter {
		*to, *set = *limit, true
	}
}

// RefreshIn returns how long a client should wait before it refreshes a token
// of the given lifetime (exp less iat) that has remaining left: until
// RefreshAfter, less a share of jitter taken from random (0 ≤ random < 1). Near
// the absolute deadline, where tokens live shorter, it is five sixths of the
// lifetime at most, so always less than what remains.
func (p Policy) RefreshIn(lifetime, remaining time.Duration, random float64) time.Duration {
	due := time.Duration(float64(p.RefreshAfter) * (1 - p.Jitter*random))
	due = min(due, lifetime*5/6)
	return max(due-(lifetime-remaining), 0).Truncate(time.Second)
}
