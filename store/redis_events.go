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

// claim is where a partition's search for entries of dead gateways goes on.
type claim struct {
	mu     sync.Mutex
	next   time.Time // not before
	cursor string
}

// Append adds an event that changes no session: a failed login. Repeating it
// adds an entry with the same event id, which Postgres keeps once.
func (r *Redis) Append(ctx context.Context, e session.Event) error {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	by := e.UserID
	if by == "" {
		by = e.Origin.IP
	}
	return wrap("append event", r.db.XAdd(ctx, &redis.XAddArgs{
		Stream: r.keys.events(r.keys.partition(by)),
		Values: e.Fields(),
	}).Err())
}

// createGroup makes stream and group. It begins at 0, not at the end: what is
// already there when the group had to be made again must not be skipped.
func (r *Redis) createGroup(ctx context.Context, partition int) error {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	err := r.db.XGroupCreateMkStream(ctx, r.keys.events(partition), group, "0").Err()
	if err != nil && !strings.HasPrefix(err.Error(), "BUSYGROUP") {
		return wrap("create consumer group", err)
	}
	return nil
}

// ReadEvents returns up to limit entries that Postgres may not have yet: first
// those that this gateway read before and never acknowledged, then those of
// gateways that have not touched them for ClaimIdle, then new ones. None is an
// empty slice. Up to three round trips.
func (r *Redis) ReadEvents(ctx context.Context, partition, limit int) ([]Entry, error) {
	entries, err := r.readEvents(ctx, partition, limit)
	if err != nil && strings.Contains(err.Error(), "NOGROUP") {
		// Redis lost its data while we were connected.
		if err := r.createGroup(ctx, partition); err != nil {
			return nil, err
		}
		return r.readEvents(ctx, partition, limit)
	}
	return entries, err
}

func (r *Redis) readEvents(ctx context.Context, partition, limit int) ([]Entry, error) {
	own, err := r.readGroup(ctx, partition, limit, "0")
	if err != nil || len(own) > 0 {
		return own, err
	}
	claimed, err := r.claimEvents(ctx, partition, limit)
	if err != nil || len(claimed) > 0 {
		return claimed, err
	}
	return r.readGroup(ctx, partition, limit, ">")
}

func (r *Redis) readGroup(ctx context.Context, partition, limit int, from string) ([]Entry, error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	streams, err := r.db.XReadGroup(ctx, &redis.XReadGroupArgs{
		Group:    group,
		Consumer: r.opt.Instance,
		Streams:  []string{r.keys.events(partition), from},
		Count:    int64(limit),
		Block:    -1, // never: the jobs have their own rhythm
	}).Result()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, wrap("read events", err)
	}
	return r.decodeEntries(ctx, partition, streams[0].Messages)
}

// claimEvents takes over what a gateway that died had read. It looks once in
// ClaimIdle, and at once again while it finds something.
func (r *Redis) claimEvents(ctx context.Context, partition, limit int) ([]Entry, error) {
	c := &r.claims[partition]
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Now().Before(c.next) {
		return nil, nil
	}
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	if c.cursor == "" {
		c.cursor = "0-0"
	}
	messages, cursor, err := r.db.XAutoClaim(ctx, &redis.XAutoClaimArgs{
		Stream:   r.keys.events(partition),
		Group:    group,
		Consumer: r.opt.Instance,
		MinIdle:  r.opt.ClaimIdle,
		Start:    c.cursor,
		Count:    int64(limit),
	}).Result()
	if err != nil {
		return nil, wrap("claim events", err)
	}
	c.cursor = cursor
	if cursor == "0-0" && len(messages) == 0 {
		c.next = time.Now().Add(r.opt.ClaimIdle / 2)
	}
	return r.decodeEntries(ctx, partition, messages)
}

// decodeEntries reads entries. Those that somebody deleted while they were
// pending come back without values: they are acknowledged and reported, since
// only a hand can have done it.
func (r *Redis) decodeEntries(ctx context.Context, partition int, messages []redis.XMessage) ([]Entry, error) {
	entries := make([]Entry, 0, len(messages))
	var vanished []string
	for _, m := range messages {
		if m.Values == nil {
			vanished = append(vanished, m.ID)
			continue
		}
		fields := make(map[string]string, len(m.Values))
		for name, value := range m.Values {
			fields[name] = fmt.Sprint(value)
		}
		e := Entry{Partition: partition, StreamID: m.ID, Fields: fields}
		e.Event, e.Err = session.DecodeEvent(fields)
		entries = append(entries, e)
	}
	if len(vanished) > 0 {
		r.opt.Log.ErrorContext(ctx, "audit events were deleted from the stream before they were written",
			"partition", partition, "stream_ids", vanished)
		if err := r.AckEvents(ctx, partition, vanished); err != nil {
			return nil, err
		}
	}
	return entries, nil
}

// AckEvents acknowledges and deletes entries. Only after Postgres has committed
// them: what is acknowledged is gone. It may be repeated.
func (r *Redis) AckEvents(ctx context.Context, partition int, streamIDs []string) error {
	for len(streamIDs) > 0 {
		n := min(len(streamIDs), maxScriptItems)
		args := make([]any, 0, n+1)
		args = append(args, group)
		for _, id := range streamIDs[:n] {
			args = append(args, id)
		}
		if err := r.ackOnce(ctx, partition, args); err != nil {
			return err
		}
		streamIDs = streamIDs[n:]
	}
	return nil
}

// maxScriptItems bounds what one call of a script works through, so that it does
// not hold up Redis: well under a millisecond's work.
const maxScriptItems = 1000

func (r *Redis) ackOnce(ctx context.Context, partition int, args []any) error {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	return wrap("acknowledge events", eventAck.Run(ctx, r.db, []string{r.keys.events(partition)}, args...).Err())
}

// Backlog returns how many events Postgres does not have yet, and when the
// oldest of them was appended; the zero time if there is none.
func (r *Redis) Backlog(ctx context.Context, partition int) (n int64, oldest time.Time, err error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	key := r.keys.events(partition)
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
