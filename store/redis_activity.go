package store

import (
	"context"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessiongate/sessiongate/session"
)

// Use notes that sessions were used, and that their current tokens have arrived
// at their owners. Sessions that have ended are passed over. One round trip for
// each partition and each 250 uses; it may be repeated.
func (r *Redis) Use(ctx context.Context, uses []session.Use) error {
	const perCall = maxScriptItems / 4
	byPartition := make([][]any, r.Partitions())
	flush := func(p int) error {
		args := byPartition[p]
		byPartition[p] = nil
		ctx, cancel := r.bounded(ctx)
		defer cancel()
		return wrap("record activity", activityRecord.Run(ctx, r.db, []string{r.keys.activity(p)}, args...).Err())
	}
	for _, u := range uses {
		p := r.keys.partition(u.UserID)
		if byPartition[p] == nil {
			byPartition[p] = append(make([]any, 0, 1+4*min(len(uses), perCall)), r.keys.tags[p])
		}
		byPartition[p] = append(byPartition[p], string(u.SessionID), u.UserID, u.At.UnixMilli(), u.Generation)
		if len(byPartition[p]) > 4*perCall {
			if err := flush(p); err != nil {
				return err
			}
		}
	}
	for p, args := range byPartition {
		if args == nil {
			continue
		}
		if err := flush(p); err != nil {
			return err
		}
	}
	return nil
}

// Activity returns up to limit sessions whose last use Postgres does not have
// yet, the longest waiting first: SessionID and At only.
func (r *Redis) Activity(ctx context.Context, partition, limit int) ([]session.Use, error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	members, err := r.db.ZRangeWithScores(ctx, r.keys.activity(partition), 0, int64(limit)-1).Result()
	if err != nil {
		return nil, wrap("read activity", err)
	}
	uses := make([]session.Use, 0, len(members))
	for _, m := range members {
		sid, _ := m.Member.(string)
		uses = append(uses, session.Use{SessionID: session.ID(sid), At: scoreTime(m.Score)})
	}
	return uses, nil
}

// ClearActivity takes from the activity what Postgres has, but for sessions that
// have been used again since. It may be repeated.
func (r *Redis) ClearActivity(ctx context.Context, partition int, written []session.Use) error {
	for len(written) > 0 {
		n := min(len(written), maxScriptItems)
		args := make([]any, 0, 2*n)
		for _, u := range written[:n] {
			args = append(args, string(u.SessionID), u.At.UnixMilli())
		}
		if err := r.clearOnce(ctx, partition, args); err != nil {
			return err
		}
		written = written[n:]
	}
	return nil
}

func (r *Redis) clearOnce(ctx context.Context, partition int, args []any) error {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	return wrap("clear activity", activityClear.Run(ctx, r.db, []string{r.keys.activity(partition)}, args...).Err())
}

// lastSeen reads when a user's sessions were last used, in ms, by sid.
func lastSeen(cmd *redis.MapStringStringCmd, sid session.ID) time.Time {
	ms, err := strconv.ParseInt(cmd.Val()[string(sid)], 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
