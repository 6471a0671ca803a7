package devstack

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestRedisKeepsItsData(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	o := RedisOptions{Dir: directory(t)}
	r, err := StartRedis(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Stop() })
	c := redisClient(t, r)
	if got := c.ConfigGet(ctx, "*").Val(); got["appendonly"] != "yes" || got["appendfsync"] != "everysec" ||
		got["maxmemory-policy"] != "noeviction" || got["bind"] != "127.0.0.1" {
		t.Errorf("appendonly %s, appendfsync %s, maxmemory-policy %s, bind %s",
			got["appendonly"], got["appendfsync"], got["maxmemory-policy"], got["bind"])
	}
	if err := c.Set(ctx, "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	addr := r.Addr()
	if err := r.Stop(); err != nil {
		t.Fatal(err)
	}
	if r.Pid() != 0 {
		t.Errorf("pid %d after Stop, want 0", r.Pid())
	}
	if err := r.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if r.Addr() != addr {
		t.Errorf("the address went from %s to %s", addr, r.Addr())
	}
	if v := c.Get(ctx, "k").Val(); v != "v" {
		t.Errorf("after Stop and Start: %q, want v", v)
	}
	if err := r.Stop(); err != nil {
		t.Fatal(err)
	}

	second, err := StartRedis(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { second.Stop() })
	if v := redisClient(t, second).Get(ctx, "k").Val(); v != "v" {
		t.Errorf("in a second server on the same directory: %q, want v", v)
	}
}

func TestPostgresKeepsItsData(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	p := startPostgres(t, PostgresOptions{Dir: directory(t)})
	execute(t, p, "CREATE TABLE t (x int)")
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	second := startPostgres(t, PostgresOptions{Dir: p.Dir()})
	execute(t, second, "SELECT x FROM t")
	if err := second.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := second.Start(ctx); err != nil {
		t.Fatalf("start after a power cut: %v", err)
	}
	execute(t, second, "SELECT x FROM t")

	settings := map[string]string{
		"server_encoding": "UTF8", "lc_collate": "C", "listen_addresses": "127.0.0.1",
		"unix_socket_directories": "", "fsync": "on",
	}
	db := open(t, second)
	for name, want := range settings {
		var got string
		if err := db.QueryRowContext(ctx, "SELECT current_setting($1)", name).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %q (%v), want %q", name, got, err, want)
		}
	}
	if !strings.Contains(second.URL(), second.password) || len(second.password) < 20 {
		t.Errorf("no password, or a short one, in %s", second.URL())
	}
}

func TestOneGatewayADirectory(t *testing.T) {
	t.Parallel()
	o := RedisOptions{Dir: directory(t), Throwaway: true}
	r, err := StartRedis(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Stop()
	_, err = StartRedis(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "in use by another running gateway") {
		t.Errorf("second server on one directory: %v", err)
	}
}

// A pid file left from before a reboot names a process that is another program's
// by now: here the test itself.
func TestStalePidFile(t *testing.T) {
	t.Parallel()
	p := startPostgres(t, PostgresOptions{Dir: directory(t), Throwaway: true})
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(p.data(), "postmaster.pid")
	if err := os.WriteFile(file, []byte(strconv.Itoa(os.Getpid())+"\n"+p.data()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.run.own(file); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(t.Context()); err != nil {
		t.Fatalf("start over a stale pid file: %v", err)
	}
}

func TestStartErrorShowsTheServersOwnWords(t *testing.T) {
	t.Parallel()
	dir := directory(t)
	r, err := StartRedis(t.Context(), RedisOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := redisClient(t, r).Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if err := r.Stop(); err != nil {
		t.Fatal(err)
	}
	manifest := filepath.Join(r.data(), "appendonlydir", "appendonly.aof.manifest")
	if err := os.WriteFile(manifest, []byte("not a manifest\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err = r.Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "ended by itself") || !strings.Contains(err.Error(), "manifest") {
		t.Errorf("got %v, want the last lines of Redis's output", err)
	}
}

func TestStartIsCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, err := StartRedis(ctx, RedisOptions{Dir: directory(t), Throwaway: true})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, %v; want context.Canceled", r, err)
	}
}

func TestDone(t *testing.T) {
	t.Parallel()
	r, err := StartRedis(t.Context(), RedisOptions{Dir: directory(t), Throwaway: true})
	if err != nil {
		t.Fatal(err)
	}
	done := r.Done()
	if err := syscall.Kill(r.Pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-done
	if err := r.Start(t.Context()); err != nil {
		t.Errorf("start after it died: %v", err)
	}
	if err := r.Stop(); err != nil {
		t.Error(err)
	}
}

func TestMissingBinary(t *testing.T) {
	places := redisPlaces
	t.Cleanup(func() { redisPlaces = places })
	redisPlaces = nil
	t.Setenv("PATH", t.TempDir())
	_, err := StartRedis(t.Context(), RedisOptions{Dir: t.TempDir()})
	if !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "make deps") {
		t.Errorf("got %v, want ErrMissing", err)
	}
}

func TestVersionThatIsNotInstalled(t *testing.T) {
	t.Parallel()
	if _, err := findPostgres("8"); err == nil || !strings.Contains(err.Error(), "written by PostgreSQL 8") {
		t.Errorf("got %v", err)
	}
}

func TestExpandPutsTheNewestFirst(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, v := range []string{"9", "16", "15"} {
		if err := os.MkdirAll(filepath.Join(root, "pg", v), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, dir := range expand([]string{filepath.Join(root, "pg", "*")}) {
		got = append(got, filepath.Base(dir))
	}
	if strings.Join(got, " ") != "16 15 9" {
		t.Errorf("got %v", got)
	}
}

// directory is like t.TempDir but open to the user that postgres runs as.
func directory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sessiongate-devstack-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "server")
}

func startPostgres(t *testing.T, o PostgresOptions) *Postgres {
	t.Helper()
	p, err := StartPostgres(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Stop() })
	return p
}

func redisClient(t *testing.T, r *Redis) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(r.URL())
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(o)
	t.Cleanup(func() { c.Close() })
	return c
}

func open(t *testing.T, p *Postgres) *sql.DB {
	t.Helper()
	db, err := p.open(postgresDatabase, p.port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func execute(t *testing.T, p *Postgres, statement string) {
	t.Helper()
	if _, err := open(t, p).ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// eventually fails the test unless the condition holds within the limit.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	limit := time.After(30 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}
