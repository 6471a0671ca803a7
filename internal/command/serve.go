package command

import (
	"context"
	"fmt"
	"time"

	"github.com/sessiongate/sessiongate/internal/app"
	"github.com/sessiongate/sessiongate/internal/config"
	"github.com/sessiongate/sessiongate/internal/telemetry"
	"github.com/sessiongate/sessiongate/store"
)

type serveCommand struct{}

func (serveCommand) Run(ctx context.Context, in *invocation) error {
	cfg, err := in.load()
	if err != nil {
		return err
	}
	log, err := telemetry.NewLogger(in.Stderr, cfg.Log.Format, cfg.Log.Level)
	if err != nil {
		return fmt.Errorf("command: %w", err)
	}
	return app.Run(ctx, cfg, log, nil)
}

type migrateCommand struct{}

func (migrateCommand) Run(ctx context.Context, in *invocation) error {
	cfg, err := in.loadOnly("database")
	if err != nil {
		return err
	}
	db, err := openPostgres(cfg)
	if err != nil {
		return err
	}
	defer db.Close()
	pending, err := db.MigrationPending(ctx)
	if err != nil {
		return err
	}
	made, err := migrate(ctx, db)
	if err != nil {
		return err
	}
	if pending {
		in.printf("The schema has been brought up to date.\n")
	} else {
		in.printf("The schema was up to date already.\n")
	}
	in.printf("Months made for session_logs: %d.\n", made)
	return nil
}

// monthsAhead is how many months after this one session_logs gets partitions
// for at once; the partitions job sees to those that follow.
const monthsAhead = 3

// migrate brings the schema up to date and makes the partitions that the next
// rows need. It returns how many it made.
func migrate(ctx context.Context, db *store.Postgres) (made int, err error) {
	if err := db.Migrate(ctx); err != nil {
		return 0, err
	}
	return db.EnsurePartitions(ctx, time.Now(), monthsAhead)
}

func openPostgres(cfg config.Config) (*store.Postgres, error) {
	return store.OpenPostgres(store.PostgresOptions{
		URL:              string(cfg.Database.URL),
		MaxConns:         cfg.Database.MaxConns,
		StatementTimeout: cfg.Database.StatementTimeout,
		FingerprintKey:   []byte(cfg.Audit.FingerprintKey),
	})
}

func openRedis(ctx context.Context, cfg config.Config) (*store.Redis, error) {
	return store.OpenRedis(ctx, redisOptions(cfg))
}

func redisOptions(cfg config.Config) store.RedisOptions {
	return store.RedisOptions{
		URL:        string(cfg.Redis.URL),
		PoolSize:   2,
		Timeout:    max(cfg.Redis.Timeout, patience),
		Partitions: cfg.Redis.Partitions,
		Instance:   "command",
		ClaimIdle:  cfg.Jobs.ClaimIdle,
	}
}

// patience is how long a person at a terminal waits for a Redis that the gateway
// would have given up on.
const patience = 2 * time.Second
