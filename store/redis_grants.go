package store

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessiongate/sessiongate/session"
)

// grantMark is before the id of a remembered device in its user's zset.
const grantMark = "g:"

func grantOf(member string) (id session.ID, isGrant bool) {
	text, isGrant := strings.CutPrefix(member, grantMark)
	return session.ID(text), isGrant
}

// Remember is Create for a device that is to be remembered: the session comes back
// with the device's first refresh token. Where the policy remembers none of this
// client and these roles, there is no token, and all else is the same.
func (r *Redis) Remember(ctx context.Context, s session.Session, op session.Event) (_ session.Session, evicted int, err error) {
	life := r.opt.Policy.Lifetimes(s.ClientID, s.Roles).Remember
	if life == 0 {
		return r.Create(ctx, s, op)
	}
	// The id is that of the login, so that a repeat of the call makes the same grant.
	// A repeated call makes another token, of which nothing is known: who calls it
	// twice and not by way of go-redis has to sign in again.
	s.GrantID = session.ID(op.ID)
	token, seed := session.NewRefreshToken(uint8(r.keys.partition(s.UserID)), s.GrantID), session.NewSeed()
	s, evicted, err = r.create(ctx, s, op, life, base64.RawURLEncoding.EncodeToString(seed), token.Digest())
	if err == nil {
		s.Refresh = token
	}
	return s, evicted, err
}

// Grant returns the remembered device that the token names, or session.ErrEnded. It
// says nothing about whether the token is good.
func (r *Redis) Grant(ctx context.Context, t session.RefreshToken) (session.Grant, error) {
	if int(t.Partition) >= r.Partitions() {
		return session.Grant{}, session.ErrEnded // of another deployment
	}
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	p := int(t.Partition)
	hash, err := r.db.HGetAll(ctx, r.keys.grant(p, t.GrantID)).Result()
	switch {
	case err != nil:
		return session.Grant{}, wrap("get grant", err)
	case len(hash) == 0 || r.keys.partition(hash["u"]) != p:
		return session.Grant{}, session.ErrEnded
	}
	texts, err := r.lookUp(ctx, p, hash)
	if err != nil {
		return session.Grant{}, fmt.Errorf("store: get grant: %w", err)
	}
	g, err := decodeGrant(t.GrantID, hash, texts)
	if err != nil {
		return session.Grant{}, fmt.Errorf("store: get grant: %w", err)
	}
	return g, nil
}

// decodeGrant reads a grant's hash; doc.go names the fields. ExpiresAt is the score
// in the user's zset.
func decodeGrant(id session.ID, hash, texts map[string]string) (session.Grant, error) {
	g := session.Grant{
		ID: id, UserID: hash["u"], Device: session.UnpackDevice(follow(hash["d"], texts)),
		Place: session.UnpackPlace(hash["n"]), SessionID: session.ID(hash["s"]), UsedAt: id.Time(), Digest: hash["h"],
	}
	var errs [4]error
	var sec int64
	g.Generation, errs[0] = strconv.ParseInt(hash["g"], 10, 64)
	g.Seed, errs[1] = base64.RawURLEncoding.DecodeString(hash["e"])
	sec, errs[2] = strconv.ParseInt(hash["t"], 10, 64)
	g.AuthTime = time.Unix(sec, 0).UTC()
	if at, ok := hash["r"]; ok {
		g.UsedAt, errs[3] = msTime(at)
	}
	if err := errors.Join(errs[:]...); err != nil {
		return g, fmt.Errorf("%w: grant: %w", session.ErrUnavailable, err)
	}
	return g, nil
}

// Resume begins s, a session of a remembered device, for who presents its refresh
// token; op has the id, the time and the origin of the request. The session comes
// back with the token's successor. As with Refresh, the previous token gets the same
// successor again, and the same session as long as that lives, while the successor
// has not arrived or within the grace.
//
// It returns session.ErrReused for an older token: this call has ended the grant and
// its session. session.ErrEnded means that there is no such grant or that the token
// was never its own, session.ErrTooManySessions what it means for Create. Anything
// else wraps session.ErrUnavailable. The call may be repeated.
func (r *Redis) Resume(
	ctx context.Context, g session.Grant, t session.RefreshToken, s session.Session, op session.Event,
) (session.Session, error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	s.GrantID = g.ID
	op.Reason = "remembered"
	keys, args, texts := r.beginning(&s, &op)
	next, older := t.Next(g.Seed), ""
	if t.Leads(&g) {
		older = "1"
	}
	args = append(append(args, t.Generation, t.Digest(), next.Digest(), r.opt.Policy.Grace.Milliseconds(), older), texts...)
	reply, err := grantResume.Run(ctx, r.db, keys, appendEvent(args, &op)...).StringSlice()
	if err != nil {
		return session.Session{}, wrap("resume session", err)
	}
	if err := r.resumed(ctx, &s, reply); err != nil {
		return session.Session{}, fmt.Errorf("store: resume session: %w", err)
	}
	s.Refresh = next
	return s, nil
}

// resumed reads the answers of grant_resume.
func (r *Redis) resumed(ctx context.Context, s *session.Session, reply []string) (err error) {
	if len(reply) < 2 || reply[0] != string(s.ID) {
		return expectReply(reply, s.ID, 2)
	}
	switch reply[1] {
	case "absent":
		return session.ErrEnded
	case "reused":
		return session.ErrReused
	case "same":
		if err := expectReply(reply, s.ID, 11); err != nil {
			return err
		}
		if *s, err = r.whole(ctx, session.ID(reply[2]), reply[3], reply[4], reply[5], reply[7:]); err != nil {
			return err
		}
		s.RefreshExpiresAt, err = msTime(reply[6])
		return err
	}
	_, err = r.begun(s, reply)
	return err
}

// Grants returns the user's remembered devices, the one used last first. Three round
// trips at most.
func (r *Redis) Grants(ctx context.Context, userID string) ([]session.Grant, error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	members, err := r.db.ZRangeWithScores(ctx, r.keys.user(userID), 0, -1).Result()
	if err != nil {
		return nil, wrap("list grants", err)
	}
	p := r.keys.partition(userID)
	expiry := make(map[session.ID]time.Time)
	hashes := make(map[session.ID]*redis.MapStringStringCmd)
	_, err = r.db.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, m := range members {
			member, _ := m.Member.(string)
			if id, isGrant := grantOf(member); isGrant {
				expiry[id] = scoreTime(m.Score)
				hashes[id] = pipe.HGetAll(ctx, r.keys.grant(p, id))
			}
		}
		return nil
	})
	if err != nil {
		return nil, wrap("list grants", err)
	}
	grants := make([]session.Grant, 0, len(hashes))
	for id, cmd := range hashes {
		hash := cmd.Val()
		if hash["u"] != userID {
			continue // removed by hand
		}
		texts, err := r.lookUp(ctx, p, hash)
		if err != nil {
			return nil, fmt.Errorf("store: list grants: %w", err)
		}
		g, err := decodeGrant(id, hash, texts)
		if err != nil {
			return nil, fmt.Errorf("store: list grants: %w", err)
		}
		g.ExpiresAt = expiry[id]
		grants = append(grants, g)
	}
	slices.SortFunc(grants, func(a, b session.Grant) int {
		return cmp.Or(b.UsedAt.Compare(a.UsedAt), cmp.Compare(b.ID, a.ID))
	})
	return grants, nil
}

// EndGrant forgets a remembered device of the user, and ends its session if it has
// one, for the given reason; op has the origin and the time of the request. ended is
// false when there was no such device. It may be repeated, and works when Redis is
// full.
func (r *Redis) EndGrant(
	ctx context.Context, userID string, id session.ID, reason session.EndReason, op session.Event,
) (ended bool, err error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	op.UserID = userID
	p := r.keys.partition(userID)
	keys := []string{
		r.keys.grant(p, id), r.keys.user(userID), r.keys.events(p), r.keys.seen(userID), r.keys.feed(p), r.keys.partitionMeta(p),
	}
	args := appendEvent(append(make([]any, 0, 32), r.keys.tags[p], string(reason), r.keep, string(id)), &op)
	reply, err := grantEnd.Run(ctx, r.db, keys, args...).StringSlice()
	if err != nil {
		return false, wrap("end grant", err)
	}
	if err := expectReply(reply, id, 2); err != nil {
		return false, fmt.Errorf("store: end grant: %w", err)
	}
	return reply[1] == "ended", nil
}
