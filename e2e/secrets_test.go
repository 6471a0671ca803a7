package e2e

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/lib/pq"
	"github.com/redis/go-redis/v9"
)

// jwt is what every token begins with: a JSON object in base64.
var jwt = regexp.MustCompile(`(eyJ|sgr_)[A-Za-z0-9_-]{16,}`)

// betrays says what of a text should not be in it, or "".
func betrays(text string) string {
	if found := jwt.FindString(text); found != "" {
		return "a token: " + found[:12] + "…"
	}
	for _, s := range secrets {
		if strings.Contains(text, s) {
			return "a secret: " + s[:8] + "…"
		}
	}
	return ""
}

// search looks through all that the test has left in Redis, in Postgres and in
// the output of its gateways for tokens, passwords and secrets.
func (s *stack) search(t testing.TB) {
	t.Helper()
	// The test's own context is over when it cleans up.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, part := range []struct {
		name string
		read func(context.Context, func(where, text string)) error
	}{
		{"Redis", s.eachKey},
		{"Postgres", s.eachRow},
		{"the logs", s.eachLine},
	} {
		texts := 0
		err := part.read(ctx, func(where, text string) {
			texts++
			if what := betrays(where + "\n" + text); what != "" {
				t.Errorf("%s holds %s, at %s", part.name, what, where)
			}
		})
		if err != nil {
			t.Errorf("search %s: %v", part.name, err)
		}
		if texts == 0 && len(s.processes) > 0 && !t.Failed() {
			t.Errorf("%s hold nothing at all: the search looks in the wrong place", part.name)
		}
	}
}

func (s *stack) eachKey(ctx context.Context, found func(where, text string)) error {
	keys := s.redis.Scan(ctx, 0, "*", 1000).Iterator()
	for keys.Next(ctx) {
		value, err := s.dump(ctx, keys.Val())
		if err != nil {
			return err
		}
		found(keys.Val(), value)
	}
	return keys.Err()
}

// dump is everything in a key, as text. A key that has gone meanwhile holds
// nothing.
func (s *stack) dump(ctx context.Context, key string) (string, error) {
	kind, err := s.redis.Type(ctx, key).Result()
	if err != nil {
		return "", err
	}
	var value any
	switch kind {
	case "string":
		value, err = s.redis.Do(ctx, "GET", key).Result()
	case "hash":
		value, err = s.redis.HGetAll(ctx, key).Result()
	case "zset":
		value, err = s.redis.ZRangeWithScores(ctx, key, 0, -1).Result()
	case "stream":
		value, err = s.redis.XRange(ctx, key, "-", "+").Result()
	case "none":
	default:
		err = fmt.Errorf("key %s is a %s, which the contract does not know", key, kind)
	}
	if errors.Is(err, redis.Nil) {
		err = nil
	}
	return fmt.Sprint(value), err
}

const selectTables = `
	SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables
	WHERE schemaname NOT IN ('pg_catalog', 'information_schema')`

func (s *stack) eachRow(ctx context.Context, found func(where, text string)) error {
	var tables []string
	if err := s.db.QueryRowContext(ctx, "SELECT array("+selectTables+")").Scan((*pq.StringArray)(&tables)); err != nil {
		return err
	}
	for _, table := range tables {
		// A password's hash is random text, and may look like anything.
		rows, err := s.db.QueryContext(ctx, "SELECT (to_jsonb(t) - 'password_hash')::text FROM "+table+" AS t")
		if err != nil {
			return err
		}
		for rows.Next() {
			var text string
			if err := rows.Scan(&text); err != nil {
				rows.Close()
				return err
			}
			found(table, text)
		}
		if err := rows.Err(); err != nil {
			return err
		}
	}
	return nil
}

func (s *stack) eachLine(_ context.Context, found func(where, text string)) error {
	for _, p := range s.processes {
		for line := range strings.Lines(p.output()) {
			found(p.String(), line)
		}
	}
	return nil
}

// The search itself finds what it looks for.
func TestSearchFinds(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"a token":    "x=eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCJ9.e30.c2ln",
		"a password": `{"msg":"` + password + `"}`,
	} {
		if betrays(text) == "" {
			t.Errorf("%s is not found in %q", name, text)
		}
	}
	if what := betrays("an ordinary line of a log, user u-1"); what != "" {
		t.Errorf("an ordinary line holds %s", what)
	}
}
