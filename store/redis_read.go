package store

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessiongate/sessiongate/session"
)

// ReadEvents returns up to limit entries of a stream that Postgres may not have
// yet: those of PendingEvents, or, if there are none, of NewEvents. None is an
// empty slice. Up to three round trips.
func (r *Redis) ReadEvents(ctx context.Context, stream, limit int) ([]Entry, error) {
	entries, err := r.PendingEvents(ctx, stream, limit)
	if err != nil || len(entries) > 0 {
		return entries, err
	}
	return r.NewEvents(ctx, stream, limit)
}

// PendingEvents returns up to limit entries that were read before and never
// acknowledged: first those of this gateway, then those of gateways that have not
// touched them for ClaimIdle. As long as they are not acknowledged it returns
// them again. Up to two round trips.
func (r *Redis) PendingEvents(ctx context.Context, stream, limit int) ([]Entry, error) {
	return r.withGroup(ctx, stream, func() ([]Entry, error) {
		own, err := r.readGroup(ctx, stream, limit, "0")
		if err != nil || len(own) > 0 {
			return own, err
		}
		return r.claimEvents(ctx, stream, limit)
	})
}

// NewEvents returns up to limit entries that nobody has read yet; from then on
// they are this gateway's. One round trip.
func (r *Redis) NewEvents(ctx context.Context, stream, limit int) ([]Entry, error) {
	return r.withGroup(ctx, stream, func() ([]Entry, error) { return r.readGroup(ctx, stream, limit, ">") })
}

// withGroup reads, and reads again with a new group where there is none any
// more: Redis lost its data while we were connected.
func (r *Redis) withGroup(ctx context.Context, stream int, read func() ([]Entry, error)) ([]Entry, error) {
	entries, err := read()
	if err != nil && strings.Contains(err.Error(), "NOGROUP") {
		if err := r.createGroup(ctx, stream); err != nil {
			return nil, err
		}
		return read()
	}
	return entries, err
}

func (r *Redis) readGroup(ctx context.Context, stream, limit int, from string) ([]Entry, error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	// Not XReadGroup, which makes a map of each entry.
	reply, err := r.db.Do(ctx, "XREADGROUP", "GROUP", group, r.opt.Instance, "COUNT", limit,
		"STREAMS", r.stream(stream), from).Slice()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, wrap("read events", err)
	}
	messages, err := messagesOf(reply)
	if err != nil {
		return nil, wrap("read events", err)
	}
	return r.decodeEntries(ctx, stream, messages, nil)
}

// claimEvents takes over what a gateway that died had read. It looks once in
// ClaimIdle, and at once again while it finds something.
func (r *Redis) claimEvents(ctx context.Context, stream, limit int) ([]Entry, error) {
	c := &r.claims[stream]
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
	// Not XAutoClaim, which keeps to itself what has vanished.
	reply, err := r.db.Do(ctx, "XAUTOCLAIM", r.stream(stream), group, r.opt.Instance, r.opt.ClaimIdle.Milliseconds(),
		c.cursor, "COUNT", limit).Slice()
	if err != nil {
		return nil, wrap("claim events", err)
	}
	if len(reply) < 3 {
		return nil, wrap("claim events", errReply)
	}
	cursor, _ := reply[0].(string)
	messages, _ := reply[1].([]any)
	gone, _ := reply[2].([]any)
	c.cursor = cursor
	if cursor == "0-0" && len(messages) == 0 {
		c.next = time.Now().Add(r.opt.ClaimIdle / 2)
	}
	return r.decodeEntries(ctx, stream, messages, gone)
}

var errReply = errors.New("the reply has another form than expected")

// messagesOf unwraps [[stream, [message, …]]].
func messagesOf(reply []any) ([]any, error) {
	if len(reply) == 1 {
		if of, ok := reply[0].([]any); ok && len(of) == 2 {
			if messages, ok := of[1].([]any); ok {
				return messages, nil
			}
		}
	}
	return nil, errReply
}

// decodeEntries reads entries, each [id, [name, value, …]]. Those that somebody
// deleted while they were pending come without values, or are named in gone, off
// the group's list already: they are counted and reported, since only a hand or a
// trimmed stream can have done it.
func (r *Redis) decodeEntries(ctx context.Context, stream int, messages, gone []any) ([]Entry, error) {
	entries := make([]Entry, 0, len(messages))
	var vanished []string
	fields := make(map[string]string, len(session.EventFields))
	for _, m := range messages {
		id, values, err := messageOf(m)
		if err != nil {
			return nil, wrap("read events", err)
		}
		if values == nil {
			vanished = append(vanished, id)
			continue
		}
		clear(fields)
		for i := 0; i+1 < len(values); i += 2 {
			name, _ := values[i].(string)
			fields[name], _ = values[i+1].(string)
		}
		e := Entry{Partition: stream % r.Partitions(), StreamID: id}
		if e.Event, e.Err = session.DecodeEvent(fields); e.Err != nil || len(fields) > len(session.EventFields) {
			e.Fields, fields = fields, make(map[string]string, len(session.EventFields))
		}
		entries = append(entries, e)
	}
	if len(vanished)+len(gone) > 0 {
		r.lost.Add(uint64(len(vanished) + len(gone)))
		r.opt.Log.ErrorContext(ctx, "audit events were deleted from the stream before they were written",
			"stream", r.stream(stream), "stream_ids", vanished, "unknown_ids", gone)
	}
	if len(vanished) > 0 {
		if err := r.AckEvents(ctx, stream, vanished); err != nil {
			return nil, err
		}
	}
	return entries, nil
}

func messageOf(m any) (id string, values []any, err error) {
	parts, ok := m.([]any)
	if !ok || len(parts) != 2 {
		return "", nil, errReply
	}
	if id, ok = parts[0].(string); !ok {
		return "", nil, errReply
	}
	if parts[1] == nil {
		return id, nil, nil
	}
	if values, ok = parts[1].([]any); !ok {
		return "", nil, errReply
	}
	if values == nil {
		values = []any{}
	}
	return id, values, nil
}

// Vanished returns how many events this gateway has found deleted from a stream
// before they were written.
func (r *Redis) Vanished() uint64 { return r.lost.Load() }
