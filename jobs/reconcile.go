package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sessiongate/sessiongate/session"
)

// active finds sessions that have not ended, as store.Postgres does.
type active interface {
	// Active returns up to limit of them by id, those after the given one only.
	Active(ctx context.Context, after session.ID, limit int) ([]session.Session, error)
}

// epochs says which life of a partition's data this is, as store.Redis does.
type epochs interface {
	// Epoch returns the epoch and when it began. Redis data that was lost comes
	// back with another one.
	Epoch(ctx context.Context, partition int) (epoch string, since time.Time, err error)
}

// epochBook remembers the epochs, as store.Postgres does.
type epochBook interface {
	// Epoch returns the one recorded for the partition; "" for none.
	Epoch(ctx context.Context, partition int) (string, error)
	SetEpoch(ctx context.Context, partition int, epoch string) error
}

const (
	// minPass is how many sessions a pass must have looked at before the share of
	// them that is missing says anything.
	minPass = 20
	// nearExpiry keeps reconcile away from sessions about to expire. Between the
	// look and the moment noted for it they could expire unseen, and would be taken
	// for removed. They are the sweep's.
	nearExpiry = 2 * time.Second
)

// errTooManyMissing: so much is missing that Redis is the likelier fault.
var errTooManyMissing = errors.New("too many sessions are missing in Redis, none has been closed; " +
	"check that redis.url names the right Redis and that its data is complete")

// reconcile ends the sessions whose keys were removed by hand, and those whose users
// were idle for too long: their keys have expired before their time. It compares every
// session that Postgres has as active with Redis, and distrusts what it finds:
// a wrong URL or an old backup would look like everybody being removed, and what
// is closed in Postgres stays closed.
//
//   - A partition is left alone unless its epoch is the one that Postgres has
//     recorded. A new epoch is recorded once it is a session's lifetime old: what
//     was lost with the old one has been swept as expired by then.
//   - A session that began before the epoch did was lost with the data before it,
//     not removed, also where no epoch had been recorded yet. It is the sweep's.
//   - If more than maxMissing of all sessions looked at in a pass are missing and
//     not idle, nothing is closed. So a pass first looks at everything, and remembers no
//     more than it may close in one go; the rest is the next pass's. An alarm ends
//     by itself, at the latest when what is missing has expired.
type reconcile struct {
	closer
	rows       active
	epochs     epochs
	book       epochBook
	partitions int
	page       int
	ttl        time.Duration // longest life of a session without a refresh
	maxMissing float64       // share of a pass, 0 to 1
	log        *slog.Logger
	halted     *prometheus.GaugeVec
}

// Run makes one pass and returns how many sessions it ended.
func (r *reconcile) Run(ctx context.Context) (done int, err error) {
	trusted, err := r.trusted(ctx)
	if err != nil || len(trusted) == 0 {
		return 0, err
	}
	seen, looked, missing, err := r.pass(ctx, trusted)
	if err != nil {
		return 0, err
	}
	tooMany := looked >= minPass && float64(missing) > r.maxMissing*float64(looked)
	r.halt(haltMissing, tooMany)
	if tooMany {
		return 0, fmt.Errorf("%d of %d sessions, allowed is a share of %v: %w", missing, looked, r.maxMissing, errTooManyMissing)
	}
	wanted := make(map[int]string, len(trusted))
	for p, l := range trusted {
		wanted[p] = l.epoch
	}
	return r.close(ctx, seen, wanted)
}

// life is an epoch of a partition's data.
type life struct {
	epoch string
	since time.Time
}

// trusted returns the epochs of the partitions that may be reconciled.
func (r *reconcile) trusted(ctx context.Context) (map[int]life, error) {
	trusted := make(map[int]life, r.partitions)
	for p := range r.partitions {
		epoch, since, err := r.epochs.Epoch(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("partition %d: read epoch: %w", p, err)
		}
		recorded, err := r.book.Epoch(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("partition %d: read recorded epoch: %w", p, err)
		}
		if recorded != "" && recorded != epoch && r.now().Before(since.Add(r.ttl)) {
			r.log.WarnContext(ctx, "Redis has lost the data of a partition, or is another Redis: not reconciling it",
				"partition", p, "epoch", epoch, "since", since, "recorded", recorded)
			continue
		}
		if recorded != epoch {
			if err := r.book.SetEpoch(ctx, p, epoch); err != nil {
				return nil, fmt.Errorf("partition %d: record epoch: %w", p, err)
			}
		}
		trusted[p] = life{epoch, since}
	}
	r.halt(haltEpoch, len(trusted) < r.partitions)
	return trusted, nil
}

// pass looks at every active session of the trusted partitions.
func (r *reconcile) pass(ctx context.Context, trusted map[int]life) (seen []sighting, looked, missing int, err error) {
	kept := 0
	for after := session.ID(""); ; {
		rows, err := r.rows.Active(ctx, after, r.page)
		if err != nil {
			return nil, 0, 0, fmt.Errorf("find active sessions: %w", err)
		}
		if candidates := r.candidates(rows, trusted); len(candidates) > 0 {
			found, err := r.look(ctx, candidates)
			if err != nil {
				return nil, 0, 0, err
			}
			n := found.count()
			looked, missing = looked+len(candidates), missing+found.early()
			if n > 0 && kept < maxMissing {
				seen, kept = append(seen, found), kept+n
			}
		}
		if len(rows) < r.page {
			return seen, looked, missing, nil
		}
		after = rows[len(rows)-1].ID
	}
}

// candidates returns those of the rows that reconcile may judge.
func (r *reconcile) candidates(rows []session.Session, trusted map[int]life) []session.Session {
	soon := r.now().Add(nearExpiry)
	var judged []session.Session
	for _, s := range rows {
		l, ok := trusted[r.live.PartitionOf(s.UserID)]
		if ok && s.ExpiresAt.After(soon) && !s.CreatedAt.Before(l.since) {
			judged = append(judged, s)
		}
	}
	return judged
}

// Why reconcile is halted, as the label of its metric.
const (
	haltEpoch   = "epoch"
	haltMissing = "missing"
)

func (r *reconcile) halt(reason string, halted bool) {
	value := 0.0
	if halted {
		value = 1
	}
	r.halted.WithLabelValues(reason).Set(value)
}

func newHalted(reg prometheus.Registerer) (*prometheus.GaugeVec, error) {
	halted := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "sessiongate_reconcile_halted",
		Help: "1 while reconcile closes nothing: some partition's epoch is not the recorded one, or too much is missing.",
	}, []string{"reason"})
	halted.WithLabelValues(haltEpoch).Set(0)
	halted.WithLabelValues(haltMissing).Set(0)
	return halted, register(reg, halted)
}
