package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sessiongate/sessiongate/session"
)

// lockedOut finds users who may not sign in and have sessions, as store.Postgres does.
type lockedOut interface {
	LockedOut(ctx context.Context, limit int) (userIDs []string, err error)
}

// userRevoker ends a user's sessions, as store.Redis does.
type userRevoker interface {
	RevokeUser(
		ctx context.Context, userID string, except session.ID, reason session.EndReason, op session.Event,
	) (n int, at time.Time, err error)
}

// maxLockedOut bounds one run. The rest is the next run's: who has been dealt with is
// not found again once the flush has passed.
const maxLockedOut = 500

// lockout ends the sessions of users who have been disabled. `sessiongate users
// disable` does so itself, at once; this is for everybody who writes users.is_active,
// and for a command that was cut off between its two steps.
type lockout struct {
	users    lockedOut
	sessions userRevoker
	now      func() time.Time // Redis's clock
}

// Run returns how many sessions it ended.
func (l *lockout) Run(ctx context.Context) (done int, err error) {
	ids, err := l.users.LockedOut(ctx, maxLockedOut)
	if err != nil {
		return 0, fmt.Errorf("find disabled users: %w", err)
	}
	var errs []error
	for _, id := range ids {
		op := session.NewEventID(l.now())
		n, _, err := l.sessions.RevokeUser(ctx, id, "", session.EndDisabled, session.Event{
			ID: op, CreatedAt: op.Time(), Action: session.ActionLogout, Success: true,
		})
		done += n
		if err != nil {
			errs = append(errs, fmt.Errorf("end the sessions of a disabled user: %w", err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return done, errors.Join(errs...)
}
