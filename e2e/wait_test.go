package e2e

import (
	"testing"
	"time"
)

// patience is how long a condition may take that should hold within a second or
// two: other tests, with the race detector, share the machine.
const patience = time.Minute

const pollEvery = 40 * time.Millisecond

// eventually waits until check returns nil, and fails the test with its last
// error if it never does.
func eventually(t testing.TB, check func() error) {
	t.Helper()
	within(t, patience, check)
}

// within is eventually with a limit that is part of the promise.
func within(t testing.TB, limit time.Duration, check func() error) {
	t.Helper()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	start := time.Now()
	for {
		err := check()
		took := time.Since(start)
		if err == nil && took <= limit {
			return
		}
		if took > limit {
			t.Fatalf("not within %v: %v", limit, err)
		}
		<-poll.C
	}
}
