package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/sessiongate/sessiongate/risk"
)

// PostgresOptions say which database to use, and how hard.
type PostgresOptions struct {
	URL              string        // postgres://… or key=value pairs
	MaxConns         int           // 0: no limit
	StatementTimeout time.Duration // of one statement; 0: no limit
	FingerprintKey   []byte        // of session_token

	Rules        risk.Rules    // by which refreshes are assessed, and what is learned; zero: neither
	Notices      NoticeRules   // who is told of what; nil: nobody
	NoticeRepeat time.Duration // how long a user is not told the same again
}

// Postgres is the ledger: who can sign in, which sessions there were, what
// happened. Nothing in it signs anybody in.
//
// Methods may be called by any number of goroutines and gateways at once. Unless
// they say otherwise they may be repeated. Their errors wrap
// session.ErrUnavailable where Postgres could not say, and ErrSchema where only
// an operator can help.
type Postgres struct {
	db  *sqlx.DB
	cfg pq.Config
	key []byte

	rules        risk.Rules
	notices      NoticeRules
	noticeRepeat time.Duration
}

// How long connections are kept: a busy pool meets a server's new address after
// a failover, an idle one gives its connections back.
const (
	connMaxLifetime = 30 * time.Minute
	connMaxIdleTime = 5 * time.Minute
)

// OpenPostgres returns a Postgres without connecting, so that a gateway starts
// while the database is down. Its error says what is wrong with o.URL and never
// repeats it.
func OpenPostgres(o PostgresOptions) (*Postgres, error) {
	cfg, err := postgresConfig(o.URL)
	if err != nil {
		return nil, fmt.Errorf("store: open postgres: %w", err)
	}
	db, err := openPool(cfg, o.StatementTimeout)
	if err != nil {
		return nil, fmt.Errorf("store: open postgres: %w", err)
	}
	db.SetMaxOpenConns(o.MaxConns)
	db.SetMaxIdleConns(max(o.MaxConns, 2))
	db.SetConnMaxLifetime(connMaxLifetime)
	db.SetConnMaxIdleTime(connMaxIdleTime)
	return &Postgres{
		db: sqlx.NewDb(db, "postgres"), cfg: cfg, key: o.FingerprintKey, rules: o.Rules,
		notices: o.Notices, noticeRepeat: o.NoticeRepeat,
	}, nil
}

// Close closes the connections. Nothing may be called after it.
func (p *Postgres) Close() error { return p.db.Close() }

// Ping asks whether Postgres answers: one round trip.
func (p *Postgres) Ping(ctx context.Context) error { return pgError("ping", p.db.PingContext(ctx)) }

// DB is the pool, for tests and for doctor.
func (p *Postgres) DB() *sqlx.DB { return p.db }

// maintenance returns a connection of its own for work that may take its time:
// no statement timeout, but it gives up waiting for a lock rather than hold up
// everybody who comes after it; and if this gateway stops in mid-transaction
// (frozen, cut off), the server ends it, or its locks would keep the log from all
// the others for good. The caller closes it.
func (p *Postgres) maintenance() (*sql.DB, error) {
	cfg := p.cfg.Clone()
	cfg.Runtime["lock_timeout"] = lockTimeout
	cfg.Runtime["idle_in_transaction_session_timeout"] = idleTimeout
	db, err := openPool(cfg, 0)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

const (
	lockTimeout = "3s"
	idleTimeout = "10s"
)

// inTx runs do in a transaction, which it commits unless do fails.
func inTx(ctx context.Context, db txBeginner, do func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after a commit there is nothing to roll back
	if err := do(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// txBeginner is *sql.DB or *sqlx.DB.
type txBeginner interface {
	BeginTx(ctx context.Context, opts *sql.TxOptions) (*sql.Tx, error)
}
