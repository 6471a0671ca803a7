package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sessiongate/sessiongate/session"
)

// activitySource is what Redis knows of the use of sessions and Postgres does not
// know yet, as store.Redis offers it.
type activitySource interface {
	// Activity returns up to limit of them, the longest waiting first.
	Activity(ctx context.Context, partition, limit int) ([]session.Use, error)
	// ClearActivity removes those that have not changed since.
	ClearActivity(ctx context.Context, partition int, uses []session.Use) error
}

// activitySink is the ledger, as store.Postgres offers it.
type activitySink interface {
	// WriteActivity lets last_activity grow to the times given, and returns the
	// uses whose session has a row. It may be repeated.
	WriteActivity(ctx context.Context, uses []session.Use) (written []session.Use, err error)
}

const (
	activityBatch = 1000
	// maxActivityBatch bounds the growth of a batch that uses without a row fill.
	maxActivityBatch = 1 << 16
	// activityPatience is how long a use waits for its session's row. The row comes
	// with the flush; where it has not come by then it never will: the user was
	// deleted, the event was parked, or it was never a session's.
	activityPatience = 24 * time.Hour
)

// lastActivity carries the use of sessions from Redis to last_activity. A use
// stays in Redis until Postgres has it: also while the session's row itself is
// still on its way there.
type lastActivity struct {
	source     activitySource
	sink       activitySink
	partitions int
	batch      int
	now        func() time.Time
}

// Run writes all that is waiting and returns for how many sessions. Under a load
// that never ends it leaves the rest to the next run in good time.
func (a *lastActivity) Run(ctx context.Context) (done int, err error) {
	var errs []error
	end := closingTime(ctx)
	for p := range a.partitions {
		n, err := a.drain(ctx, p, end)
		done += n
		if err != nil {
			errs = append(errs, fmt.Errorf("partition %d: %w", p, err))
		}
	}
	return done, errors.Join(errs...)
}

func (a *lastActivity) drain(ctx context.Context, partition int, end time.Time) (done int, err error) {
	for limit := a.batch; ; {
		uses, err := a.source.Activity(ctx, partition, limit)
		if err != nil {
			return done, fmt.Errorf("read activity: %w", err)
		}
		full := len(uses) == limit
		written, settled, err := a.write(ctx, partition, uses)
		done += written
		switch {
		case err != nil:
			return done, err
		case !full || time.Now().After(end):
			return done, nil
		case settled >= limit/2:
		case limit >= maxActivityBatch:
			return done, nil
		default:
			// Those without a row are the oldest, so they come first each time. Look
			// past them.
			limit *= 2
		}
	}
}

// write brings uses to Postgres. settled of them need not be looked at again:
// those written, and those that never can be.
func (a *lastActivity) write(ctx context.Context, partition int, uses []session.Use) (written, settled int, err error) {
	if len(uses) == 0 {
		return 0, 0, nil
	}
	done, err := a.sink.WriteActivity(ctx, uses)
	if err != nil {
		return 0, 0, fmt.Errorf("write activity: %w", err)
	}
	over := slices.Concat(done, a.hopeless(uses, done))
	if err := a.source.ClearActivity(ctx, partition, over); err != nil {
		return len(done), 0, fmt.Errorf("clear activity: %w", err)
	}
	return len(done), len(over), nil
}

// hopeless returns the uses that have waited too long for a row.
func (a *lastActivity) hopeless(uses, written []session.Use) []session.Use {
	if len(written) == len(uses) {
		return nil
	}
	hasRow := make(map[session.ID]bool, len(written))
	for _, u := range written {
		hasRow[u.SessionID] = true
	}
	return slices.DeleteFunc(slices.Clone(uses), func(u session.Use) bool {
		return hasRow[u.SessionID] || a.now().Sub(u.At) <= activityPatience
	})
}
