package store

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/sessiongate/sessiongate/session"
)

// lookups answers "where does this session stand?", the question of the hot
// path, over connections of its own, and shares round trips among callers that
// ask at the same moment: one round trip costs more than everything else about a
// request together.
//
// A few lanes, each one connection, carry the questions. As long as there are
// fewer callers than lanes, each takes a lane and asks at once, so a lone request
// never waits for company. Beyond that, callers queue while a round trip is out,
// and what has gathered goes with the next one.
//
// The questions are two plain reads; EVALSHA would cost Redis four times as much.
// Each batch ends with an ECHO of its own, so that answers can't shift from one
// caller to the next: a connection whose answers don't add up, or that has failed
// in any way, is closed and never used again.
type lookups struct {
	dial    func(ctx context.Context) (net.Conn, error) // signed in, database selected
	timeout time.Duration                               // from the question to the answer
	remains bool                                        // what is asked is kept in memory: until when it may be

	mu          sync.Mutex
	idle        []*lane
	queue       []*lookup
	spare       []*lookup // the next queue
	outstanding int       // callers on a lane, and questions queued
	draining    bool      // a lane serves the queue
}

const (
	maxLanes  = 4
	maxBatch  = 256     // questions in one round trip
	maxQueued = 1 << 14 // callers; beyond it there is something wrong, and they are told so
)

// lookup is one question and its answer.
type lookup struct {
	tag    string // of the user's partition; the keys are spelled on the way out
	userID string
	sid    session.ID
	whole  bool // asks for all there is of the session, and for when it was last seen
	ends   bool // asks for when the keys will be gone
	asked  time.Time

	standing standing
	hash     map[string]string // where whole
	seen     string            // where whole: Unix ms; "" for never
	active   string            // as seen: when the user did something; "" without an idle timeout
	err      error
	done     chan struct{} // receives once
}

// question is what a lookup asks.
func (q *lookup) question(tag, userID string, sid session.ID, whole bool) {
	q.tag, q.userID, q.sid, q.whole, q.ends = tag, userID, sid, whole, false
	q.asked, q.standing, q.hash, q.seen, q.active, q.err = time.Now(), standing{}, nil, "", "", nil
}

// standing is where a session stands: what validation needs to know of it.
type standing struct {
	live       bool // its own key exists, names the user, and the user's zset lists it
	used       bool // its current token has been seen in use
	generation int64
	rotated    int64 // Unix ms; 0 for generation 0
	expires    int64 // Unix ms
	ends       int64 // Unix ms; when the first of the two keys will be gone, where that was asked
}

func newLookups(dial func(context.Context) (net.Conn, error), timeout time.Duration) *lookups {
	l := &lookups{dial: dial, timeout: timeout}
	for range maxLanes {
		l.idle = append(l.idle, newLane())
	}
	return l
}

var lookupPool = sync.Pool{New: func() any { return &lookup{done: make(chan struct{}, 1)} }}

// ask returns where the session stands. The error wraps session.ErrUnavailable.
// It takes no longer than the timeout: a round trip ends by the deadline of the
// one who has waited longest.
func (l *lookups) ask(ctx context.Context, tag, userID string, sid session.ID) (standing, error) {
	q := lookupPool.Get().(*lookup)
	q.question(tag, userID, sid, false)
	q.ends = l.remains
	if err := l.answer(ctx, q); err != nil {
		return standing{}, err
	}
	s, err := q.standing, q.err
	lookupPool.Put(q)
	return s, err
}

// askWhole is ask, and returns all fields of the session's hash, and when it was
// last seen in use, from the same round trip.
func (l *lookups) askWhole(ctx context.Context, tag, userID string, sid session.ID) (*lookup, error) {
	q := &lookup{done: make(chan struct{}, 1)}
	q.question(tag, userID, sid, true)
	if err := l.answer(ctx, q); err != nil {
		return nil, err
	}
	return q, q.err
}

// answer returns once q has its answer. After an error it never will, as far as the
// caller is concerned: q must not be looked at or used again.
func (l *lookups) answer(ctx context.Context, q *lookup) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", session.ErrUnavailable, err)
	}
	lane, err := l.enter(q)
	switch {
	case err != nil:
		return err
	case lane != nil:
		lane.one[0] = q
		l.exchange(lane, lane.one[:])
		lane.one[0] = nil
		l.leave(lane)
		return nil
	}
	select {
	case <-q.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", session.ErrUnavailable, context.Cause(ctx))
	}
}

// askAll asks several questions of one caller, maxBatch at most, in one round
// trip; two where others were queued before them. Each gets its standing and its
// error. They share a done channel that has room for all of them.
func (l *lookups) askAll(ctx context.Context, questions []*lookup) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", session.ErrUnavailable, err)
	}
	lane, err := l.enter(questions...)
	if err != nil {
		return err
	}
	if lane != nil {
		l.exchange(lane, questions)
		l.leave(lane)
		return nil
	}
	for _, q := range questions {
		select {
		case <-q.done:
		case <-ctx.Done(): // the answers will come, to nobody
			return fmt.Errorf("%w: %w", session.ErrUnavailable, context.Cause(ctx))
		}
	}
	return nil
}

// enter gives the caller a lane to ask on, or, with a nil lane, places in the
// queue. Whoever queues does so behind a lane that is out, which will see to it.
func (l *lookups) enter(questions ...*lookup) (*lane, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) >= maxQueued {
		return nil, fmt.Errorf("%w: too many questions to redis are waiting", session.ErrUnavailable)
	}
	l.outstanding++
	if n := len(l.idle); n == maxLanes || n > 0 && l.outstanding <= maxLanes {
		lane := l.idle[n-1]
		l.idle = l.idle[:n-1]
		return lane, nil
	}
	l.outstanding += len(questions) - 1 // drain counts them one by one
	l.queue = append(l.queue, questions...)
	return nil, nil
}

// leave gives the lane back, or to the queue that has gathered meanwhile.
func (l *lookups) leave(lane *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.outstanding--
	if len(l.queue) > 0 && !l.draining {
		l.draining = true
		go l.drain(lane)
		return
	}
	l.idle = append(l.idle, lane)
}

// drain carries the queue, a batch a round trip, until it is empty.
func (l *lookups) drain(lane *lane) {
	for {
		// Those who are about to ask may do so first, if there are any: they would
		// wait for the whole of the next round trip, and a larger batch costs
		// everybody less. Nobody waits for somebody who is not ready.
		runtime.Gosched()
		batch := l.take(lane)
		if batch == nil {
			return
		}
		l.exchange(lane, batch)
		n := len(batch)
		for i, q := range batch {
			q.done <- struct{}{}
			batch[i] = nil
		}
		l.mu.Lock()
		l.outstanding -= n
		l.mu.Unlock()
	}
}

// take returns the next batch, or nil after giving the lane back.
func (l *lookups) take(lane *lane) []*lookup {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch n := len(l.queue); {
	case n == 0:
		l.draining = false
		l.idle = append(l.idle, lane)
		return nil
	case n <= maxBatch:
		batch := l.queue
		l.queue, l.spare = l.spare[:0], batch
		return batch
	default:
		batch := append(make([]*lookup, 0, maxBatch), l.queue[:maxBatch]...)
		rest := copy(l.queue, l.queue[maxBatch:])
		clear(l.queue[rest:])
		l.queue = l.queue[:rest]
		return batch
	}
}

// exchange asks the questions on the lane and fills in the answers, or the same
// error for all. A connection that was lost while it lay idle is replaced once.
func (l *lookups) exchange(lane *lane, batch []*lookup) {
	deadline := batch[0].asked.Add(l.timeout)
	fresh, err := lane.open(l.dial, deadline)
	if err == nil {
		if err = lane.roundTrip(batch, deadline); err != nil && !fresh && time.Now().Before(deadline) {
			if _, err = lane.open(l.dial, deadline); err == nil {
				err = lane.roundTrip(batch, deadline)
			}
		}
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", session.ErrUnavailable, err)
		for _, q := range batch {
			q.standing, q.err = standing{}, err
		}
	}
}

// close closes the connections of the lanes that are not in use.
func (l *lookups) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, lane := range l.idle {
		lane.drop()
	}
}

// read parses a whole number as Redis writes an integer or the score of a zset.
func readNumber(b []byte) (int64, error) {
	n, err := strconv.ParseInt(string(b), 10, 64) // does not escape: no allocation
	if err == nil {
		return n, nil
	}
	f, err := strconv.ParseFloat(string(b), 64)
	if err != nil || f != float64(int64(f)) {
		return 0, fmt.Errorf("redis answered %.20q, want a whole number", b)
	}
	return int64(f), nil
}
