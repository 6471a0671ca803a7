package sessiongate

import (
	"context"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"sync"
	"time"
)

// liveSilence is how long a stream may be without a byte; heartbeats are three
// times as often.
const liveSilence = 45 * time.Second

// live listens to GET /sessions/events, so that a sign-out from elsewhere arrives
// at once. It never calls the core while it has mu: the core calls it under its own.
type live struct {
	wire   *wire
	core   *core
	clock  Clock
	random func() float64

	mu        sync.Mutex
	sid       string   // the session that it listens for
	attempt   *attempt // the one that counts; nil: none, and none is wanted
	failures  int      // since the last hello
	off       bool     // the gateway does not have it
	notBefore time.Duration
	alarm     alarm
}

// attempt is one connection, and the time after it until the next.
type attempt struct {
	ctx    context.Context
	cancel context.CancelFunc // of the connection
}

func newLive(w *wire, c *core, random func() float64) *live {
	return &live{wire: w, core: c, clock: w.clock, random: random, notBefore: ever, alarm: alarm{clock: w.clock}}
}

// open listens for the session from now on, if it does not already.
func (l *live) open(sid string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.off || l.attempt != nil && l.sid == sid {
		return
	}
	l.closeLocked()
	l.sid = sid
	l.listen()
}

// close listens no more.
func (l *live) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closeLocked()
}

func (l *live) closeLocked() {
	l.alarm.stop()
	if l.attempt != nil {
		l.attempt.cancel()
		l.attempt = nil
	}
	l.failures = 0
}

// hurry comes back at once, if it is waiting to and may.
func (l *live) hurry() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.attempt != nil && l.attempt.ctx.Err() != nil && l.clock.Now() >= l.notBefore {
		l.listen()
	}
}

// listen makes an attempt. The caller has mu.
func (l *live) listen() {
	a := new(attempt)
	a.ctx, a.cancel = context.WithCancel(context.Background())
	l.attempt = a
	l.watch()
	go l.run(a, l.sid)
}

// watch gives the attempt up when there is no more word from it. The caller has mu.
func (l *live) watch() {
	a := l.attempt
	l.alarm.set(liveSilence, func(n uint64) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.alarm.valid(n) {
			a.cancel()
		}
	})
}

func (l *live) run(a *attempt, sid string) {
	l.core.mu.Lock()
	token := l.core.token()
	l.core.mu.Unlock()
	var err error
	if token != "" {
		err = l.attend(a, token, sid)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.attempt != a {
		return
	}
	if token == "" || l.off {
		l.closeLocked()
		return
	}
	l.again(reply{err: err})
}

// again waits for the next attempt. The caller has mu.
func (l *live) again(r reply) {
	l.attempt.cancel()
	l.failures++
	delay := retryDelay(l.failures, 30*time.Second, l.random())
	if told := r.retryAfter(); told > 0 {
		delay = toldDelay(told, l.random())
		l.notBefore = l.clock.Now() + delay
	}
	l.alarm.set(delay, func(n uint64) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.alarm.valid(n) {
			l.listen()
		}
	})
}

// attend follows one stream to its end.
func (l *live) attend(a *attempt, token, sid string) error {
	res, err := l.wire.request(a.ctx, call{method: "GET", path: "/sessions/events", token: token})
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return l.declined(a, token, conclude(res))
	}
	if media, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); media != "text/event-stream" {
		return ErrNotOurs
	}
	blocks := newBlocks(res.Body)
	for {
		b, err := blocks.next()
		if err != nil {
			return err
		}
		l.mu.Lock()
		if l.attempt != a {
			l.mu.Unlock()
			return nil
		}
		l.watch()
		if b.event == "hello" {
			l.failures = 0
		}
		l.mu.Unlock()
		if b.event == "ended" {
			l.heard(a, b.data, sid)
		}
	}
}

// declined draws the conclusion from an answer that is no stream.
func (l *live) declined(a *attempt, token string, r reply) error {
	l.mu.Lock()
	counts := l.attempt == a
	var e *Error
	if counts && errors.As(r.err, &e) && e.Status == http.StatusNotFound {
		l.off = true
	}
	l.mu.Unlock()
	if counts && r.refused != "" {
		l.core.refusedElsewhere(token, r.refused)
	}
	return r.err
}

func (l *live) heard(a *attempt, data []byte, sid string) {
	var ending struct {
		SID    string `json:"sid"`
		Reason string `json:"reason"`
	}
	if json.Unmarshal(data, &ending) != nil || ending.SID != sid {
		return
	}
	if ending.Reason == "" {
		ending.Reason = "logged_out_or_revoked"
	}
	l.mu.Lock()
	if l.attempt == a {
		l.closeLocked()
	}
	l.mu.Unlock()
	l.core.ended(sid, ending.Reason)
}
