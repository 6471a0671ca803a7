package store

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/sessiongate/sessiongate/session"
)

// maxKnown is how many devices and networks are kept of an account.
const maxKnown = 16

// TakeAttempt counts an attempt, and returns the limit that it counts under, for
// ForgiveAttempt. The error is a *session.RateLimitedError if there were too many
// already; then it does not count. One round trip, whatever the limits.
func (r *Redis) TakeAttempt(ctx context.Context, a session.Attempt, l session.Limits) (session.Limit, error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	reply, err := limitTake.Run(ctx, r.db, r.keys.limits(a), limitArgs(a, l)...).StringSlice()
	if err != nil {
		return "", wrap("count an attempt", err)
	}
	switch {
	case len(reply) == 2 && reply[0] == "taken":
		return session.Limit(reply[1]), nil
	case len(reply) == 3 && reply[0] == "refused":
		ms, err := strconv.ParseInt(reply[2], 10, 64)
		if err != nil {
			return "", fmt.Errorf("store: count an attempt: wait is %q, want milliseconds", reply[2])
		}
		return "", &session.RateLimitedError{By: session.Limit(reply[1]), RetryAfter: time.Duration(ms) * time.Millisecond}
	}
	return "", fmt.Errorf("store: count an attempt: unknown reply %q", reply)
}

// ForgiveAttempt gives back what an attempt took under that limit, because it was
// right, or was not made after all. One that was right makes its device and network
// known for the account.
func (r *Redis) ForgiveAttempt(
	ctx context.Context, a session.Attempt, l session.Limits, under session.Limit, right bool,
) error {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	if !right {
		l.Remember = 0
	}
	args := append(limitArgs(a, l), string(under), l.Remember.Milliseconds(), maxKnown)
	return wrap("forgive an attempt", limitForgive.Run(ctx, r.db, r.keys.limits(a), args...).Err())
}

// limitArgs are those that both scripts begin with. What is not known has no limit
// of its own.
func limitArgs(a session.Attempt, l session.Limits) []any {
	args := make([]any, 0, 13)
	device, network := "", ""
	if a.Account == "" {
		l.Account.Burst = 0
	} else {
		if a.Device != "" {
			device = "d:" + a.Device
		}
		if a.Prefix != "" {
			network = "n:" + a.Prefix
		}
	}
	if a.Prefix == "" {
		l.Prefix.Burst = 0
	}
	args = append(args, device, network)
	for _, rate := range []session.Rate{l.Known, l.Account, l.Prefix, l.Global} {
		args = append(args, rate.Burst, rate.Every.Milliseconds())
	}
	return args
}

// limits returns the keys of both scripts, in their order. They are in one partition,
// for one script has to see all of them, and attempts are few: each costs a hash.
func (k keyspace) limits(a session.Attempt) []string {
	tag := k.tags[0]
	return []string{
		tag + "known:" + a.Account,
		tag + "limit:device:" + a.Account + "." + a.Device,
		tag + "limit:network:" + a.Account + "." + a.Prefix,
		tag + "limit:account:" + a.Account,
		tag + "limit:prefix:" + a.Prefix,
		tag + "limit:global",
	}
}
