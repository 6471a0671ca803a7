package jobs

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// clockSource is the clock all gateways share, as store.Redis has it.
type clockSource interface {
	// Clock returns the time by it, as of the last SyncClock.
	Clock() time.Time
	// SyncClock measures how far this machine's clock is behind it.
	SyncClock(ctx context.Context) (skew time.Duration, err error)
}

// clock keeps the gateway's time close to Redis's: events are dated by it, and
// sessions are judged by it.
type clock struct {
	source clockSource
	skew   prometheus.Gauge
}

// Run measures once. Nothing is done that would be worth counting.
func (c *clock) Run(ctx context.Context) (int, error) {
	skew, err := c.source.SyncClock(ctx)
	if err != nil {
		return 0, err
	}
	c.skew.Set(skew.Seconds())
	return 0, nil
}
