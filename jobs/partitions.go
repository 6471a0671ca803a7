package jobs

import (
	"context"
	"time"
)

// partitioner looks after the partitions of session_logs, as store.Postgres does.
type partitioner interface {
	// EnsurePartitions makes the partitions of the month of now and of the months
	// after it that are not there yet. It returns how many it made.
	EnsurePartitions(ctx context.Context, now time.Time, months int) (created int, err error)
	// DropPartitions drops those that hold nothing as late as before. It returns
	// how many it dropped.
	DropPartitions(ctx context.Context, before time.Time) (dropped int, err error)
}

// partitionMonths is how many months ahead there is a partition for: the job may
// fail for a whole quarter before rows fall into the default partition.
const partitionMonths = 3

// partitions makes the months to come.
type partitions struct {
	db  partitioner
	now func() time.Time
}

// Run returns how many partitions it made.
func (p *partitions) Run(ctx context.Context) (int, error) {
	return p.db.EnsurePartitions(ctx, p.now(), partitionMonths)
}

// retention drops the months that need not be kept any more.
type retention struct {
	db   partitioner
	now  func() time.Time
	keep time.Duration
}

// Run returns how many partitions it dropped.
func (r *retention) Run(ctx context.Context) (int, error) {
	return r.db.DropPartitions(ctx, r.now().Add(-r.keep))
}
