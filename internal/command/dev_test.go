package command

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/internal/testenv"
)

// gateway is a development gateway that runs in this process.
type gateway struct {
	dir    string
	cancel context.CancelFunc
	done   chan error
	stdout *buffer
	stderr *buffer
}

// buffer is a bytes.Buffer for one writer and one reader.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func startDev(t *testing.T, dir string, environ ...string) *gateway {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	// A busy machine may be slow; how slow Redis may be is not the subject.
	environ = append([]string{
		"SESSIONGATE_DATA_DIR=" + dir, "SESSIONGATE_HTTP_ADDR=127.0.0.1:0", "SESSIONGATE_REDIS_TIMEOUT=4s",
	}, environ...)
	g := &gateway{dir: dir, cancel: cancel, done: make(chan error, 1), stdout: &buffer{}, stderr: &buffer{}}
	go func() {
		g.done <- Run(ctx, Process{
			Args: []string{"dev"}, Environ: environ, Stdout: g.stdout, Stderr: g.stderr,
		})
	}()
	t.Cleanup(func() { g.stop(t) })
	return g
}

// ready waits for dev.env and returns what a shell reads in it.
func (g *gateway) ready(t *testing.T) map[string]string {
	t.Helper()
	file := filepath.Join(g.dir, "dev.env")
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(2 * time.Minute)
	for {
		if _, err := os.Stat(file); err == nil {
			break
		}
		select {
		case <-tick.C:
		case err := <-g.done:
			g.done <- err
			t.Fatalf("ended before it was ready: %v\n%s", err, g.stderr)
		case <-limit:
			t.Fatalf("not ready within 2 minutes\n%s", g.stderr)
		}
	}
	out, err := exec.Command("sh", "-c", `set -a; . "$1"; exec env`, "sh", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	variables := map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		variables[name] = value
	}
	return variables
}

func (g *gateway) stop(t *testing.T) {
	t.Helper()
	g.cancel()
	if err := <-g.done; err != nil {
		t.Errorf("dev ended with %v\n%s", err, g.stderr)
	}
	g.done <- nil // for whoever stops it again
	if _, err := os.Stat(filepath.Join(g.dir, "dev.env")); err == nil {
		t.Error("dev.env is still there after the end")
	}
}

// dataDir is a directory that postgres may enter, which t.TempDir is not.
func dataDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sessiongate-dev-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestDevKeepsEverything(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	g := startDev(t, dir)
	first := g.ready(t)
	for _, name := range []string{
		"SESSIONGATE_URL", "SESSIONGATE_REDIS_URL", "SESSIONGATE_DATABASE_URL", "DEMO_USER", "DEMO_PASSWORD",
		"ADMIN_USER", "ADMIN_PASSWORD", "CLIENT_ID", "CLIENT_SECRET",
	} {
		if first[name] == "" {
			t.Errorf("dev.env has no %s", name)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "dev.env")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("dev.env: %v, %v; want mode 0600", info.Mode(), err)
	}
	signIn(t, first, first["DEMO_USER"], first["DEMO_PASSWORD"])
	signIn(t, first, first["ADMIN_USER"], first["ADMIN_PASSWORD"])
	if !strings.Contains(g.stdout.String(), "curl -s "+first["SESSIONGATE_URL"]+"/sessions/login") {
		t.Errorf("no curl line in\n%s", g.stdout)
	}

	second := startDev(t, dir)
	if err := <-second.done; err == nil || !strings.Contains(err.Error(), "in use by another running gateway") {
		t.Errorf("a second gateway on the same data: %v", err)
	}
	second.done <- nil
	if _, err := os.Stat(filepath.Join(dir, "dev.env")); err != nil {
		t.Error("the second one has taken away the first one's dev.env")
	}
	g.stop(t)

	again := startDev(t, dir).ready(t)
	for _, name := range []string{"DEMO_PASSWORD", "ADMIN_PASSWORD", "CLIENT_SECRET"} {
		if again[name] != first[name] {
			t.Errorf("%s is another one after a restart", name)
		}
	}
	signIn(t, again, again["DEMO_USER"], again["DEMO_PASSWORD"])
}

func TestDevOnGivenServers(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	redis, _ := testenv.Redis(t)
	servers := []string{"SESSIONGATE_REDIS_URL=" + redis, "SESSIONGATE_DATABASE_URL=" + testenv.Postgres(t)}
	g := startDev(t, dir, append(servers, "SESSIONGATE_TOKENS_ALGORITHM=EdDSA")...)
	first := g.ready(t)
	if first["SESSIONGATE_REDIS_URL"] != redis {
		t.Errorf("uses %s, want %s", first["SESSIONGATE_REDIS_URL"], redis)
	}
	for _, name := range []string{"redis", "postgres"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("made a %s of its own", name)
		}
	}
	signIn(t, first, first["DEMO_USER"], first["DEMO_PASSWORD"])
	g.stop(t)

	// The password's file is lost: the user gets a new one.
	if err := os.RemoveAll(filepath.Join(dir, "secrets")); err != nil {
		t.Fatal(err)
	}
	again := startDev(t, dir, servers...).ready(t)
	if again["DEMO_PASSWORD"] == first["DEMO_PASSWORD"] {
		t.Error("the password is the old one, from nowhere")
	}
	signIn(t, again, again["DEMO_USER"], again["DEMO_PASSWORD"])
}

func TestDevRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ variable, want string }{
		"every address": {"SESSIONGATE_HTTP_ADDR=:8080", "loopback"},
		"bad setting":   {"SESSIONGATE_SESSIONS_TTL=x", "sessions.ttl"},
		"unknown one":   {"SESSIONGATE_TTL=1s", "no such setting"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := dataDir(t)
			run(t, []string{"SESSIONGATE_DATA_DIR=" + dir, test.variable}, "", "dev").want(t, 2, test.want)
			if _, err := os.Stat(filepath.Join(dir, "postgres")); err == nil {
				t.Error("has started a server all the same")
			}
		})
	}
}

func TestDevSaysThatTheAddressIsTaken(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := dataDir(t)
	run(t, []string{"SESSIONGATE_DATA_DIR=" + dir, "SESSIONGATE_HTTP_ADDR=" + l.Addr().String()}, "", "dev").
		want(t, 1, "address already in use", "SESSIONGATE_HTTP_ADDR=127.0.0.1:0")
}

func signIn(t *testing.T, variables map[string]string, user, password string) {
	t.Helper()
	body := `{"identifier":"` + user + `","password":"` + password + `","device_info":"test"}`
	resp, err := http.Post(variables["SESSIONGATE_URL"]+"/sessions/login", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusCreated {
		t.Errorf("login of %s: %s %s", user, resp.Status, answer)
	}
}
