package testenv

import (
	"context"
	"database/sql"
	"time"

	"github.com/lib/pq"
	"github.com/redis/go-redis/v9"

	"github.com/sessiongate/sessiongate/internal/devstack"
)

// A shared server that takes longer is not going to answer.
const commandLimit = 30 * time.Second

// execute runs one statement as the owner of the server.
func execute(p *devstack.Postgres, statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), commandLimit)
	defer cancel()
	connector, err := pq.NewConnector(p.URLFor("postgres"))
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	_, err = db.ExecContext(ctx, statement)
	return err
}

// flush empties one Redis database.
func flush(r *devstack.Redis, db int) error {
	ctx, cancel := context.WithTimeout(context.Background(), commandLimit)
	defer cancel()
	o, err := redis.ParseURL(r.URLFor(db))
	if err != nil {
		return err
	}
	o.MaxRetries = -1
	client := redis.NewClient(o)
	defer client.Close()
	return client.FlushDB(ctx).Err()
}
