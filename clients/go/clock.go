package sessiongate

import (
	"math"
	"time"
)

// A Clock tells a Client the time and wakes it. Tests have their own.
type Clock interface {
	// Now is the time that has passed since some moment. It only goes forward,
	// whatever is done to the device's clock.
	Now() time.Duration
	// Wall is the time of day. It only hints that the device has slept.
	Wall() time.Time
	// AfterFunc calls f once, on a goroutine of its own, unless stop is called before.
	AfterFunc(d time.Duration, f func()) (stop func())
}

type systemClock struct{ began time.Time }

func newSystemClock() systemClock { return systemClock{began: time.Now()} }

func (c systemClock) Now() time.Duration { return time.Since(c.began) }
func (c systemClock) Wall() time.Time    { return time.Now().Round(0) } // without the monotonic reading

func (c systemClock) AfterFunc(d time.Duration, f func()) func() {
	t := time.AfterFunc(d, f)
	return func() { t.Stop() }
}

// never and ever stand for moments that are not known.
const (
	never = time.Duration(math.MaxInt64)
	ever  = time.Duration(math.MinInt64 / 2) // what is subtracted from a moment does not overflow
)

// retryDelay is how long to wait after so many failures in a row; r is random,
// 0 ≤ r < 1.
func retryDelay(failures int, longest time.Duration, r float64) time.Duration {
	most := min(500*time.Millisecond<<min(failures-1, 16), longest)
	return time.Duration(float64(most) * (0.5 + r/2))
}

// toldDelay is how long to wait when told to: not everybody should be back at once.
func toldDelay(told time.Duration, r float64) time.Duration {
	return time.Duration(float64(told) * (1 + r/2))
}

// An alarm is one timer at a time, whose call never comes late: after a stop or
// another set, the one before does nothing. The owner's lock guards it.
type alarm struct {
	clock Clock
	stopf func()
	n     uint64
}

// set calls f after d, with the number to give to valid.
func (a *alarm) set(d time.Duration, f func(n uint64)) {
	a.stop()
	n := a.n
	a.stopf = a.clock.AfterFunc(d, func() { f(n) })
}

func (a *alarm) stop() {
	a.n++
	if a.stopf != nil {
		a.stopf()
		a.stopf = nil
	}
}

// valid says whether the call that was given n is still wanted.
func (a *alarm) valid(n uint64) bool { return a.n == n }
