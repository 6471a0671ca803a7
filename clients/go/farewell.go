package sessiongate

import (
	"context"
	"sync"
	"time"
)

// farewell tells the gateway of sign-outs, until it has heard of them. The tokens
// wait in the store, so that the next start goes on.
type farewell struct {
	wire   *wire
	keeper *keeper
	clock  Clock
	random func() float64

	mu        sync.Mutex
	failures  int
	notBefore time.Duration
	running   *exchange
	cancel    context.CancelFunc
	alarm     alarm
}

func newFarewell(w *wire, k *keeper, random func() float64) *farewell {
	return &farewell{wire: w, keeper: k, clock: w.clock, random: random, alarm: alarm{clock: w.clock}, notBefore: ever}
}

// send makes an attempt, if one may be made. The channel is closed when its result
// is there, whatever came of it.
func (f *farewell) send() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sendLocked()
}

func (f *farewell) sendLocked() <-chan struct{} {
	if f.clock.Now() < f.notBefore {
		return closed()
	}
	if f.running == nil {
		f.alarm.stop()
		f.running = newExchange()
		var ctx context.Context
		ctx, f.cancel = context.WithCancel(context.Background())
		go f.run(ctx, f.running)
	}
	return f.running.done
}

func (f *farewell) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.alarm.stop()
	if f.running != nil {
		f.cancel()
		f.running.finish()
		f.running = nil
	}
}

func (f *farewell) run(ctx context.Context, x *exchange) {
	err := f.tell(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.running != x {
		return // stopped
	}
	f.cancel()
	f.running = nil
	x.finish()
	if err != nil {
		f.again(reply{err: err})
	}
}

// tell sends all that waits, and stops at the first that nobody has heard.
func (f *farewell) tell(ctx context.Context) error {
	for ctx.Err() == nil {
		waiting := f.keeper.read().signedOut
		if len(waiting) == 0 || ctx.Err() != nil {
			return nil
		}
		r := f.wire.send(ctx, call{method: "POST", path: "/sessions/logout", token: waiting[0]})
		if r.err != nil && r.refused == "" {
			return r.err
		}
		f.mu.Lock()
		f.failures = 0
		f.mu.Unlock()
		f.keeper.told(waiting[0])
	}
	return nil
}

func (f *farewell) again(r reply) {
	f.failures++
	delay := retryDelay(f.failures, 300*time.Second, f.random())
	if told := r.retryAfter(); told > 0 {
		delay = toldDelay(told, f.random())
		f.notBefore = f.clock.Now() + delay
	}
	f.alarm.set(delay, func(n uint64) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.alarm.valid(n) {
			f.notBefore = ever
			f.sendLocked()
		}
	})
}
