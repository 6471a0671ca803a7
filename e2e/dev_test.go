package e2e

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/lib/pq"
	"github.com/redis/go-redis/v9"

	"github.com/sessiongate/sessiongate/internal/testenv"
)

// dev is a running `sessiongate dev`.
type dev struct {
	*gateway
	dir       string
	variables map[string]string // what a shell reads in dev.env
}

// dataDir is a directory that postgres, as whichever user it runs, can enter.
func dataDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sessiongate-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

func devSettings(dir string, more ...string) []string {
	return append([]string{"SESSIONGATE_DATA_DIR=" + dir, "SESSIONGATE_HTTP_ADDR=127.0.0.1:0", "SESSIONGATE_REDIS_TIMEOUT=3s"}, more...)
}

// startDev runs a development gateway and waits for its dev.env.
func startDev(t *testing.T, dir string, more ...string) *dev {
	t.Helper()
	file := filepath.Join(dir, "dev.env")
	old, _ := os.Stat(file) // of one that was killed
	p := launch(t, devSettings(dir, more...), "dev")
	var info fs.FileInfo
	within(t, 3*patience, func() (err error) { // the first start makes a database cluster, synced to disk
		if !p.running() {
			t.Fatalf("%s ended:\n%s", p, p.tail())
		}
		info, err = os.Stat(file)
		if err == nil && old != nil && info.ModTime().Equal(old.ModTime()) {
			err = errors.New("dev.env is the old one")
		}
		return err
	})
	if mode := info.Mode(); mode != 0o600 {
		t.Errorf("dev.env has mode %v, want 0600", mode)
	}
	d := &dev{dir: dir, variables: sourced(t, file)}
	d.gateway = &gateway{process: p, url: d.variables["SESSIONGATE_URL"], http: newHTTPClient()}
	t.Cleanup(d.http.CloseIdleConnections)
	return d
}

// sourced returns the variables that a shell has after it has read the file.
func sourced(t *testing.T, file string) map[string]string {
	t.Helper()
	names := []string{
		"SESSIONGATE_URL", "SESSIONGATE_REDIS_URL", "SESSIONGATE_DATABASE_URL", "DEMO_USER", "DEMO_PASSWORD", "ADMIN_USER",
		"ADMIN_PASSWORD", "CLIENT_ID", "CLIENT_SECRET",
	}
	script := `set -eu; . "$1"; shift; for name; do eval "printf '%s\n' \"\$$name\""; done`
	cmd := exec.Command("bash", append([]string{"-c", script, "bash", file}, names...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("source %s: %v", file, err)
	}
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(lines) != len(names) {
		t.Fatalf("the shell prints %d lines for %d variables", len(lines), len(names))
	}
	variables := map[string]string{}
	for i, name := range names {
		if lines[i] == "" {
			t.Errorf("%s is empty", name)
		}
		variables[name] = lines[i]
	}
	return variables
}

// demoLogin signs the demo user in. These servers sync to disk, and a busy one
// may keep them waiting: as any client should, it tries again after a 503.
func (d *dev) demoLogin(t *testing.T) grant {
	t.Helper()
	var a answer
	eventually(t, func() error {
		a = d.do(t, loginCall(d.variables["DEMO_USER"], d.variables["DEMO_PASSWORD"]))
		if a.status == http.StatusServiceUnavailable {
			return errors.New(a.String())
		}
		return nil
	})
	return decode[grant](t, a, http.StatusCreated)
}

func (d *dev) client() *client {
	return &client{d.variables["CLIENT_ID"], d.variables["CLIENT_SECRET"]}
}

// active asks the introspection endpoint about a token.
func (d *dev) active(t *testing.T, token string) bool {
	t.Helper()
	c := introspectCall(token)
	c.client = d.client()
	return decode[introspection](t, d.do(t, c), http.StatusOK).Active
}

// servers returns the process ids of the Redis and the Postgres.
func (d *dev) servers(t *testing.T) []int {
	t.Helper()
	r, db := d.connect(t)
	pidOf := func(text string) int {
		pid, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil {
			t.Fatal(err)
		}
		return pid
	}
	_, after, _ := strings.Cut(must(t, r.Info(t.Context(), "server")), "process_id:")
	redisPid, _, _ := strings.Cut(after, "\n")
	var postgresPid string
	const first = `SELECT split_part(pg_read_file('postmaster.pid'), E'\n', 1)`
	if err := db.QueryRowContext(t.Context(), first).Scan(&postgresPid); err != nil {
		t.Fatal(err)
	}
	return []int{pidOf(redisPid), pidOf(postgresPid)}
}

func (d *dev) connect(t *testing.T) (*redis.Client, *sql.DB) {
	t.Helper()
	o, err := redis.ParseURL(d.variables["SESSIONGATE_REDIS_URL"])
	if err != nil {
		t.Fatal(err)
	}
	r := redis.NewClient(o)
	t.Cleanup(func() { r.Close() })
	connector, err := pq.NewConnector(d.variables["SESSIONGATE_DATABASE_URL"])
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	t.Cleanup(func() { db.Close() })
	return r, db
}

// gone waits until none of the processes is left.
func gone(t *testing.T, pids []int) {
	t.Helper()
	eventually(t, func() error {
		for _, pid := range pids {
			if isRunning(pid) {
				return fmt.Errorf("process %d is still there", pid)
			}
		}
		return nil
	})
}

// isRunning says whether there is a process that is not a zombie: who has no
// parent left to wait for it stays one where nobody reaps.
func isRunning(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true // a system without /proc
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z")
}

// TestDev is what `make run` gives a newcomer, from the first start to the third.
func TestDev(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	d := startDev(t, dir)
	token := d.demoLogin(t).AccessToken
	if !d.active(t, token) {
		t.Error("a fresh token is not active")
	}
	decode[grant](t, d.do(t, loginCall(d.variables["ADMIN_USER"], d.variables["ADMIN_PASSWORD"])), http.StatusCreated)
	r, db := d.connect(t)
	config := must(t, r.ConfigGet(t.Context(), "*"))
	if config["appendonly"] != "yes" || config["maxmemory-policy"] != "noeviction" || config["bind"] != "127.0.0.1" {
		t.Errorf("redis has appendonly %q, maxmemory-policy %q, bind %q", config["appendonly"], config["maxmemory-policy"], config["bind"])
	}
	var listen string
	if err := db.QueryRowContext(t.Context(), "SHOW listen_addresses").Scan(&listen); err != nil || listen != "127.0.0.1" {
		t.Errorf("postgres listens on %q, %v", listen, err)
	}
	checkCurlLine(t, d)
	checkSecondDev(t, dir)

	(&stack{redis: r, db: db, processes: []*process{d.process}}).search(t)
	children := d.servers(t)
	d.stop(t)
	gone(t, children)
	if _, err := os.Stat(filepath.Join(dir, "dev.env")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("dev.env after the end: %v, want it gone", err)
	}

	// The next start goes on with what there is.
	again := startDev(t, dir)
	for _, name := range []string{"DEMO_USER", "DEMO_PASSWORD", "ADMIN_PASSWORD", "CLIENT_ID", "CLIENT_SECRET"} {
		if again.variables[name] != d.variables[name] {
			t.Errorf("%s is another after a restart", name)
		}
	}
	again.alive(t, token)
	if !again.active(t, token) {
		t.Error("the session did not survive the restart")
	}
	again.demoLogin(t)
	eventually(t, func() error {
		logs := decode[logPage](t, again.do(t, get("/sessions/my-session-logs", token)), http.StatusOK).Logs
		if len(logs) < 3 { // ours, that of the printed line, and the one just now
			return fmt.Errorf("the log is %s", listed(entries(logs)))
		}
		return nil
	})
	killDev(t, again, token)
}

// checkCurlLine runs the line that the newcomer is shown.
func checkCurlLine(t *testing.T, d *dev) {
	t.Helper()
	var line string
	for l := range strings.Lines(d.stdout()) {
		if strings.HasPrefix(strings.TrimSpace(l), "curl ") {
			line = strings.TrimSpace(l)
		}
	}
	if line == "" {
		t.Fatalf("no curl line in\n%s", d.stdout())
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	// curl itself need not be installed: a function of that name says what it was
	// asked.
	script := `curl() { printf '%s\n' "$@"; }; ` + line
	out, err := exec.CommandContext(ctx, "bash", "-c", script).Output()
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	args := strings.Split(strings.TrimSpace(string(out)), "\n")
	c := call{header: http.Header{}}
	for i, arg := range args {
		switch {
		case strings.HasPrefix(arg, d.url):
			c.path = strings.TrimPrefix(arg, d.url)
		case i > 0 && args[i-1] == "-H":
			name, value, _ := strings.Cut(arg, ": ")
			c.header.Set(name, value)
		case i > 0 && args[i-1] == "-d":
			c.body = arg
		}
	}
	d.do(t, c).want(t, http.StatusCreated)
}

// checkSecondDev: two in one directory would fight over its data.
func checkSecondDev(t *testing.T, dir string) {
	t.Helper()
	if code, p := run(t, devSettings(dir), "dev"); code == 0 || !strings.Contains(p.stderr(), dir) {
		t.Errorf("a second one in the same directory ends with %d:\n%s", code, p.tail())
	}
}

// TestDevRefusesTheWorld: its secrets are in a file, so it stays on this machine.
func TestDevRefusesTheWorld(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:8080", "example.com:80"} {
		t.Run(addr, func(t *testing.T) {
			t.Parallel()
			dir := dataDir(t)
			refused(t, devSettings(dir, "SESSIONGATE_HTTP_ADDR="+addr), 2, []string{"http.addr", "loopback"}, "dev")
			if _, err := os.Stat(filepath.Join(dir, "redis")); err == nil {
				t.Error("it had started a server already")
			}
		})
	}
}

// TestDevOnOtherServers: where there are servers already it starts none.
func TestDevOnOtherServers(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	redisURL, _ := testenv.Redis(t)
	d := startDev(t, dir, "SESSIONGATE_REDIS_URL="+redisURL, "SESSIONGATE_DATABASE_URL="+testenv.Postgres(t))
	if d.variables["SESSIONGATE_REDIS_URL"] != redisURL {
		t.Errorf("redis is %s, want %s", d.variables["SESSIONGATE_REDIS_URL"], redisURL)
	}
	token := d.demoLogin(t).AccessToken
	if !d.active(t, token) {
		t.Error("a fresh token is not active")
	}
	r, _ := d.connect(t)
	if n := must(t, r.Exists(t.Context(), userKey("demo"))); n != 1 {
		t.Errorf("the session is not in the Redis that was named")
	}
	for _, name := range []string{"redis", "postgres"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("it started a %s of its own", name)
		}
	}
	d.stop(t)
	must(t, r.Ping(t.Context()))
}
