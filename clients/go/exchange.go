package sessiongate

import "time"

// exchange asks, and draws the conclusion, until there is nothing more to ask.
func (c *core) exchange(w want, e *epoch) {
	for range 4 {
		found := c.keeper.read().held
		c.mu.Lock()
		switch {
		case c.epoch != e || c.held == nil:
			c.mu.Unlock()
			return
		case found == nil:
			c.endLocked("signed_out", "") // by another instance
			return
		case !same(found, c.held):
			c.take(found)
			w = wantStatus
		}
		sent, ask := c.held, c.question(w)
		c.mu.Unlock()
		if w = c.settle(sent, w, c.wire.send(e.ctx, ask), e); w == wantNothing {
			return
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epoch == e {
		c.fail(w, reply{err: ErrNotOurs})
	}
}

// question is what to send. The caller has mu.
func (c *core) question(w want) call {
	if c.held.access == "" {
		return call{method: "POST", path: "/sessions/resume", body: resumption{c.held.refresh, c.wire.device}}
	}
	if w == wantStatus {
		return call{method: "GET", path: "/sessions/status", token: c.held.access}
	}
	refresh := call{method: "POST", path: "/sessions/refresh", token: c.held.access}
	c.toldActive = c.touched && c.countsIdle
	if c.toldActive {
		c.touched = false
		refresh.body = map[string]bool{"active": true}
	}
	return refresh
}

type resumption struct {
	Refresh string  `json:"refresh_token"`
	Device  *Device `json:"device_info,omitempty"`
}

// settle draws the conclusion from an answer. It returns what to ask next.
func (c *core) settle(sent *held, w want, r reply, e *epoch) want {
	if r.refused != "" {
		return c.refuse(sent, r.refused, e)
	}
	isStatus := w == wantStatus && sent.access != ""
	t, isOurs := readTerms(r.body, !isStatus)
	if r.err == nil && isOurs && !isStatus {
		return c.commit(sent, t, e)
	}
	c.mu.Lock()
	if c.epoch != e {
		c.mu.Unlock()
		return wantNothing
	}
	if code := r.final(); code != "" && sent.access == "" {
		if code == "not_found" {
			code = c.ranOut
		}
		c.endLocked(code, "")
		return wantNothing
	}
	defer c.mu.Unlock()
	switch {
	case r.err != nil:
		c.fail(w, r)
	case !isOurs:
		c.fail(w, reply{err: ErrNotOurs})
	default:
		c.heardOf(t, c.clock.Now())
	}
	return wantNothing
}

// commit stores a successor, and only then uses it.
func (c *core) commit(sent *held, t terms, e *epoch) want {
	at := c.clock.Now()
	next := t.held
	if next.refresh == "" {
		next.refresh = sent.refresh
	}
	if e.ctx.Err() != nil {
		return wantNothing
	}
	now := c.keeper.replace(sent, &next)
	c.mu.Lock()
	if c.epoch != e {
		c.mu.Unlock()
		return wantNothing
	}
	if now == nil {
		c.endLocked("signed_out", "")
		return wantNothing
	}
	defer c.mu.Unlock()
	if now == &next {
		c.got(&next, t, at)
		return wantNothing
	}
	c.take(now) // another instance was faster, or somebody else has signed in
	return wantStatus
}

// refuse is for a token that the gateway has definitely refused.
func (c *core) refuse(sent *held, reason string, e *epoch) want {
	now := c.keeper.read().held
	c.mu.Lock()
	switch {
	case c.epoch != e:
		c.mu.Unlock()
		return wantNothing
	case now != nil && !same(now, sent):
		defer c.mu.Unlock()
		c.take(now)
		return wantStatus
	case now == nil:
		c.endLocked("signed_out", "")
		return wantNothing
	case reason != "expired" && reason != "superseded", sent.access == "", sent.refresh == "":
		c.endLocked(reason, "")
		return wantNothing
	}
	c.mu.Unlock()
	rest := &held{refresh: sent.refresh, sid: sent.sid, expiresAt: sent.expiresAt}
	c.keeper.replace(sent, rest)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epoch != e {
		return wantNothing
	}
	c.ranOut = reason
	c.take(rest)
	return wantRefresh
}

// fail waits and tries again: nothing is known. The caller has mu.
func (c *core) fail(w want, r reply) {
	c.failures++
	if c.toldActive {
		c.touched = true // nobody heard
	}
	c.toldActive = false
	now := c.clock.Now()
	longest := 30 * time.Second
	if now >= c.good {
		longest = 300 * time.Second
	}
	delay := retryDelay(c.failures, longest, c.random())
	if told := r.retryAfter(); told > 0 {
		delay = toldDelay(told, c.random())
		c.notBefore = now + delay
	}
	c.stopAlarm()
	c.want, c.retrying = w, true
	c.wake(delay, w)
	c.publish(Snapshot{State: StateStale, Session: c.snapshot.Session})
}

// got is for a token that has come and been stored. The caller has mu.
func (c *core) got(h *held, t terms, at time.Duration) {
	c.take(h)
	c.obtained = at
	t.due = max(t.due, leastDue)
	c.heardOf(t, at)
}

// heardOf takes the gateway's word on the session as it is. The caller has mu.
func (c *core) heardOf(t terms, at time.Duration) {
	c.failures = 0
	c.notBefore = ever
	c.heard, c.heardWall = at, c.clock.Wall()
	c.good, c.due = at+t.good, at+t.due
	c.countsIdle = t.idle
	c.stopAlarm()
	if wait := c.due - c.clock.Now(); wait > 0 {
		c.wake(wait, wantRefresh)
	}
	c.publish(Snapshot{State: StateActive, Session: t.session})
}
