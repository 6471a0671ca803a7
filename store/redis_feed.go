package store

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessiongate/sessiongate/session"
)

// DefaultFeedLength is how many entries a partition's feed keeps unless told
// otherwise.
const DefaultFeedLength = 100_000

// feedKeeps is what announce in lua/prelude.lua is told. An entry matters until
// the session's deadline, which is no further away than a session's time to live.
func feedKeeps(o RedisOptions) string {
	age := o.Policy.MaxTTL() + time.Minute
	return strconv.Itoa(o.FeedLength) + " " + strconv.FormatInt(age.Milliseconds(), 10)
}

// Announce adds sessions to the feed that ended without a call of ours, for the
// given reason: their keys were removed by hand. It uses ID, UserID and ExpiresAt
// only, and takes the deadline to be later than that where the session may have
// been refreshed since. Repeating it announces them again, which harms nobody.
func (r *Redis) Announce(ctx context.Context, gone []session.Session, reason session.EndReason) error {
	const perCall = maxScriptItems / 3
	latest := r.Clock().Add(r.opt.Policy.MaxTTL() + time.Second)
	byPartition := make(map[int][]session.Session)
	for _, s := range gone {
		p := r.keys.partition(s.UserID)
		byPartition[p] = append(byPartition[p], s)
	}
	for p, list := range byPartition {
		for len(list) > 0 {
			n := min(len(list), perCall)
			args := append(make([]any, 0, 2+3*n), r.keep, string(reason))
			for _, s := range list[:n] {
				until := latest
				if s.ExpiresAt.After(until) {
					until = s.ExpiresAt
				}
				args = append(args, string(s.ID), s.UserID, until.UnixMilli())
			}
			if err := r.announce(ctx, p, args); err != nil {
				return err
			}
			list = list[n:]
		}
	}
	return nil
}

func (r *Redis) announce(ctx context.Context, p int, args []any) error {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	keys := []string{r.keys.feed(p), r.keys.partitionMeta(p)}
	return wrap("announce endings", feedAppend.Run(ctx, r.db, keys, args...).Err())
}

// feedPosition returns where the feed of each partition ends now. One round trip, and one more for each
// partition that has no epoch yet.
func (r *Redis) feedPosition(ctx context.Context, db *redis.Client) (position, error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	replies := make([]*redis.SliceCmd, r.Partitions())
	_, err := db.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for p := range replies {
			replies[p] = pipe.HMGet(ctx, r.keys.partitionMeta(p), "epoch", "feed", "feed_id")
		}
		return nil
	})
	if err != nil {
		return position{}, wrap("find the end of the feed", err)
	}
	epochs, at := make([]string, len(replies)), position{places: make([]place, len(replies))}
	for p, reply := range replies {
		var text [3]string
		for i, value := range reply.Val() {
			text[i], _ = value.(string)
		}
		if text[0] == "" { // Redis lost its data while we were connected
			if text[0], _, err = r.Epoch(ctx, p); err != nil {
				return position{}, err
			}
		}
		epochs[p] = text[0]
		if at.places[p], err = parsePlace(text[1], text[2]); err != nil {
			return position{}, fmt.Errorf("store: %w: %s: %w", session.ErrUnavailable, r.keys.partitionMeta(p), err)
		}
	}
	at.lives = livesOf(epochs)
	return at, nil
}

// parsePlace reads the fields feed and feed_id; a partition from before there was
// a feed has none.
func parsePlace(n, id string) (at place, err error) {
	if n == "" {
		return place{}, nil
	}
	if at.n, err = strconv.ParseUint(n, 10, 63); err != nil {
		return place{}, fmt.Errorf("feed is %q, want a number", n)
	}
	at.id, err = parseStreamID(id)
	return at, err
}
