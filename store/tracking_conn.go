package store

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/sessiongate/sessiongate/session"
)

// tracker keeps a tracked in step with Redis: CLIENT TRACKING in broadcast mode on
// the sessions' and the users' keys (a raw DEL counts as much as ours), pushed in
// RESP3 over a connection of its own.
//
// That the connection is up proves nothing, and neither does an answer to PING: it
// would come whether or not changes are being told. So the tracker changes a key
// of its own under a tracked prefix every heartbeat, and waits to be told of it.
// Redis tells of changes in the order of its turns, so once it has told of one
// heartbeat, it has told of all that happened before the one before. That one's
// moment, plus lease, is how long the memory is trusted; every hit looks at the
// clock. So the last time that a session counts as live is at most lease after it
// ended, whatever stalls where: Redis, the network, this process.
type tracker struct {
	*tracked
	dial func(context.Context) (net.Conn, error)
	tags []string
	stop context.CancelFunc
	done sync.WaitGroup
}

const (
	heartbeat = 50 * time.Millisecond
	// lease is the longest time for which an ending can go unnoticed.
	lease = 500 * time.Millisecond
	// trackingRetry is how long a connection that failed is not tried again.
	trackingRetry = 100 * time.Millisecond
)

func startTracker(dial func(context.Context) (net.Conn, error), keys keyspace) *tracker {
	ctx, stop := context.WithCancel(context.Background())
	t := &tracker{tracked: newTracked(), dial: dial, tags: keys.tags, stop: stop}
	t.done.Go(func() {
		for ctx.Err() == nil {
			_ = t.follow(ctx) // whatever it was, there is nothing but to begin again
			t.doubt()
			select {
			case <-time.After(trackingRetry):
			case <-ctx.Done():
			}
		}
	})
	return t
}

func (t *tracker) close() {
	t.stop()
	t.done.Wait()
}

// follow connects and follows what changes until that fails.
func (t *tracker) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	dialing, stop := context.WithTimeout(ctx, lease)
	defer stop()
	conn, err := t.dial(dialing)
	if err != nil {
		return err
	}
	defer conn.Close()
	closing := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer closing()

	in := newPushReader(conn)
	if err := t.subscribe(conn, in); err != nil {
		return err
	}
	b := newBeats(t.tags[0])
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		defer cancel() // what can't be written to is not worth reading
		t.beat(ctx, conn, b)
	})
	defer cancel()
	for {
		if err := conn.SetReadDeadline(time.Now().Add(lease)); err != nil {
			return err
		}
		if err := in.next(func(key string, all bool) { t.changed(key, all, b) }); err != nil {
			return err
		}
	}
}

// subscribe begins the tracking. Nothing is in memory by then, and nothing is
// trusted before the second heartbeat has come back.
func (t *tracker) subscribe(conn net.Conn, in *pushReader) error {
	if err := conn.SetDeadline(time.Now().Add(lease)); err != nil {
		return err
	}
	parts := []string{"CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", t.tags[0] + heartbeatKind}
	for _, tag := range t.tags {
		parts = append(parts, "PREFIX", tag+sessionKind, "PREFIX", tag+userKind)
	}
	b := appendParts(nil, []string{"HELLO", "3"})
	if _, err := conn.Write(appendParts(b, parts)); err != nil {
		return err
	}
	for range 2 {
		if err := in.reply(); err != nil {
			return fmt.Errorf("turn on tracking: %w", err)
		}
	}
	return conn.SetDeadline(time.Time{})
}

// beat changes the canary at each heartbeat, unless one is still on its way.
func (t *tracker) beat(ctx context.Context, conn net.Conn, b *beats) {
	again := time.NewTicker(heartbeat)
	defer again.Stop()
	for {
		if now := time.Now(); b.send(now) {
			if conn.SetWriteDeadline(now.Add(lease)) != nil {
				return
			}
			if _, err := conn.Write(b.command); err != nil {
				return
			}
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
	}
}

// changed is told of a key that has changed, or that all of them have.
func (t *tracker) changed(key string, all bool, b *beats) {
	switch {
	case all: // FLUSHALL, FLUSHDB
		t.flush()
		return
	case key == b.canary:
		if sure, ok := b.back(); ok {
			t.trust(sure.Add(lease))
		}
		return
	}
	_, rest, _ := strings.Cut(key, "}:")
	if sid, ok := strings.CutPrefix(rest, sessionKind); ok {
		t.sessionChanged(session.ID(sid))
	} else if user, ok := strings.CutPrefix(rest, userKind); ok {
		t.userChanged(user)
	}
}

// beats are the heartbeats of one connection. At most one is on its way, so no two
// of them are told of in one turn of Redis, and none is taken for another.
type beats struct {
	canary  string // a key that nobody else changes, on this connection or any
	command []byte

	mu       sync.Mutex
	sent     time.Time // of the one on its way; zero: none
	returned time.Time // when the last one that came back was sent
}

func newBeats(tag string) *beats {
	canary := tag + heartbeatKind + uuid.NewString()
	return &beats{canary: canary, command: appendParts(nil, []string{"SET", canary, "1", "PX", "10000"})}
}

// send notes that a heartbeat is sent, and returns false where one is on its way.
func (b *beats) send(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.sent.IsZero() {
		return false
	}
	b.sent = now
	return true
}

// back notes that the heartbeat has come back, and returns the moment up to which
// everything has been told of.
func (b *beats) back() (sure time.Time, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sent.IsZero() { // it has expired: this process stood still
		return time.Time{}, false
	}
	sure, b.returned, b.sent = b.returned, b.sent, time.Time{}
	return sure, !sure.IsZero()
}
