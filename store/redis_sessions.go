package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/sessiongate/sessiongate/session"
)

// opMemo is how long Redis remembers that a login was carried out, so that a
// repeat of it (go-redis retries when a reply is lost) finds the first answer.
const opMemo = time.Minute

// Create begins a session and appends op, the login. s has everything but its
// deadlines, which come back with it; op has the id, time and origin of the
// request. Beyond Policy.MaxPerUser the user's oldest sessions are evicted, each
// with an event of its own, and evicted says how many; or, where the policy is
// DenyMore, session.ErrTooManySessions says no, and so does the log. The call may be
// repeated with the same s and op for half a minute; after that it returns an error
// that wraps session.ErrUnavailable, as it does when Redis is full.
func (r *Redis) Create(ctx context.Context, s session.Session, op session.Event) (_ session.Session, evicted int, err error) {
	s.GrantID = ""
	return r.create(ctx, s, op, 0, "", "")
}

// create begins a session, and remembers the device under s.GrantID, if that is not
// "", for as long as remember says, with this seed and the digest of its token.
func (r *Redis) create(
	ctx context.Context, s session.Session, op session.Event, remember time.Duration, seed, digest string,
) (_ session.Session, evicted int, err error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	keys, args, texts := r.beginning(&s, &op)
	args = append(append(args, remember.Milliseconds(), seed, digest), texts...)
	reply, err := sessionCreate.Run(ctx, r.db, keys, appendEvent(args, &op)...).StringSlice()
	if err != nil {
		return session.Session{}, 0, wrap("create session", err)
	}
	evicted, err = r.begun(&s, reply)
	if err != nil {
		return session.Session{}, 0, fmt.Errorf("store: create session: %w", err)
	}
	return s, evicted, nil
}

// beginning makes ready what the scripts that begin a session have in common
// (begin.lua), and fills in what follows from the policy.
func (r *Redis) beginning(s *session.Session, op *session.Event) (keys []string, args, texts []any) {
	limits := r.opt.Policy.Lifetimes(s.ClientID, s.Roles)
	s.Idle = limits.Idle
	describe(op, s)
	op.Action, op.Success = session.ActionLogin, true

	p := r.keys.partition(s.UserID)
	onLimit := "evict"
	if r.opt.Policy.DenyMore {
		onLimit = "deny"
	}
	hash := newHash(s)
	args = append(make([]any, 0, 48), r.keys.tags[p], opMemo.Milliseconds(), limits.TTL.Milliseconds(),
		limits.Absolute.Milliseconds(), idleText(limits.Idle), r.opt.Policy.MaxPerUser, onLimit,
		hash.access, hash.device, session.PackPlace(s.Place()), hash.userAgent, hash.authTime, len(hash.texts)/2, r.keep,
		string(s.GrantID))
	keys = []string{
		r.keys.session(s.UserID, s.ID), r.keys.user(s.UserID), r.keys.events(p), r.keys.op(s.UserID, op.ID),
		r.keys.seen(s.UserID), r.keys.feed(p), r.keys.partitionMeta(p), r.keys.grant(p, s.GrantID),
	}
	return keys, args, hash.texts
}

// begun reads {sid, "created", exp, abs, evicted, now, until}.
func (r *Redis) begun(s *session.Session, reply []string) (evicted int, err error) {
	if len(reply) == 2 && reply[0] == string(s.ID) && reply[1] == "limit" {
		return 0, session.ErrTooManySessions
	}
	if err := expectReply(reply, s.ID, 7); err != nil {
		return 0, err
	}
	var errs [4]error
	s.ExpiresAt, errs[0] = msTime(reply[2])
	s.AbsoluteExpiresAt, errs[1] = msTime(reply[3])
	evicted, errs[2] = strconv.Atoi(reply[4])
	s.RefreshExpiresAt, errs[3] = msTime(reply[6])
	s.CreatedAt = s.ID.Time()
	s.RotatedAt, s.LastActivity = s.CreatedAt, s.CreatedAt
	if s.Idle != 0 {
		s.ActiveAt = s.CreatedAt
	}
	return evicted, errors.Join(errs[:]...)
}

// expectReply checks that a reply is about the session it should be about (a
// reply that was delayed on a reused connection must never reach another caller)
// and complete.
func expectReply(reply []string, sid session.ID, complete int) error {
	switch {
	case len(reply) < 2 || reply[0] != string(sid):
		return fmt.Errorf("%w: the reply is about another session", session.ErrUnavailable)
	case reply[1] == "stale":
		return fmt.Errorf("%w: the request is too old to be carried out, or a clock is wrong", session.ErrUnavailable)
	case reply[1] == "full":
		return fmt.Errorf("%w: redis is nearly full", session.ErrUnavailable)
	case len(reply) < complete:
		return fmt.Errorf("%w: the reply is cut short", session.ErrUnavailable)
	}
	return nil
}

// describe puts into the event what its session's row needs.
func describe(e *session.Event, s *session.Session) {
	e.UserID, e.SessionID = s.UserID, s.ID
	e.Device, e.SessionPlace = s.Device, s.Place()
	e.ClientID, e.Scope, e.AMR = s.ClientID, s.Scope, s.AMR
	e.GrantID = s.GrantID
}

// appendEvent appends the values of the event, in the order of EventFields.
func appendEvent(args []any, e *session.Event) []any {
	fields := e.Fields()
	for i := 1; i < len(fields); i += 2 {
		args = append(args, fields[i])
	}
	return args
}

// Validate says whether the token is good: its session is live and the token is
// the current one, or the previous one while its successor is unused or within
// the grace. It reads the user's zset and the session's hash, in a round trip
// that it shares with whoever asks at the same moment, and writes nothing.
//
// The session it returns has what the token and those fields tell: no device,
// no addresses, no LastActivity; Get has all. The error is session.ErrEnded when
// either key does not know the session (it expired, was ended, or somebody
// removed a key) and session.ErrSuperseded for an older token of a live session.
// Any other error wraps session.ErrUnavailable. The call may be repeated.
func (r *Redis) Validate(ctx context.Context, t session.Token) (session.Session, error) {
	at, err := r.standing(ctx, t)
	if err != nil {
		return session.Session{}, fmt.Errorf("store: validate session: %w", err)
	}
	return r.judge(t, at)
}

func readGeneration(s *session.Session, generation, rotated any) error {
	g, _ := generation.(string)
	n, err := strconv.ParseInt(g, 10, 64)
	if err != nil || n < 0 {
		return fmt.Errorf("%w: generation of session is %q, want a whole number", session.ErrUnavailable, g)
	}
	s.Generation, s.RotatedAt = n, s.CreatedAt
	if at, ok := rotated.(string); ok {
		if s.RotatedAt, err = msTime(at); err != nil {
			return fmt.Errorf("%w: rotation of session: %w", session.ErrUnavailable, err)
		}
	}
	return nil
}

// checkGeneration holds a token against its live session. used says whether the
// session's current token has been seen in use.
//
// A token of a generation above the session's was signed by us, so it was Redis
// that was set back: the session goes on from the token's own place, and the
// next refresh writes that down.
func checkGeneration(s *session.Session, t session.Token, used bool, now time.Time, grace time.Duration) error {
	switch {
	case t.Generation > s.Generation:
		return nil
	case t.Generation == s.Generation && t.IssuedAt.Unix() == s.RotatedAt.Unix():
		return nil
	case t.Generation == s.Generation-1 && (!used || !now.After(s.RotatedAt.Add(grace))):
		return nil
	}
	return session.ErrSuperseded
}

// Refresh rotates the session's token and moves its deadline; op has the id, the
// time and the origin of the request, and its ActiveAt says, if it is not zero, that
// the user has done something since the last refresh. rotated is false when the token presented
// is the previous one and its holder gets the same successor again: a lost
// answer, a second tab.
//
// It returns session.ErrEnded when the session is not live; session.ErrReused
// for a token older than the previous one, or for the previous one after the
// grace: this call has ended the session; session.ErrSuperseded for a token that
// Redis has never known. Anything else wraps session.ErrUnavailable. The call may
// be repeated: it then gives the same successor.
func (r *Redis) Refresh(ctx context.Context, t session.Token, op session.Event) (_ session.Session, rotated bool, err error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	op.Action, op.Success, op.UserID, op.SessionID = session.ActionRefresh, true, t.UserID, t.SessionID

	p := r.keys.partition(t.UserID)
	active := ""
	if !op.ActiveAt.IsZero() {
		active = "1"
	}
	op.ActiveAt = time.Time{} // by Redis's clock, and only where it makes a difference
	args := appendEvent(append(make([]any, 0, 32), r.keys.tags[p], t.Generation, t.IssuedAt.Unix(),
		r.opt.Policy.Lifetimes(t.ClientID, t.Roles).TTL.Milliseconds(), r.opt.Policy.Grace.Milliseconds(), r.bound.Load(),
		r.keep, active), &op)
	keys := []string{
		r.keys.session(t.UserID, t.SessionID), r.keys.user(t.UserID), r.keys.events(p), r.keys.seen(t.UserID),
		r.keys.feed(p), r.keys.partitionMeta(p),
	}
	defer r.forget(t.UserID)
	reply, err := sessionRefresh.Run(ctx, r.db, keys, args...).StringSlice()
	if err != nil {
		return session.Session{}, false, wrap("refresh session", err)
	}
	if err := expectReply(reply, t.SessionID, 2); err != nil {
		return session.Session{}, false, fmt.Errorf("store: refresh session: %w", err)
	}
	switch reply[1] {
	case "absent":
		return session.Session{}, false, session.ErrEnded
	case "superseded":
		return session.Session{}, false, session.ErrSuperseded
	case "reused":
		return session.Session{}, false, session.ErrReused
	}
	s, err := r.refreshed(ctx, t.SessionID, reply)
	if err != nil {
		return session.Session{}, false, fmt.Errorf("store: refresh session: %w", err)
	}
	return s, reply[1] == "rotated", nil
}

// refreshed reads {sid, status, exp, now, active, field, value, …}.
func (r *Redis) refreshed(ctx context.Context, sid session.ID, reply []string) (session.Session, error) {
	if err := expectReply(reply, sid, 9); err != nil {
		return session.Session{}, err
	}
	return r.whole(ctx, sid, reply[2], reply[3], reply[4], reply[5:])
}

// whole reads a session from its hash, as a script returns it: its deadline, the
// time now, when its user was last active, and the fields with their values.
func (r *Redis) whole(ctx context.Context, sid session.ID, exp, now, active string, fields []string) (session.Session, error) {
	hash := make(map[string]string, 12)
	for i := 0; i+1 < len(fields); i += 2 {
		hash[fields[i]] = fields[i+1]
	}
	texts, err := r.lookUp(ctx, r.keys.partition(hash["u"]), hash)
	if err != nil {
		return session.Session{}, err
	}
	s, err := decode(sid, hash, texts)
	if err != nil {
		return session.Session{}, err
	}
	if s.ExpiresAt, err = msTime(exp); err != nil {
		return session.Session{}, err
	}
	if s.LastActivity, err = msTime(now); err != nil {
		return session.Session{}, err
	}
	if s.Idle != 0 {
		s.ActiveAt, err = msTime(active)
	}
	return s, err
}

// Revoke ends one session of the user for the given reason, and forgets its device
// if that was remembered; op has the origin and the time of the request. ended is
// false when there was nothing to end. It may be repeated, and works when Redis is
// full.
func (r *Redis) Revoke(
	ctx context.Context, userID string, sid session.ID, reason session.EndReason, op session.Event,
) (ended bool, err error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	op.UserID, op.SessionID = userID, sid
	p := r.keys.partition(userID)
	args := appendEvent(append(make([]any, 0, 21), r.keys.tags[p], string(reason), r.keep), &op)
	keys := []string{
		r.keys.session(userID, sid), r.keys.user(userID), r.keys.events(p), r.keys.seen(userID),
		r.keys.feed(p), r.keys.partitionMeta(p),
	}
	defer r.forget(userID)
	reply, err := sessionRevoke.Run(ctx, r.db, keys, args...).StringSlice()
	if err != nil {
		return false, wrap("revoke session", err)
	}
	if err := expectReply(reply, sid, 3); err != nil {
		return false, fmt.Errorf("store: revoke session: %w", err)
	}
	return reply[1] == "revoked", nil
}

// RevokeUser ends all sessions of the user and forgets their remembered devices,
// but for the session named by except, if it is not "", and its device. n is how many
// this call ended, at is Redis's time at which they did. It may be repeated, and
// works when Redis is full.
func (r *Redis) RevokeUser(
	ctx context.Context, userID string, except session.ID, reason session.EndReason, op session.Event,
) (n int, at time.Time, err error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	op.UserID = userID
	p := r.keys.partition(userID)
	args := appendEvent(append(make([]any, 0, 22), r.keys.tags[p], string(reason), string(except), r.keep), &op)
	keys := []string{
		r.keys.user(userID), r.keys.events(p), r.keys.seen(userID), r.keys.feed(p), r.keys.partitionMeta(p),
	}
	defer r.forget(userID)
	reply, err := userRevoke.Run(ctx, r.db, keys, args...).StringSlice()
	if err != nil {
		return 0, time.Time{}, wrap("revoke user", err)
	}
	if len(reply) != 3 || reply[0] != userID {
		return 0, time.Time{}, fmt.Errorf("store: revoke user: %w: the reply is about somebody else", session.ErrUnavailable)
	}
	n, errCount := strconv.Atoi(reply[1])
	at, errTime := msTime(reply[2])
	if err := errors.Join(errCount, errTime); err != nil {
		return 0, time.Time{}, fmt.Errorf("store: revoke user: %w", err)
	}
	return n, at, nil
}
