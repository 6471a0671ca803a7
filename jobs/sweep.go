package jobs

import (
	"context"
	"fmt"
	"time"

	"github.com/sessiongate/sessiongate/session"
)

// expired finds sessions whose time is over, as store.Postgres does.
type expired interface {
	// Expired returns up to limit sessions that have not ended and whose expires_at
	// is at before or earlier, by id, those after the given one only.
	Expired(ctx context.Context, before time.Time, after session.ID, limit int) ([]session.Session, error)
}

// sweep ends the sessions that nobody refreshed in time. Redis forgets them by
// itself, without a word; Postgres knows all that began. The row is only a hint,
// since a refresh may be on its way there: Redis has the last word.
type sweep struct {
	closer
	rows expired
	page int
}

// Run ends all sessions that have expired by now and returns how many.
func (s *sweep) Run(ctx context.Context) (done int, err error) {
	end := closingTime(ctx)
	now := s.now()
	for after := session.ID(""); ; {
		seen, last, err := s.gather(ctx, now, after)
		if err != nil {
			return done, err
		}
		n, err := s.close(ctx, seen, nil)
		done += n
		if err != nil || last == "" || time.Now().After(end) {
			return done, err
		}
		after = last
	}
}

// gather looks at page after page, so that one wait for the flush serves many.
// It returns the id to go on after; "" when there are no more.
func (s *sweep) gather(ctx context.Context, now time.Time, after session.ID) (seen []sighting, last session.ID, err error) {
	for missing := 0; missing < maxMissing; {
		rows, err := s.rows.Expired(ctx, now, after, s.page)
		if err != nil {
			return nil, "", fmt.Errorf("find expired sessions: %w", err)
		}
		if len(rows) > 0 {
			found, err := s.look(ctx, rows)
			if err != nil {
				return nil, "", err
			}
			seen = append(seen, found)
			missing += found.count()
			after = rows[len(rows)-1].ID
		}
		if len(rows) < s.page {
			return seen, "", nil
		}
	}
	return seen, after, nil
}
