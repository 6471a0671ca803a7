// Package testenv gives tests real servers: a redis-server and a postgres of the
// test binary's own, started when a test first asks, thrown away at the end.
//
// Tests run in parallel and must not meet. Each gets a Redis database and a
// Postgres database of its own; a test that stops, kills or fills up its server
// takes one with OwnRedis or OwnPostgres. A server that can't be started fails
// the test: nothing is ever skipped.
//
// A package that uses it has
//
//	func TestMain(m *testing.M) { testenv.Main(m) }
//
// Only _test.go files may import it (internal/archtest).
package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/sessiongate/sessiongate/internal/devstack"
)

// Main runs the tests, then stops the shared servers, removes what they wrote
// and exits. If the test binary is killed instead, the servers die with it
// (Linux) and the next run removes the files.
func Main(m *testing.M) {
	code := m.Run()
	if err := shared.close(); err != nil {
		fmt.Fprintln(os.Stderr, "testenv:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// Redis returns the URL of an empty Redis database that is this test's alone
// until it ends, and a key prefix that no other test of the binary gets, for
// those who want to see the difference in the keys.
//
// The server is shared. The databases hide keys from each other, not commands
// that concern the whole server (CONFIG, SCRIPT FLUSH, SHUTDOWN): for those take
// OwnRedis.
func Redis(tb testing.TB) (url, prefix string) {
	tb.Helper()
	r, err := shared.redis()
	if err != nil {
		tb.Fatalf("testenv: %v", err)
	}
	db, n := shared.takeDatabase(tb)
	tb.Cleanup(func() {
		if err := flush(r, db); err != nil {
			tb.Errorf("testenv: empty redis database %d: %v", db, err)
		}
		shared.giveDatabase(db)
	})
	return r.URLFor(db), "sgt" + strconv.Itoa(n)
}

// OwnRedis returns a redis-server that is the test's alone: it may Stop, Start
// and Kill it. It keeps its data over a clean Stop and, but for the last second,
// over a Kill.
func OwnRedis(tb testing.TB) *devstack.Redis {
	tb.Helper()
	r, err := devstack.StartRedis(tb.Context(), devstack.RedisOptions{Dir: dir(tb, "own-redis-")})
	if err != nil {
		tb.Fatalf("testenv: %v", err)
	}
	stopAtEnd(tb, r)
	return r
}

// Postgres returns the URL of an empty database that is dropped when the test
// ends, whoever is still connected.
func Postgres(tb testing.TB) string {
	tb.Helper()
	p, err := shared.postgres()
	if err != nil {
		tb.Fatalf("testenv: %v", err)
	}
	name := fmt.Sprintf("test_%d", shared.count())
	if err := execute(p, "CREATE DATABASE "+name); err != nil {
		tb.Fatalf("testenv: create database: %v", err)
	}
	tb.Cleanup(func() {
		if err := execute(p, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			tb.Errorf("testenv: drop database: %v", err)
		}
	})
	return p.URLFor(name)
}

// OwnPostgres returns a postgres that is the test's alone (about 1 s): it may
// Stop, Start and Kill it. URL names an empty database.
func OwnPostgres(tb testing.TB) *devstack.Postgres {
	tb.Helper()
	p, err := devstack.StartPostgres(tb.Context(), devstack.PostgresOptions{
		Dir: dir(tb, "own-postgres-"), Throwaway: true, Say: func(s string) { tb.Log(s) },
	})
	if err != nil {
		tb.Fatalf("testenv: %v", err)
	}
	tb.Cleanup(func() { os.RemoveAll(p.Dir()) })
	stopAtEnd(tb, p)
	return p
}

type stopper interface{ Stop() error }

func stopAtEnd(tb testing.TB, s stopper) {
	tb.Cleanup(func() {
		if err := s.Stop(); err != nil {
			tb.Errorf("testenv: %v", err)
		}
	})
}

// dir is a directory for a server of one test. It is not tb.TempDir, which the
// user that postgres runs as can't enter.
func dir(tb testing.TB, name string) string {
	tb.Helper()
	base, err := shared.base()
	if err != nil {
		tb.Fatalf("testenv: %v", err)
	}
	d, err := os.MkdirTemp(base, name)
	if err != nil {
		tb.Fatalf("testenv: %v", err)
	}
	tb.Cleanup(func() { os.RemoveAll(d) })
	return d
}

// shared is what the tests of one binary have in common. Package state, because
// a test binary is one process with one TestMain.
var shared stack

// databases is how many tests can use Redis at the same time. Redis looks for
// expired keys in 16 of them at a time, so more would make that slow.
const databases = 256

type stack struct {
	mu   sync.Mutex
	n    int
	free []int // Redis databases that a test has given back
	next int   // Redis databases never used

	dir string
	r   once[*devstack.Redis]
	p   once[*devstack.Postgres]
}

// once is sync.OnceValues that can say whether it happened.
type once[T any] struct {
	sync.Once
	value T
	err   error
}

func (o *once[T]) get(make func() (T, error)) (T, error) {
	o.Do(func() { o.value, o.err = make() })
	return o.value, o.err
}

// The servers outlive the test that happens to be the first, so they take no
// test's context.

func (s *stack) redis() (*devstack.Redis, error) {
	return s.r.get(func() (*devstack.Redis, error) {
		base, err := s.base()
		if err != nil {
			return nil, err
		}
		return devstack.StartRedis(context.Background(), devstack.RedisOptions{
			Dir: filepath.Join(base, "redis"), Throwaway: true, Databases: databases,
		})
	})
}

func (s *stack) postgres() (*devstack.Postgres, error) {
	return s.p.get(func() (*devstack.Postgres, error) {
		base, err := s.base()
		if err != nil {
			return nil, err
		}
		return devstack.StartPostgres(context.Background(), devstack.PostgresOptions{
			Dir: filepath.Join(base, "postgres"), Throwaway: true,
		})
	})
}

func (s *stack) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	return s.n
}

func (s *stack) takeDatabase(tb testing.TB) (db, n int) {
	tb.Helper()
	n = s.count()
	s.mu.Lock()
	defer s.mu.Unlock()
	if last := len(s.free) - 1; last >= 0 {
		db, s.free = s.free[last], s.free[:last]
		return db, n
	}
	if s.next == databases {
		tb.Fatalf("testenv: more than %d tests use Redis at the same time", databases)
	}
	db = s.next
	s.next++
	return db, n
}

func (s *stack) giveDatabase(db int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = append(s.free, db)
}

// base is the directory of this process's servers.
func (s *stack) base() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dir != "" {
		return s.dir, nil
	}
	removeAbandoned()
	dir, err := os.MkdirTemp("", fmt.Sprintf("%s%d-", basePrefix, os.Getpid()))
	if err != nil {
		return "", err
	}
	s.dir = dir
	return dir, os.Chmod(dir, 0o711) // postgres may run as another user
}

const basePrefix = "sessiongate-test-"

// removeAbandoned removes what killed test binaries left. Those that are running
// are recognized by the process id in the name.
func removeAbandoned() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), basePrefix+"*"))
	for _, d := range dirs {
		id, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(d), basePrefix), "-")
		pid, err := strconv.Atoi(id)
		if err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			os.RemoveAll(d) // what belongs to another user stays
		}
	}
}

func (s *stack) close() error {
	var errs []error
	if s.r.value != nil {
		errs = append(errs, s.r.value.Stop())
	}
	if s.p.value != nil {
		errs = append(errs, s.p.value.Stop(), os.RemoveAll(s.p.value.Dir()))
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}
