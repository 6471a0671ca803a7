package app

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// migrator is what schema needs of store.Postgres.
type migrator interface {
	// Migrate may be run by any number of gateways at once.
	Migrate(ctx context.Context) error
	MigrationPending(ctx context.Context) (bool, error)
}

// schema sees to it, in the background, that the tables are what this gateway
// expects. Postgres may be away for as long as it likes: until it is back, the
// gateway does what needs only Redis.
type schema struct {
	db      migrator
	migrate bool // or wait until somebody else has
	done    func(context.Context)
	log     *slog.Logger
	retry   time.Duration
	current atomic.Bool
}

// schemaRetry is the pause between two attempts.
const schemaRetry = 2 * time.Second

// run returns once the schema is up to date or ctx is done.
func (s *schema) run(ctx context.Context) {
	for first := true; ; first = false {
		current, err := s.try(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case current:
			if !first {
				s.log.InfoContext(ctx, "the schema of postgres is up to date")
			}
			s.current.Store(true)
			s.done(ctx)
			return
		case err != nil && first:
			s.log.WarnContext(ctx, "the schema of postgres can't be brought up to date yet, trying on", "err", err)
		case first:
			s.log.WarnContext(ctx, "the schema of postgres is out of date; run sessiongate migrate, or set database.migrate")
		}
		select {
		case <-time.After(s.retry):
		case <-ctx.Done():
			return
		}
	}
}

func (s *schema) try(ctx context.Context) (current bool, err error) {
	if s.migrate {
		err = s.db.Migrate(ctx)
		return err == nil, err
	}
	pending, err := s.db.MigrationPending(ctx)
	return err == nil && !pending, err
}

func (g *gateway) watchSchema(ctx context.Context, down *stack) error {
	g.schema = &schema{
		db: g.postgres, migrate: g.cfg.Database.Migrate, log: g.log, retry: schemaRetry,
		// The job at the start may have found no table to make partitions of.
		done: func(ctx context.Context) { g.runOnce(ctx, "partitions") },
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { g.schema.run(ctx) })
	down.push("migrations", func(context.Context) error {
		cancel()
		running.Wait()
		return nil
	})
	return nil
}
