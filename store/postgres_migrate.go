package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	schema "github.com/sessiongate/sessiongate/sql"
)

// migrationsTable remembers which migrations have run. The name is ours: an
// application may use goose in the same schema.
const migrationsTable = "sessiongate_migrations"

// migrationsLock is the advisory lock under which migrations run. Any number
// that nobody else uses: "sg migra" in ASCII.
const migrationsLock = 0x7367206d69677261

// How long a gateway waits for another one's migrations: as often as this, that
// many times.
const (
	migrationsWaitSeconds = 1
	migrationsWaits       = 300
)

// Migrate brings the schema up to date, once however many gateways start
// together: the others wait. It fails with ErrSchema, and changes nothing, where
// the schema has tables of the same names that are not ours.
func (p *Postgres) Migrate(ctx context.Context) error {
	return p.migrations("migrate", func(m *goose.Provider) error {
		_, err := m.Up(ctx)
		return err
	})
}

// MigrationPending reports whether Migrate has something to do. It makes the
// table that says so if there is none.
func (p *Postgres) MigrationPending(ctx context.Context) (pending bool, err error) {
	err = p.migrations("read migrations", func(m *goose.Provider) error {
		pending, err = m.HasPending(ctx)
		return err
	})
	return pending, err
}

func (p *Postgres) migrations(what string, do func(*goose.Provider) error) (err error) {
	db, err := p.maintenance()
	if err != nil {
		return pgError(what, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	m, err := newMigrations(db)
	if err != nil {
		return pgError(what, err)
	}
	return pgError(what, do(m))
}

func newMigrations(db *sql.DB) (*goose.Provider, error) {
	locker, err := lock.NewPostgresSessionLocker(
		lock.WithLockID(migrationsLock),
		lock.WithLockTimeout(migrationsWaitSeconds, migrationsWaits))
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectPostgres, db, schema.Migrations(),
		goose.WithSessionLocker(locker),
		goose.WithTableName(migrationsTable),
		goose.WithDisableGlobalRegistry(true))
}
