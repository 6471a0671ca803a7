package store

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/sessiongate/sessiongate/session"
)

const useArgs = 5 // what activity_record is told of each use

// Use notes that sessions were used, and that their current tokens have arrived
// at their owners. Sessions that have ended are passed over. One round trip for
// each partition and each 200 uses; it may be repeated.
func (r *Redis) Use(ctx context.Context, uses []session.Use) error {
	const perCall = maxScriptItems / useArgs
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
			byPartition[p] = append(make([]any, 0, 1+useArgs*min(len(uses), perCall)), r.keys.tags[p])
		}
		byPartition[p] = append(byPartition[p], string(u.SessionID), u.UserID, u.At.UnixMilli(), u.Generation, u.Active)
		if len(byPartition[p]) > useArgs*perCall {
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
// yet, the longest waiting first: SessionID and At only, and Active where it is
// when the user last did something, in a session with an idle timeout.
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
		sid, active := strings.CutSuffix(sid, "+")
		uses = append(uses, session.Use{SessionID: session.ID(sid), At: scoreTime(m.Score), Active: active})
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
			args = append(args, string(u.SessionID)+activeMark(u.Active), u.At.UnixMilli())
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

// activeMark is behind a sid where Redis keeps when its user last did something.
func activeMark(active bool) string {
	if active {
		return "+"
	}
	return ""
}

// noteUse puts into the session when it was last used, and when its user last did
// something, in Unix ms as Redis keeps them; "" for never.
func noteUse(s *session.Session, seen, active string) {
	if at := seenAt(seen); at.After(s.LastActivity) {
		s.LastActivity = at
	}
	if at := seenAt(active); s.Idle != 0 && at.After(s.ActiveAt) {
		s.ActiveAt = at
	}
}

func seenAt(text string) time.Time {
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
