package store

import (
	"database/sql"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/session"
	schema "github.com/sessiongate/sessiongate/sql"
)

const partitionSizes = `SELECT c.relname, (SELECT count(*) FROM session_logs AS l WHERE l.tableoid = c.oid)
	FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
	WHERE i.inhparent = CAST('session_logs' AS regclass) ORDER BY c.relname`

func (l *ledger) ensure(want int, now time.Time, months int) {
	l.Helper()
	if created, err := l.EnsurePartitions(l.Context(), now, months); err != nil || created != want {
		l.Errorf("created %d, %v; want %d", created, err, want)
	}
}

func TestPostgresPartitions(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	december := time.Date(2025, 12, 31, 23, 59, 59, 999e6, time.UTC)
	l.write(
		failedLogin("", "", december), failedLogin("", "", noon), failedLogin("", "", noon.AddDate(0, 1, 0)),
		failedLogin("", "", noon.AddDate(9, 0, 0)),
	)
	l.wantRows([]string{"session_logs_default|4"}, partitionSizes)

	// Those of the default partition that are covered by now move; the one of
	// the far future, a clock gone wrong, stays.
	l.ensure(4, noon, 2)
	want := []string{
		"session_logs_202512|1", "session_logs_202603|1", "session_logs_202604|1", "session_logs_202605|0",
		"session_logs_default|1",
	}
	l.wantRows(want, partitionSizes)
	l.ensure(0, noon, 2)
	l.wantRows(want, partitionSizes)

	// A new month behaves like session_logs itself.
	e := failedLogin("42", "203.0.113.1", noon)
	for range 2 {
		l.write(e)
	}
	l.wantRows([]string{"1"}, `SELECT count(*) FROM session_logs_202603 WHERE id = $1`, e.Event.ID)
	l.wantRows([]string{"3"}, `SELECT count(*) FROM pg_inherits WHERE inhrelid IN (
		SELECT indexrelid FROM pg_index WHERE indrelid = CAST('session_logs_202603' AS regclass))`)

	for _, tt := range []struct {
		before time.Time
		want   int
	}{
		{time.Date(2025, 12, 31, 0, 0, 0, 0, time.UTC), 0},
		{time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), 1},
		{time.Date(2026, 4, 30, 23, 0, 0, 0, time.UTC), 1},
		{time.Date(2026, 4, 30, 23, 0, 0, 0, time.UTC), 0},
	} {
		if dropped, err := l.DropPartitions(t.Context(), tt.before); err != nil || dropped != tt.want {
			t.Errorf("before %v dropped %d, %v; want %d", tt.before, dropped, err, tt.want)
		}
	}
	l.wantRows([]string{"session_logs_202604|1", "session_logs_202605|0", "session_logs_default|1"}, partitionSizes)
}

func TestPostgresPartitionsFromManyGateways(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	total := 0
	for range 4 {
		wg.Go(func() {
			n, err := l.EnsurePartitions(t.Context(), noon, 3)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			total += n
			mu.Unlock()
		})
	}
	wg.Go(func() { // the flush goes on meanwhile
		for i := range 20 {
			e := []Entry{failedLogin("", "", noon.AddDate(0, i%4, 0))}
			_, err := l.WriteEvents(t.Context(), e)
			for errors.Is(err, session.ErrUnavailable) {
				_, err = l.WriteEvents(t.Context(), e)
			}
			if err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	if total != 4 {
		t.Errorf("%d were created, want 4", total)
	}
	l.wantRows([]string{"20"}, `SELECT count(*) FROM session_logs`)
	l.ensure(0, noon, 3)
	l.wantRows([]string{"0"}, `SELECT count(*) FROM session_logs_default`)
}

// TestPostgresPartitionsMadeUnderTheFlush: Postgres refuses a row that waited to
// get into the default partition while its month was made. That is no fault of
// the row's.
func TestPostgresPartitionsMadeUnderTheFlush(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	e := failedLogin("", "", noon)
	const waiting = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`
	wrote := make(chan error, 1)
	err := inTx(t.Context(), l.DB(), func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(t.Context(), schema.DDL("create_month", map[string]string{
			"name": "session_logs_202603", "from": "2026-03-01T00:00:00Z", "to": "2026-04-01T00:00:00Z",
		})); err != nil {
			return err
		}
		go func() {
			_, err := l.WriteEvents(t.Context(), []Entry{e})
			wrote <- err
		}()
		for len(wrote) == 0 && l.rows(waiting)[0] == "0" {
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-wrote; !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("error is %v, want ErrUnavailable", err)
	}
	if r := l.write(e); r != (WriteResult{Inserted: 1}) {
		t.Errorf("the second time the result is %+v, want one row", r)
	}
}

// TestPostgresPartitionsDoNotQueue: a report that reads for a long time must not
// have the flush queue up behind the job that waits for it.
func TestPostgresPartitionsDoNotQueue(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	l.write(failedLogin("", "", noon))
	err := inTx(t.Context(), l.DB(), func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(t.Context(), `SELECT count(*) FROM session_logs`); err != nil {
			return err
		}
		if _, err := l.EnsurePartitions(t.Context(), noon, 0); !errors.Is(err, session.ErrUnavailable) {
			t.Errorf("error is %v, want ErrUnavailable", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	l.ensure(1, noon, 0)
}
