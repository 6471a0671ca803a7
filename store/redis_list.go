package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/sessiongate/sessiongate/session"
)

// Get returns a live session with all that is known of it, or session.ErrEnded.
// Two round trips, where its texts are long and new to this gateway.
func (r *Redis) Get(ctx context.Context, userID string, sid session.ID) (session.Session, error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	sessions, err := r.load(ctx, userID, []session.ID{sid})
	if err != nil {
		return session.Session{}, fmt.Errorf("store: get session: %w", err)
	}
	if len(sessions) == 0 {
		return session.Session{}, session.ErrEnded
	}
	return sessions[0], nil
}

// List returns the user's live sessions, the one last active first. Three round
// trips at most.
func (r *Redis) List(ctx context.Context, userID string) ([]session.Session, error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	sids, err := r.db.ZRange(ctx, r.keys.user(userID), 0, -1).Result()
	if err != nil {
		return nil, wrap("list sessions", err)
	}
	ids := make([]session.ID, 0, len(sids))
	for _, sid := range sids {
		if _, isGrant := grantOf(sid); !isGrant {
			ids = append(ids, session.ID(sid))
		}
	}
	sessions, err := r.load(ctx, userID, ids)
	if err != nil {
		return nil, fmt.Errorf("store: list sessions: %w", err)
	}
	slices.SortFunc(sessions, func(a, b session.Session) int {
		return cmp.Or(b.LastActivity.Compare(a.LastActivity), cmp.Compare(b.ID, a.ID))
	})
	return sessions, nil
}

// load reads those of the sessions that are live.
func (r *Redis) load(ctx context.Context, userID string, sids []session.ID) ([]session.Session, error) {
	if len(sids) == 0 {
		return []session.Session{}, nil
	}
	var seen *redis.MapStringStringCmd
	listed := make([]*redis.FloatCmd, len(sids))
	hashes := make([]*redis.MapStringStringCmd, len(sids))
	_, err := r.db.Pipelined(ctx, func(p redis.Pipeliner) error {
		seen = p.HGetAll(ctx, r.keys.seen(userID))
		for i, sid := range sids {
			listed[i] = p.ZScore(ctx, r.keys.user(userID), string(sid))
			hashes[i] = p.HGetAll(ctx, r.keys.session(userID, sid))
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("%w: %w", session.ErrUnavailable, err)
	}
	live := make(map[session.ID]map[string]string, len(sids))
	for i, sid := range sids {
		if hash := hashes[i].Val(); !errors.Is(listed[i].Err(), redis.Nil) && hash["u"] == userID {
			live[sid] = hash
		}
	}
	texts, err := r.lookUp(ctx, r.keys.partition(userID), slices.Collect(maps.Values(live))...)
	if err != nil {
		return nil, err
	}
	sessions := make([]session.Session, 0, len(live))
	for i, sid := range sids {
		hash, ok := live[sid]
		if !ok {
			continue
		}
		s, err := decode(sid, hash, texts)
		if err != nil {
			return nil, err
		}
		s.ExpiresAt = scoreTime(listed[i].Val())
		noteUse(&s, seen.Val()[string(sid)], seen.Val()[string(sid)+activeMark(true)])
		sessions = append(sessions, s)
	}
	return sessions, nil
}

// Missing returns those of the sessions that are not live. It uses ID and UserID
// only. Where a key is of another type there is no telling, and the session is
// not missing. One round trip; it may be repeated.
func (r *Redis) Missing(ctx context.Context, sessions []session.Session) ([]session.ID, error) {
	if len(sessions) == 0 {
		return nil, nil
	}
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	listed := make([]*redis.FloatCmd, len(sessions))
	owner := make([]*redis.StringCmd, len(sessions))
	_, _ = r.db.Pipelined(ctx, func(p redis.Pipeliner) error { // each command has its own error
		for i, s := range sessions {
			listed[i] = p.ZScore(ctx, r.keys.user(s.UserID), string(s.ID))
			owner[i] = p.HGet(ctx, r.keys.session(s.UserID, s.ID), "u")
		}
		return nil
	})
	var missing []session.ID
	for i, s := range sessions {
		for _, err := range []error{listed[i].Err(), owner[i].Err()} {
			if err == nil || errors.Is(err, redis.Nil) {
				continue
			}
			if redis.HasErrorPrefix(err, "WRONGTYPE") {
				// Somebody overwrote a key. That tells nothing about the session, and
				// must not keep the others from being looked at.
				r.opt.Log.WarnContext(ctx, "a session's key is of another type", "session_id", string(s.ID), "err", err)
				continue
			}
			return nil, wrap("look for sessions", err)
		}
		if errors.Is(listed[i].Err(), redis.Nil) || errors.Is(owner[i].Err(), redis.Nil) {
			missing = append(missing, s.ID)
		}
	}
	return missing, nil
}
