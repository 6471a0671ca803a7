package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/sessiongate/sessiongate/session"
)

// standing returns where the token's session stands: from memory, where Redis tells
// what changes, and else from Redis.
func (r *Redis) standing(ctx context.Context, t session.Token) (standing, error) {
	tag := r.keys.tags[r.keys.partition(t.UserID)]
	if r.tracker == nil {
		return r.lookups.ask(ctx, tag, t.UserID, t.SessionID)
	}
	at, found, fill := r.tracker.get(t.SessionID, t.UserID, r.Clock())
	if found {
		return at, nil
	}
	at, err := r.lookups.ask(ctx, tag, t.UserID, t.SessionID)
	if err == nil && fill != nil {
		r.tracker.put(t.SessionID, fill, at)
	}
	return at, err
}

// forget makes sure that what this gateway has done to a user's sessions is seen
// here before anybody is told that it is done; Redis will tell of it, too.
func (r *Redis) forget(userID string) {
	if r.tracker != nil {
		r.tracker.userChanged(userID)
	}
}

// TrackingStats is what the memory of RedisOptions.Tracking has seen so far.
type TrackingStats struct {
	Trusted  bool // whether it is an answer right now
	Sessions int  // in memory
	Hits     int64
	Misses   int64
	Changes  int64 // of keys that Redis told of
	Flushes  int64 // of all that was in memory, in doubt
}

// TrackingStats returns what there is to say of the memory; ok is false where there
// is none.
func (r *Redis) TrackingStats() (_ TrackingStats, ok bool) {
	t := r.tracker
	if t == nil {
		return TrackingStats{}, false
	}
	return TrackingStats{
		Trusted: t.trusted(), Sessions: t.len(), Hits: t.counted.hits.Load(), Misses: t.counted.misses.Load(),
		Changes: t.counted.changes.Load(), Flushes: t.counted.flushes.Load(),
	}, true
}

// judge says what the standing of its session means for the token.
func (r *Redis) judge(t session.Token, at standing) (session.Session, error) {
	if !at.live {
		return session.Session{}, session.ErrEnded
	}
	s := session.Session{
		ID: t.SessionID, UserID: t.UserID, ClientID: t.ClientID, Scope: t.Scope, AMR: t.AMR,
		Username: t.Username, Roles: t.Roles,
		CreatedAt: t.SessionID.Time(), AuthTime: t.AuthTime, ExpiresAt: time.UnixMilli(at.expires).UTC(),
		Generation: at.generation,
	}
	s.RotatedAt = s.CreatedAt
	if at.rotated != 0 {
		s.RotatedAt = time.UnixMilli(at.rotated).UTC()
	}
	return s, checkGeneration(&s, t, at.used, r.Clock(), r.opt.Policy.Grace)
}

// Check is Validate, and returns all that is known of the session, as Get does, from
// the same round trip. Where its texts are long and new to this gateway it takes a
// second one.
func (r *Redis) Check(ctx context.Context, t session.Token) (session.Session, error) {
	p := r.keys.partition(t.UserID)
	q, err := r.lookups.askWhole(ctx, r.keys.tags[p], t.UserID, t.SessionID)
	if err != nil {
		return session.Session{}, fmt.Errorf("store: check session: %w", err)
	}
	if _, err := r.judge(t, q.standing); err != nil {
		return session.Session{}, err
	}
	texts, err := r.lookUp(until{ctx, q.asked.Add(r.opt.Timeout)}, p, q.hash)
	if err != nil {
		return session.Session{}, fmt.Errorf("store: check session: %w", err)
	}
	s, err := decode(t.SessionID, q.hash, texts)
	if err != nil {
		return session.Session{}, fmt.Errorf("store: check session: %w", err)
	}
	s.ExpiresAt = time.UnixMilli(q.standing.expires).UTC()
	noteUse(&s, q.seen, q.active)
	return s, nil
}

// until is a context with a deadline for who looks at that and not at Done, as
// go-redis does for the time of its connections (ContextTimeoutEnabled). It costs
// no timer.
type until struct {
	context.Context
	deadline time.Time
}

func (u until) Deadline() (time.Time, bool) {
	if d, ok := u.Context.Deadline(); ok && d.Before(u.deadline) {
		return d, true
	}
	return u.deadline, true
}

// ValidateMany is Validate for several tokens at once: the answers are in the
// order of the tokens, each with an error of its own or nil. It makes one round
// trip for up to 256 tokens, whatever their partitions; two where other callers
// were waiting already. Where a round trip fails, its tokens share the error.
func (r *Redis) ValidateMany(ctx context.Context, tokens []session.Token) ([]session.Session, []error) {
	sessions, errs := make([]session.Session, len(tokens)), make([]error, len(tokens))
	first := 0
	for part := range slices.Chunk(tokens, maxBatch) {
		r.validatePart(ctx, part, sessions[first:], errs[first:])
		first += len(part)
	}
	return sessions, errs
}

func (r *Redis) validatePart(ctx context.Context, tokens []session.Token, sessions []session.Session, errs []error) {
	// Not from the pool: a caller that gives up leaves them behind, all of them.
	all := make([]lookup, len(tokens))
	questions := make([]*lookup, len(tokens))
	done, now := make(chan struct{}, len(tokens)), time.Now()
	for i, t := range tokens {
		all[i] = lookup{
			tag: r.keys.tags[r.keys.partition(t.UserID)], userID: t.UserID, sid: t.SessionID, asked: now, done: done,
		}
		questions[i] = &all[i]
	}
	failed := r.lookups.askAll(ctx, questions)
	for i, t := range tokens {
		err := failed
		if err == nil { // else they may still be written to
			err = all[i].err
		}
		if err != nil {
			errs[i] = fmt.Errorf("store: validate session: %w", err)
			continue
		}
		sessions[i], errs[i] = r.judge(t, all[i].standing)
	}
}
