package jobs

import (
	"math/rand/v2"
	"sync"
	"time"
)

// The pause after a failed run: the first, and the longest. It stays short,
// since it is also how late the first good run may be once the fault is over.
const (
	firstPause = time.Second
	maxPause   = 5 * time.Second
)

// backoff keeps a failing job from running at every tick. Each failure in a row
// doubles the pause, up to maxPause; half of it is random, so that the gateways
// do not all come back at the same moment.
type backoff struct {
	now    func() time.Time
	random func() float64 // 0 ≤ random < 1

	mu    sync.Mutex
	pause time.Duration // 0 after a success
	until time.Time
}

func newBackoff(now func() time.Time) *backoff { return &backoff{now: now, random: rand.Float64} }

// pausing says whether the job should not run yet.
func (b *backoff) pausing() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now().Before(b.until)
}

// ran takes note of how a run ended.
func (b *backoff) ran(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil {
		b.pause, b.until = 0, time.Time{}
		return
	}
	b.pause = min(max(2*b.pause, firstPause), maxPause)
	b.until = b.now().Add(b.pause/2 + time.Duration(float64(b.pause/2)*b.random()))
}
