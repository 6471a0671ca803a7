package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessiongate/sessiongate/session"
)

// group is the one consumer group of every events stream.
const group = "flush"

// claim is where a stream's search for entries of dead gateways goes on.
type claim struct {
	mu     sync.Mutex
	next   time.Time // not before
	cursor string
}

// Append adds an event that changes no session: a failed login. It goes to a
// stream of its own, so that who tries passwords can't fill up the one that
// everybody's sign-in needs. Repeating it adds an entry with the same event id,
// which Postgres keeps once.
func (r *Redis) Append(ctx context.Context, e session.Event) error {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	by := e.UserID
	if by == "" {
		by = e.Origin.IP
	}
	p := r.keys.partition(by)
	return wrap("append event", r.db.XAdd(ctx, &redis.XAddArgs{
		Stream: r.keys.failures(p),
		Values: e.Fields(),
	}).Err())
}

// Streams returns how many streams of events there are: two a partition. Those
// from 0 up hold what happened to sessions, by partition, and those from
// Partitions up the logins that failed.
func (r *Redis) Streams() int { return 2 * r.Partitions() }

// stream returns the key of a stream by its number.
func (r *Redis) stream(n int) string {
	if p := n - r.Partitions(); p >= 0 {
		return r.keys.failures(p)
	}
	return r.keys.events(n)
}

// createGroups makes a partition's streams and their groups.
func (r *Redis) createGroups(ctx context.Context, partition int) error {
	for _, n := range []int{partition, partition + r.Partitions()} {
		if err := r.createGroup(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// createGroup makes stream and group. It begins at 0, not at the end: what is
// already there when the group had to be made again must not be skipped.
func (r *Redis) createGroup(ctx context.Context, stream int) error {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	err := r.db.XGroupCreateMkStream(ctx, r.stream(stream), group, "0").Err()
	if err != nil && !strings.HasPrefix(err.Error(), "BUSYGROUP") {
		return wrap("create consumer group", err)
	}
	return nil
}

// AckEvents acknowledges and deletes entries. Only after Postgres has committed
// them: what is acknowledged is gone. It may be repeated.
func (r *Redis) AckEvents(ctx context.Context, stream int, streamIDs []string) error {
	for len(streamIDs) > 0 {
		n := min(len(streamIDs), maxScriptItems)
		args := make([]any, 0, n+1)
		args = append(args, group)
		for _, id := range streamIDs[:n] {
			args = append(args, id)
		}
		if err := r.ackOnce(ctx, stream, args); err != nil {
			return err
		}
		streamIDs = streamIDs[n:]
	}
	return nil
}

// maxScriptItems bounds what one call of a script works through, so that it does
// not hold up Redis: well under a millisecond's work.
const maxScriptItems = 1000

func (r *Redis) ackOnce(ctx context.Context, stream int, args []any) error {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	return wrap("acknowledge events", eventAck.Run(ctx, r.db, []string{r.stream(stream)}, args...).Err())
}

// Backlog returns how many events of a stream Postgres does not have yet, and
// when the oldest of them was appended; the zero time if there is none.
func (r *Redis) Backlog(ctx context.Context, stream int) (n int64, oldest time.Time, err error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	key := r.stream(stream)
	var length *redis.IntCmd
	var first *redis.XMessageSliceCmd
	_, err = r.db.Pipelined(ctx, func(p redis.Pipeliner) error {
		length = p.XLen(ctx, key)
		first = p.XRangeN(ctx, key, "-", "+", 1)
		return nil
	})
	if err != nil {
		return 0, time.Time{}, wrap("read backlog", err)
	}
	if m := first.Val(); len(m) > 0 {
		ms, _, _ := strings.Cut(m[0].ID, "-")
		if oldest, err = msTime(ms); err != nil {
			return 0, time.Time{}, fmt.Errorf("store: read backlog: %w", err)
		}
	}
	return length.Val(), oldest, nil
}

// A Fence is a point in a partition's events: all that had happened when it was
// taken lies before it.
type Fence struct {
	Partition int
	Epoch     string
	StreamID  string
}

// Fence returns the present end of the partition's events. Take it after the
// look whose conclusions it is to guard.
func (r *Redis) Fence(ctx context.Context, partition int) (Fence, error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	var info *redis.XInfoStreamCmd
	var epoch *redis.StringCmd
	_, err := r.db.TxPipelined(ctx, func(p redis.Pipeliner) error {
		info = p.XInfoStream(ctx, r.keys.events(partition))
		epoch = p.HGet(ctx, r.keys.partitionMeta(partition), "epoch")
		return nil
	})
	if err != nil {
		return Fence{}, wrap("take fence", err)
	}
	return Fence{Partition: partition, Epoch: epoch.Val(), StreamID: info.Val().LastGeneratedID}, nil
}

// Passed says whether Postgres has all events up to the fence: the stream is
// empty, or its first entry lies beyond. It returns ErrEpochChanged when the
// fence belongs to data that is no longer there.
func (r *Redis) Passed(ctx context.Context, f Fence) (bool, error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	var upTo *redis.XMessageSliceCmd
	var epoch *redis.StringCmd
	_, err := r.db.TxPipelined(ctx, func(p redis.Pipeliner) error {
		upTo = p.XRangeN(ctx, r.keys.events(f.Partition), "-", f.StreamID, 1)
		epoch = p.HGet(ctx, r.keys.partitionMeta(f.Partition), "epoch")
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return false, wrap("look at fence", err)
	}
	if epoch.Val() != f.Epoch {
		return false, ErrEpochChanged
	}
	return len(upTo.Val()) == 0, nil
}
