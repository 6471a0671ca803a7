package jobs

import (
	"context"
	"time"
)

// historian keeps what users were seen with and at, as store.Postgres does.
type historian interface {
	// ForgetHistory deletes what nobody has been seen with or at since before, up
	// to limit rows of each kind, and returns how many.
	ForgetHistory(ctx context.Context, before time.Time, limit int) (forgotten int, err error)
}

// reloader reads files that have been replaced, as geo.DB does.
type reloader interface {
	// Reload returns how many it read; its error names those that it could not use.
	Reload(ctx context.Context) (reloaded int, err error)
}

// forgetBatch is how many rows of a kind go in one statement.
const forgetBatch = 5000

// forget deletes what users have not been seen with or at for long.
type forget struct {
	db   historian
	now  func() time.Time
	keep time.Duration
}

// Run returns how many rows it deleted. It ends with its time; the next run goes on.
func (f *forget) Run(ctx context.Context) (done int, err error) {
	end := closingTime(ctx)
	for time.Now().Before(end) {
		n, err := f.db.ForgetHistory(ctx, f.now().Add(-f.keep), forgetBatch)
		done += n
		if err != nil || n == 0 {
			return done, err
		}
	}
	return done, nil
}
