package command

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sessiongate/sessiongate/internal/config"
	"github.com/sessiongate/sessiongate/store"
)

// oldestPostgres is the first version with everything that the statements use.
const oldestPostgres = 13

func (e *examination) postgres(ctx context.Context, cfg config.Config) {
	db, err := openPostgres(cfg)
	if err != nil {
		e.bad("postgres", err, "")
		return
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(ctx, cfg.Database.StatementTimeout)
	defer cancel()
	if err := db.Ping(ctx); err != nil {
		e.bad("postgres", err, "is database.url right, is the server running, does a firewall let us through?")
		return
	}
	version, err := number(ctx, db, "SELECT current_setting('server_version_num')::int / 10000")
	if err != nil {
		e.bad("postgres: version", err, "")
		return
	}
	e.check(version >= oldestPostgres, failed, "postgres: version", fmt.Sprint(version),
		fmt.Sprintf("want %d or later", oldestPostgres))

	pending, err := db.MigrationPending(ctx)
	if err != nil {
		e.bad("postgres: schema", err, "")
		return
	}
	if pending {
		e.check(false, failed, "postgres: schema", "not up to date", "sessiongate migrate, or database.migrate: true")
		return
	}
	e.good("postgres: schema", "up to date")
	e.partitions(ctx, db)
	e.leftovers(ctx, db)
	if cfg.Tokens.Keys == config.KeysManaged {
		e.managedKeys(ctx, cfg, db)
	}
}

// partitions looks for this month's and the next one's.
func (e *examination) partitions(ctx context.Context, db *store.Postgres) {
	const statement = `
		SELECT count(*) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhparent = 'session_logs'::regclass AND c.relname = $1`
	var missing []string
	now := time.Now().UTC()
	for ahead := range 2 {
		month := time.Date(now.Year(), now.Month()+time.Month(ahead), 1, 0, 0, 0, 0, time.UTC)
		n, err := number(ctx, db, statement, month.Format("session_logs_200601"))
		if err != nil {
			e.bad("postgres: partitions", err, "")
			return
		}
		if n == 0 {
			missing = append(missing, month.Format("2006-01"))
		}
	}
	e.check(len(missing) == 0, failed, "postgres: partitions", missingText(missing),
		"sessiongate migrate makes them; is the job partitions running?")
}

func missingText(months []string) string {
	if len(months) == 0 {
		return "this month and the next"
	}
	return "none for " + strings.Join(months, " and ")
}

// leftovers looks for rows that somebody has to look at.
func (e *examination) leftovers(ctx context.Context, db *store.Postgres) {
	for _, l := range []struct{ what, table, hint string }{
		{"postgres: rows outside partitions", "session_logs_default", "the job partitions moves them at its next run"},
		{
			"postgres: dead letters", "session_logs_dead",
			"events that could not be written, with the reason: SELECT * FROM session_logs_dead",
		},
	} {
		// Up to a thousand: there may be very many.
		n, err := number(ctx, db, "SELECT count(*) FROM (SELECT FROM "+l.table+" LIMIT 1000) AS found")
		if err != nil {
			e.bad(l.what, err, "")
			continue
		}
		e.check(n == 0, warning, l.what, fmt.Sprint(n), l.hint)
	}
}

func number(ctx context.Context, db *store.Postgres, statement string, args ...any) (n int, err error) {
	err = db.DB().QueryRowContext(ctx, statement, args...).Scan(&n)
	return n, err
}
