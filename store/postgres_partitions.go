package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	schema "github.com/sessiongate/sessiongate/sql"
)

var (
	lockMonths           = schema.Query("lock_session_logs_months")
	selectMonths         = schema.Query("select_session_logs_months")
	selectUncoveredMonth = schema.Query("select_uncovered_months")
)

// monthsLock is the advisory lock under which months are made and dropped:
// "sg month" in ASCII.
const monthsLock = 0x7367206d6f6e7468

// EnsurePartitions makes the partitions of session_logs that are missing for the
// month of now and the given number after it, and for any month before them that
// has rows in the default partition, and moves those rows. It returns how many
// it made. Any number of gateways may run it at once. Each month is a transaction
// of its own; one that would have to wait long for a lock is given up, with an
// error that wraps session.ErrUnavailable, and made the next time.
func (p *Postgres) EnsurePartitions(ctx context.Context, now time.Time, months int) (created int, err error) {
	err = p.withMonths("ensure partitions", func(db *sql.DB) error {
		first := monthOf(now)
		wanted, err := monthsWithout(ctx, db, first)
		if err != nil {
			return err
		}
		for i := range months + 1 {
			wanted = append(wanted, first.AddDate(0, i, 0))
		}
		for _, m := range wanted {
			made, err := ensureMonth(ctx, db, m)
			if err != nil {
				return fmt.Errorf("%s: %w", partitionName(m), err)
			}
			created += made
		}
		return nil
	})
	return created, err
}

// DropPartitions drops the partitions of session_logs whose month was over by
// before, with all their rows, and returns how many. Rows of such a month that
// are in the default partition stay.
func (p *Postgres) DropPartitions(ctx context.Context, before time.Time) (dropped int, err error) {
	err = p.withMonths("drop partitions", func(db *sql.DB) error {
		names, err := monthNames(ctx, db)
		if err != nil {
			return err
		}
		for _, name := range names {
			month, err := time.Parse(partitionLayout, name)
			if err != nil || month.AddDate(0, 1, 0).After(before) {
				continue
			}
			gone, err := dropMonth(ctx, db, name)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			dropped += gone
		}
		return nil
	})
	return dropped, err
}

func (p *Postgres) withMonths(what string, do func(*sql.DB) error) (err error) {
	db, err := p.maintenance()
	if err != nil {
		return pgError(what, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return pgError(what, do(db))
}

// ensureMonth returns 1 if it made the month, 0 if it was there.
func ensureMonth(ctx context.Context, db *sql.DB, month time.Time) (made int, err error) {
	name := partitionName(month)
	statements := schema.DDL("create_month", map[string]string{
		"name": name,
		"from": month.Format(time.RFC3339),
		"to":   month.AddDate(0, 1, 0).Format(time.RFC3339),
	})
	err = alone(ctx, db, func(tx *sql.Tx, names []string) error {
		if slices.Contains(names, name) {
			return nil
		}
		made = 1
		_, err := tx.ExecContext(ctx, statements)
		return err
	})
	if err != nil {
		return 0, err
	}
	return made, nil
}

// dropMonth returns 1 if it dropped the month, 0 if it was gone.
func dropMonth(ctx context.Context, db *sql.DB, name string) (gone int, err error) {
	err = alone(ctx, db, func(tx *sql.Tx, names []string) error {
		if !slices.Contains(names, name) {
			return nil
		}
		gone = 1
		_, err := tx.ExecContext(ctx, schema.DDL("drop_month", map[string]string{"name": name}))
		return err
	})
	if err != nil {
		return 0, err
	}
	return gone, nil
}

// alone runs do in a transaction that no other gateway's runs beside, with the
// names of the months as they are then.
func alone(ctx context.Context, db *sql.DB, do func(tx *sql.Tx, names []string) error) error {
	return inTx(ctx, db, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, lockMonths, int64(monthsLock)); err != nil {
			return err
		}
		names, err := monthNames(ctx, tx)
		if err != nil {
			return err
		}
		return do(tx, names)
	})
}

// querier is *sql.DB or *sql.Tx.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func monthNames(ctx context.Context, q querier) ([]string, error) {
	return column[string](q.QueryContext(ctx, selectMonths))
}

// monthsWithout are the months before the given one that rows had to go to the
// default partition for.
func monthsWithout(ctx context.Context, q querier, before time.Time) ([]time.Time, error) {
	return column[time.Time](q.QueryContext(ctx, selectUncoveredMonth, before))
}

// column reads rows of one column.
func column[T any](rows *sql.Rows, err error) ([]T, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		var v T
		if err := rows.Scan(&v); err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}

// partitionLayout is the name of a month's partition, as time.Format writes it.
const partitionLayout = "session_logs_200601"

func partitionName(month time.Time) string { return month.UTC().Format(partitionLayout) }

func monthOf(t time.Time) time.Time {
	t = t.UTC()
	return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
}
