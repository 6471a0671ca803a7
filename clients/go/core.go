package sessiongate

import (
	"context"
	"sync"
	"time"
)

// What clients/contract/README.md fixes.
const (
	margin   = time.Minute     // a token with less left is not handed out while another can be had
	leastDue = 5 * time.Second // a new token is not refreshed sooner, whatever the answer says
	fresh    = time.Minute     // for so long neither a resume nor a 401 asks again
)

// want is what to ask the gateway.
type want int

const (
	wantNothing want = iota
	wantStatus
	wantRefresh
)

// core is the session: who is signed in, with what, and what the gateway said of
// it. clients/contract/README.md says how it behaves, and its vectors hold it to that.
//
// Nothing that may take long is done under mu: an exchange takes it between its
// steps, and looks whether its epoch still is the one that counts.
type core struct {
	wire    *wire
	keeper  *keeper
	clock   Clock
	random  func() float64
	changed func(Snapshot) // called under mu, and must not wait

	mu       sync.Mutex
	snapshot Snapshot
	held     *held
	rotation int           // grows with each token
	obtained time.Duration // when the token came; ever if that is not known
	touched  bool          // the user did something, and the gateway does not know

	countsIdle bool
	due, good  time.Duration // when to refresh, and until when the token is good
	heard      time.Duration // the gateway's last word
	heardWall  time.Time
	failures   int // in a row
	notBefore  time.Duration
	retrying   bool // the alarm is a retry, of want
	want       want
	alarm      alarm
	running    *exchange
	toldActive bool
	ranOut     string // why the session whose device is remembered was over
	epoch      *epoch
}

// An epoch is a stretch of time in which nobody signs in or out.
type epoch struct {
	ctx  context.Context
	over context.CancelFunc
}

func newEpoch() *epoch {
	ctx, cancel := context.WithCancel(context.Background())
	return &epoch{ctx: ctx, over: cancel}
}

// exchange is a run of requests that everybody shares who asks meanwhile.
type exchange struct {
	once sync.Once
	done chan struct{}
}

func newExchange() *exchange { return &exchange{done: make(chan struct{})} }

func (x *exchange) finish() {
	if x != nil {
		x.once.Do(func() { close(x.done) })
	}
}

func newCore(w *wire, k *keeper, random func() float64, changed func(Snapshot)) *core {
	c := &core{wire: w, keeper: k, clock: w.clock, random: random, changed: changed, epoch: newEpoch(), ranOut: "expired"}
	c.snapshot.State = StateUnknown
	c.alarm.clock = w.clock
	c.obtained, c.heard, c.notBefore, c.due, c.good = ever, ever, ever, never, never
	return c
}

// begin takes what is stored, and asks the gateway about it.
func (c *core) begin() {
	c.mu.Lock()
	e := c.epoch
	c.mu.Unlock()
	found := c.keeper.read().held
	c.mu.Lock()
	if c.epoch != e {
		c.mu.Unlock()
		return
	}
	if found == nil {
		c.publish(Snapshot{State: StateSignedOut})
		c.mu.Unlock()
		return
	}
	c.take(found)
	asked := c.sync(wantStatus)
	c.mu.Unlock()
	<-asked
}

// load takes what is stored, and asks nobody.
func (c *core) load() {
	c.mu.Lock()
	known := c.snapshot.State != StateUnknown || c.held != nil
	c.mu.Unlock()
	if known {
		return
	}
	found := c.keeper.read().held
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.snapshot.State == StateUnknown && c.held == nil && found != nil {
		c.take(found)
	}
}

// sync asks the gateway, once for all who want it at the same time. What became of
// it is in the snapshot when the channel is closed. The caller has mu.
func (c *core) sync(w want) <-chan struct{} {
	if c.running != nil {
		return c.running.done
	}
	x := newExchange()
	if c.held == nil || c.clock.Now() < c.notBefore {
		x.finish()
		return x.done
	}
	c.stopAlarm()
	c.running = x
	go c.run(x, w, c.epoch)
	return x.done
}

// run makes an exchange. One that has been called off is finished by whoever did.
func (c *core) run(x *exchange, w want, e *epoch) {
	c.exchange(w, e)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running != x {
		return
	}
	c.running = nil
	x.finish()
	if c.isDue() && !c.retrying {
		c.sync(wantRefresh)
	}
}

// hurry makes the next try at once, if one is waiting and may be made. The caller has mu.
func (c *core) hurry() <-chan struct{} {
	if c.retrying {
		return c.sync(c.want)
	}
	return closed()
}

func closed() <-chan struct{} {
	done := make(chan struct{})
	close(done)
	return done
}

// open begins a session, or puts it in the place of another.
func (c *core) open(t terms, at time.Duration) {
	c.mu.Lock()
	waiting := c.void()
	e, h := c.epoch, t.held
	c.mu.Unlock()
	defer waiting.finish()
	c.keeper.keep(&h)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epoch == e {
		c.got(&h, t, at)
	}
}

// end ends the session. signedOut is a token that the gateway has to be told of.
func (c *core) end(reason, signedOut string) {
	c.mu.Lock()
	c.endLocked(reason, signedOut)
}

// endLocked is end for who has mu, and gives it back.
func (c *core) endLocked(reason, signedOut string) {
	mine, sid := c.held, c.sid()
	waiting := c.void()
	c.held = nil
	e := c.epoch
	c.mu.Unlock()
	defer waiting.finish()
	c.keeper.remove(mine, sid, signedOut)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epoch == e { // else somebody has signed in meanwhile
		c.publish(Snapshot{State: StateSignedOut, Reason: reason})
	}
}

// stop leaves everything as it is, and does nothing more.
func (c *core) stop() {
	c.mu.Lock()
	waiting := c.void()
	c.mu.Unlock()
	waiting.finish()
}

// refusedElsewhere is for a token that the gateway has refused on another way. The
// channel is closed when what comes of it is in the snapshot.
func (c *core) refusedElsewhere(token, reason string) <-chan struct{} {
	c.mu.Lock()
	sent, e := c.held, c.epoch
	c.mu.Unlock()
	if sent == nil || sent.access != token {
		return closed()
	}
	next := c.refuse(sent, reason, e)
	c.mu.Lock()
	defer c.mu.Unlock()
	if next != wantNothing && c.epoch == e {
		return c.sync(next)
	}
	return closed()
}

// ended is for a session that has ended, whatever token it has by now.
func (c *core) ended(sid, reason string) {
	c.mu.Lock()
	if c.held == nil || c.snapshot.Session == nil || c.snapshot.Session.ID != sid {
		c.mu.Unlock()
		return
	}
	if reason != "expired" {
		c.endLocked(reason, "")
		return
	}
	token := c.held.access
	c.mu.Unlock()
	if token != "" { // else it is known, and a resumption is under way
		c.refusedElsewhere(token, reason)
	}
}

// The rest is for who has mu.

func (c *core) sid() string {
	if c.held != nil && c.held.sid != "" {
		return c.held.sid
	}
	if c.snapshot.Session != nil {
		return c.snapshot.Session.ID
	}
	return ""
}

func (c *core) token() string {
	if c.held == nil {
		return ""
	}
	return c.held.access
}

// roomy says whether there is time left for more than a request, on the gateway's word.
func (c *core) roomy() bool { return c.good-c.clock.Now() > margin }

func (c *core) isDue() bool { return c.clock.Now() >= c.due }

func (c *core) hasWaited() bool {
	return c.clock.Now()-c.heard >= fresh || c.clock.Wall().Sub(c.heardWall).Abs() >= fresh
}

func (c *core) take(h *held) {
	if h.access != c.token() {
		c.rotation++
	}
	c.held = h
	c.due, c.good = never, never // until the gateway says
}

// void makes nothing count any more that is under way. The caller finishes what
// it returns, when it has done what takes its place.
func (c *core) void() *exchange {
	c.stopAlarm()
	waiting := c.running
	c.running = nil
	c.failures = 0
	c.notBefore, c.due, c.good = ever, never, never
	c.epoch.over()
	c.epoch = newEpoch()
	return waiting
}

func (c *core) stopAlarm() {
	c.alarm.stop()
	c.retrying = false
}

// wake asks after d, unless something else comes before.
func (c *core) wake(d time.Duration, w want) {
	c.alarm.set(d, func(n uint64) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.alarm.valid(n) {
			c.notBefore = ever
			c.sync(w)
		}
	})
}

func (c *core) publish(next Snapshot) {
	if c.snapshot != next {
		c.snapshot = next
		c.changed(next)
	}
}
