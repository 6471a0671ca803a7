package e2e

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/lib/pq"
	"github.com/redis/go-redis/v9"

	"github.com/sessiongate/sessiongate/internal/devstack"
	"github.com/sessiongate/sessiongate/internal/testenv"
)

// stack is a Redis, a Postgres and the gateways of one test on them. The test
// looks at both stores beneath the gateways.
type stack struct {
	redisURL, databaseURL string

	redis     *redis.Client
	db        *sql.DB
	processes []*process
}

// newStack returns a database each on the servers that all tests share.
func newStack(t testing.TB) *stack {
	t.Helper()
	url, _ := testenv.Redis(t)
	return stackOn(t, url, testenv.Postgres(t))
}

// ownRedis returns a stack on a Redis that the test may stop and freeze.
func ownRedis(t testing.TB) (*stack, *devstack.Redis) {
	t.Helper()
	r := testenv.OwnRedis(t)
	return stackOn(t, r.URL(), testenv.Postgres(t)), r
}

// ownPostgres returns a stack on a Postgres that the test may stop.
func ownPostgres(t testing.TB) (*stack, *devstack.Postgres) {
	t.Helper()
	p := testenv.OwnPostgres(t)
	url, _ := testenv.Redis(t)
	return stackOn(t, url, p.URL()), p
}

func stackOn(t testing.TB, redisURL, databaseURL string) *stack {
	t.Helper()
	s := &stack{redisURL: redisURL, databaseURL: databaseURL}
	o, err := redis.ParseURL(redisURL)
	if err != nil {
		t.Fatal(err)
	}
	s.redis = redis.NewClient(o)
	connector, err := pq.NewConnector(databaseURL + "&statement_timeout=20000") // ms; a lock that is never given back
	if err != nil {
		t.Fatal(err)
	}
	s.db = sql.OpenDB(connector)
	s.db.SetMaxOpenConns(4)
	t.Cleanup(func() {
		s.search(t)
		_ = s.redis.Close()
		_ = s.db.Close()
	})
	return s
}

// exec runs a statement in Postgres.
func (s *stack) exec(t testing.TB, statement string, args ...any) {
	t.Helper()
	if _, err := s.db.ExecContext(t.Context(), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// scalar returns the one value that the query selects.
func scalar[T any](t testing.TB, s *stack, query string, args ...any) (v T) {
	t.Helper()
	if err := s.db.QueryRowContext(t.Context(), query, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

// must fails the test if a Redis command did.
func must[T any](t testing.TB, cmd interface{ Result() (T, error) }) T {
	t.Helper()
	v, err := cmd.Result()
	if err != nil {
		t.Fatalf("%v: %v", cmd, err)
	}
	return v
}

// The names of the keys that administrators rely on.
func userKey(id string) string     { return "sg:{0}:user:" + id }
func sessionKey(sid string) string { return "sg:{0}:session:" + sid }

const (
	eventsKey   = "sg:{0}:events"
	failuresKey = "sg:{0}:failures" // events of failed logins
)

// flushed waits until Postgres has every event that is in Redis now.
func (s *stack) flushed(t testing.TB) {
	t.Helper()
	for _, key := range []string{eventsKey, failuresKey} {
		info, err := s.redis.XInfoStream(t.Context(), key).Result()
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		eventually(t, func() error { return s.passed(t.Context(), key, info.LastGeneratedID) })
	}
}

// passed returns nil once the flush has removed every entry up to the given one.
func (s *stack) passed(ctx context.Context, key, id string) error {
	first, err := s.redis.XRangeN(ctx, key, "-", "+", 1).Result()
	if err != nil {
		return err
	}
	if len(first) > 0 && !streamBefore(id, first[0].ID) {
		return fmt.Errorf("entry %s is still in %s, want it empty up to %s", first[0].ID, key, id)
	}
	return nil
}

// streamBefore says whether stream id a comes before b.
func streamBefore(a, b string) bool {
	aMS, aSeq := streamID(a)
	bMS, bSeq := streamID(b)
	return aMS < bMS || aMS == bMS && aSeq < bSeq
}

func streamID(id string) (ms, seq uint64) {
	m, n, _ := strings.Cut(id, "-")
	ms, _ = strconv.ParseUint(m, 10, 64)
	seq, _ = strconv.ParseUint(n, 10, 64)
	return ms, seq
}
