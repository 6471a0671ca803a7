package testenv_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/lib/pq"
	"github.com/redis/go-redis/v9"

	"github.com/sessiongate/sessiongate/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

func TestRedisIsolation(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	urlA, prefixA := testenv.Redis(t)
	urlB, prefixB := testenv.Redis(t)
	if prefixA == prefixB {
		t.Errorf("two calls gave the same prefix %q", prefixA)
	}
	a, b := client(t, urlA), client(t, urlB)
	if err := a.Set(ctx, "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if n := b.Exists(ctx, "k").Val(); n != 0 {
		t.Error("a key of one database is visible in another")
	}
}

func TestRedisIsEmptyAgain(t *testing.T) {
	var url string
	t.Run("first", func(t *testing.T) {
		url, _ = testenv.Redis(t)
		if err := client(t, url).Set(t.Context(), "k", "v", 0).Err(); err != nil {
			t.Fatal(err)
		}
	})
	if n := client(t, url).DBSize(t.Context()).Val(); n != 0 {
		t.Errorf("%d keys are left after the test that made them", n)
	}
}

func TestPostgresIsolation(t *testing.T) {
	t.Parallel()
	var url string
	t.Run("first", func(t *testing.T) {
		url = testenv.Postgres(t)
		db := open(t, url)
		if _, err := db.ExecContext(t.Context(), "CREATE TABLE t (x int)"); err != nil {
			t.Fatal(err)
		}
		other := open(t, testenv.Postgres(t))
		if _, err := other.ExecContext(t.Context(), "CREATE TABLE t (x int)"); err != nil {
			t.Errorf("a second database is not empty: %v", err)
		}
	})
	if err := open(t, url).PingContext(t.Context()); err == nil {
		t.Error("the database is still there after the test that used it")
	}
}

func TestOwnServersComeBackWithTheirData(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	r, p := testenv.OwnRedis(t), testenv.OwnPostgres(t)
	c, db := client(t, r.URL()), open(t, p.URL())
	if err := c.Set(ctx, "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(ctx, "CREATE TABLE t (x int)"); err != nil {
		t.Fatal(err)
	}
	for _, s := range []interface {
		Stop() error
		Start(context.Context) error
	}{r, p} {
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
		if err := s.Start(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if v := c.Get(ctx, "k").Val(); v != "v" {
		t.Errorf("redis: got %q after a restart, want v", v)
	}
	if _, err := db.ExecContext(ctx, "SELECT x FROM t"); err != nil {
		t.Errorf("postgres after a restart: %v", err)
	}
}

func client(t *testing.T, url string) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(o)
	t.Cleanup(func() { c.Close() })
	return c
}

func open(t *testing.T, url string) *sql.DB {
	t.Helper()
	connector, err := pq.NewConnector(url)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	t.Cleanup(func() { db.Close() })
	return db
}
