package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/sessiongate/sessiongate/session"
)

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
		tag := r.keys.tags[r.keys.partition(t.UserID)]
		all[i] = lookup{
			userKey: tag + "user:" + t.UserID, sessionKey: tag + "session:" + string(t.SessionID),
			sid: t.SessionID, userID: t.UserID, asked: now, done: done,
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
