package jobs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sessiongate/sessiongate/session"
	"github.com/sessiongate/sessiongate/store"
)

// liveness says which sessions are live, as store.Redis does.
type liveness interface {
	// Missing returns those of the sessions that are not live, whatever the reason.
	// It reads their ID and UserID only.
	Missing(ctx context.Context, refs []session.Session) ([]session.ID, error)
	// PartitionOf returns the partition of a user's sessions and events.
	PartitionOf(userID string) int
}

// fences says how far the flush is, as store.Redis does.
type fences interface {
	// Fence returns the present end of the partition's events.
	Fence(ctx context.Context, partition int) (store.Fence, error)
	// Passed says whether the flush has brought all events up to the fence to
	// Postgres. It returns store.ErrEpochChanged when the fence is of data that is
	// no longer there.
	Passed(ctx context.Context, f store.Fence) (bool, error)
}

// endings is the ledger, as store.Postgres offers it.
type endings interface {
	// CloseMissing ends those of the sessions that have not ended meanwhile, as
	// expired or idle if their time, read again, was over at lookedAt, else as
	// removed_in_redis. It returns how many it ended; those that another gateway is
	// just closing are not among them.
	CloseMissing(ctx context.Context, ids []session.ID, lookedAt time.Time) (closed int, err error)
}

// announcer tells caches that sessions have ended, as store.Redis does.
type announcer interface {
	// Announce may be repeated: who is told twice forgets a session twice.
	Announce(ctx context.Context, gone []session.Session, reason session.EndReason) error
}

const (
	lookPage = 500 // sessions asked about in one go
	// maxMissing bounds what one run keeps in mind. The rest is the next run's.
	maxMissing = 10_000
	fencePoll  = 50 * time.Millisecond
)

// closer ends sessions that Redis does not have any more though nobody said that
// they had ended. That is the delicate part of sweep and reconcile, since a
// session that is missing may just as well have ended in good order, with its
// logout still on the way to Postgres. So, in this order:
//
//  1. look: ask Redis, with no transaction open. A row locked while we wait
//     would stop the flush that we wait for.
//  2. fence: note where the partition's events end now, after the look. Whatever
//     made the session go missing before the look has its event before the fence.
//  3. wait until the flush has passed the fence.
//  4. announce those whose token is still good, for nobody else has: caches of
//     answers may still hold them. Before the close, so that a crash in between announces
//     them twice rather than never.
//  5. close: lock the row, read it again, decide from what it says now.
//
// If the partition turns out to hold other data than at the look (its epoch has
// changed), what was seen there is thrown away.
type closer struct {
	live   liveness
	fences fences
	feed   announcer
	ledger endings
	now    func() time.Time // Redis's clock, by which keys expire
}

// A sighting is what one look at Redis found.
type sighting struct {
	at      time.Time                 // not before the look: what expired until then expired in good order
	missing map[int][]session.Session // by partition; ID, UserID, ExpiresAt, Idle and ActiveAt
}

func (s sighting) count() (n int) {
	for _, ids := range s.missing {
		n += len(ids)
	}
	return n
}

// early counts those that nothing explains: neither was their time over, nor had
// their users been idle for too long.
func (s sighting) early() (n int) {
	for _, missing := range s.missing {
		for i := range missing {
			if s.reason(&missing[i]) == session.EndRemoved {
				n++
			}
		}
	}
	return n
}

// reason is why a session is missing, as far as its row tells.
func (s sighting) reason(m *session.Session) session.EndReason {
	idle := m.IdleExpiresAt()
	switch {
	case !m.ExpiresAt.After(s.at):
		return session.EndExpired
	case !idle.IsZero() && !idle.After(s.at):
		return session.EndIdle
	}
	return session.EndRemoved
}

// look asks Redis which of the sessions are missing.
func (c *closer) look(ctx context.Context, page []session.Session) (sighting, error) {
	ids, err := c.live.Missing(ctx, page)
	if err != nil {
		return sighting{}, fmt.Errorf("look for %d sessions: %w", len(page), err)
	}
	known := make(map[session.ID]session.Session, len(page))
	for _, s := range page {
		known[s.ID] = session.Session{
			ID: s.ID, UserID: s.UserID, ExpiresAt: s.ExpiresAt, Idle: s.Idle, ActiveAt: s.ActiveAt,
		}
	}
	seen := sighting{at: c.now(), missing: make(map[int][]session.Session)}
	for _, id := range ids {
		p := c.live.PartitionOf(known[id].UserID)
		seen.missing[p] = append(seen.missing[p], known[id])
	}
	return seen, nil
}

// close carries out steps 2 to 5 for what the looks found, and returns how many
// sessions it ended. wanted gives the epoch that a partition must have; a
// partition that is not in it may have any.
func (c *closer) close(ctx context.Context, seen []sighting, wanted map[int]string) (done int, err error) {
	partitions := make(map[int]bool)
	for _, s := range seen {
		for p := range s.missing {
			partitions[p] = true
		}
	}
	var taken []store.Fence
	for _, p := range slices.Sorted(maps.Keys(partitions)) {
		f, err := c.fences.Fence(ctx, p)
		if err != nil {
			return 0, fmt.Errorf("partition %d: take fence: %w", p, err)
		}
		taken = append(taken, f)
	}
	var changed []error
	for _, f := range taken {
		err := c.wait(ctx, f, wanted)
		if errors.Is(err, store.ErrEpochChanged) {
			changed = append(changed, fmt.Errorf("partition %d: %w", f.Partition, err))
			delete(partitions, f.Partition)
		} else if err != nil {
			return 0, fmt.Errorf("partition %d: wait for the flush: %w", f.Partition, err)
		}
	}
	done, err = c.end(ctx, seen, partitions)
	return done, errors.Join(append(changed, err)...)
}

// wait returns once the flush has passed the fence.
func (c *closer) wait(ctx context.Context, f store.Fence, wanted map[int]string) error {
	if epoch, ok := wanted[f.Partition]; ok && f.Epoch != epoch {
		return store.ErrEpochChanged
	}
	poll := time.NewTicker(fencePoll)
	defer poll.Stop()
	for {
		passed, err := c.fences.Passed(ctx, f)
		if err != nil || passed {
			return err
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// end closes what was seen missing in the partitions given, a look at a time.
func (c *closer) end(ctx context.Context, seen []sighting, partitions map[int]bool) (done int, err error) {
	for _, s := range seen {
		var ids []session.ID
		early := make(map[session.EndReason][]session.Session)
		for p, missing := range s.missing {
			if !partitions[p] {
				continue
			}
			for _, m := range missing {
				ids = append(ids, m.ID)
				if why := s.reason(&m); why != session.EndExpired {
					early[why] = append(early[why], m)
				}
			}
		}
		if len(ids) == 0 {
			continue
		}
		for why, sessions := range early {
			if err := c.feed.Announce(ctx, sessions, why); err != nil {
				return done, fmt.Errorf("announce %d sessions: %w", len(sessions), err)
			}
		}
		n, err := c.ledger.CloseMissing(ctx, ids, s.at)
		done += n
		if err != nil {
			return done, fmt.Errorf("close %d sessions: %w", len(ids), err)
		}
	}
	return done, nil
}
