package session

import (
	"fmt"
	"time"
)

// Rate is how often something may be tried: Burst times at once, and once more each
// Every (GCRA: a bucket that leaks evenly). A Burst of 0 is no limit.
type Rate struct {
	Burst int
	Every time.Duration
}

// An Attempt is one try at a secret, as the limits see it. The texts are digests:
// what people type, and where they are, stays out of the names of keys.
type Attempt struct {
	Account string // whose secret; "" if that is not known, or nobody can be called that
	Device  string // what the client calls itself; "" if it does not say
	Prefix  string // the network it comes from; "" if that is not known
}

// Limits are the rates of attempts. An attempt from a device or a network from
// which the account's owner has been before has a rate of its own, for that device
// or network, and the other three do not concern it: a stranger who tries, from
// wherever, does not keep the owner out.
type Limits struct {
	Known   Rate // of one account from one device or network known for it
	Account Rate // of one account from everywhere else
	Prefix  Rate // from one network, at accounts that it is not known for
	Global  Rate // of all that are not known

	Remember time.Duration // how long a device or network stays known
}

// Limit names the rate that refused an attempt, or that it counts under.
type Limit string

// The limits.
const (
	LimitDevice  Limit = "device"  // Limits.Known, by device
	LimitNetwork Limit = "network" // Limits.Known, by network
	LimitAccount Limit = "account"
	LimitPrefix  Limit = "prefix"
	LimitGlobal  Limit = "global"
	LimitNotice  Limit = "notice" // visits of one link in a message, at one gateway
	LimitNone    Limit = "none"   // counts under account, prefix and global
)

// A RateLimitedError says that an attempt was not made, because there were too many.
type RateLimitedError struct {
	By         Limit
	RetryAfter time.Duration // when the next one may be made, if nobody else makes it
}

func (e *RateLimitedError) Error() string {
	return fmt.Sprintf("too many attempts (%s); the next in %s", e.By, e.RetryAfter)
}
