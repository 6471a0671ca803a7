package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sessiongate/sessiongate/internal/config"
	"github.com/sessiongate/sessiongate/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// result is what a command left behind.
type output struct {
	stdout, stderr string
	code           int
	err            error
}

// run runs a command with nothing but the given environment; config.yaml is not
// read, since there is none in this directory.
func run(t *testing.T, environ []string, stdin string, args ...string) output {
	t.Helper()
	var stdout, stderr bytes.Buffer
	err := Run(t.Context(), Process{
		Args: args, Environ: environ, Stdin: strings.NewReader(stdin), Stdout: &stdout, Stderr: &stderr,
		Version: "v1.2.3", Reference: []byte("the reference"),
	})
	return output{stdout.String(), stderr.String(), ExitCode(err), err}
}

// want fails the test unless the command ended with the code and printed, or
// failed with, all of the texts.
func (o output) want(t *testing.T, code int, texts ...string) {
	t.Helper()
	all := fmt.Sprint(o.stdout, o.stderr, o.err)
	if o.code != code {
		t.Fatalf("exit code %d, want %d:\n%s", o.code, code, all)
	}
	for _, text := range texts {
		if !strings.Contains(all, text) {
			t.Errorf("no %q in:\n%s", text, all)
		}
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{}, 2, "expected one of"},
		{[]string{"nonsense"}, 2, "unexpected argument nonsense"},
		{[]string{"serve", "--nonsense"}, 2, "unknown flag --nonsense"},
		{[]string{"serve"}, 2, "tokens.secret: not set"},
		{[]string{"dev", "extra"}, 2, "unexpected argument"},
		{[]string{"migrate"}, 2, "database.url"},
		{[]string{"doctor"}, 2, "audit.fingerprint_key"},
		{[]string{"config", "check"}, 2, "redis.url"},
		{[]string{"config", "print"}, 0, "max_per_user: 100"},
		{[]string{"config", "reference"}, 0, "the reference"},
		{[]string{"version"}, 0, "sessiongate v1.2.3\n"},
		{[]string{"--help"}, 0, "Commands:"},
		{[]string{"users", "--help"}, 0, "passwd"},
		{[]string{"keys"}, 2, "<user-id>"},
		{[]string{"keys", ""}, 2, "must not be empty"},
		{[]string{"--config", "/does/not/exist", "config", "check"}, 2, "no such file"},
	} {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			t.Parallel()
			run(t, nil, "", test.args...).want(t, test.code, test.want)
		})
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	run(t, nil, "", "keys", "42").want(t, 0,
		"sg:{0}:user:42", "sg:{0}:session:<sid>", "redis-cli DEL 'sg:{0}:user:42'", "Partition 0 of 1")
	run(t, []string{"SESSIONGATE_REDIS_PARTITIONS=64"}, "", "keys", "o'neil").want(t, 0, `:user:o'\''neil'`, "of 64")
	run(t, []string{"SESSIONGATE_REDIS_PARTITIONS=3"}, "", "keys", "42").want(t, 2, "redis.partitions", "power of two")
}

func TestExitCode(t *testing.T) {
	t.Parallel()
	for want, err := range map[int]error{0: nil, 1: errors.New("x"), 2: fmt.Errorf("a: %w", ErrUsage)} {
		if got := ExitCode(err); got != want {
			t.Errorf("%v: %d, want %d", err, got, want)
		}
	}
	if got := ExitCode(&config.InvalidError{Problems: []config.Problem{{Key: "a"}}}); got != 2 {
		t.Errorf("invalid configuration: %d, want 2", got)
	}
}

func TestLive(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/livez" {
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(srv.Close)
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(srv.URL, "http://"))
	for _, host := range []string{"127.0.0.1", "", "0.0.0.0"} {
		run(t, []string{"SESSIONGATE_HTTP_ADDR=" + host + ":" + port}, "", "doctor", "--live").want(t, 0)
	}
	srv.Close()
	run(t, []string{"SESSIONGATE_HTTP_ADDR=127.0.0.1:" + port}, "", "doctor", "--live").want(t, 1, "not healthy")
}

func TestLiveWantsOK(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(srv.Close)
	addr := strings.TrimPrefix(srv.URL, "http://")
	run(t, []string{"SESSIONGATE_HTTP_ADDR=" + addr}, "", "doctor", "--live").want(t, 1, "/livez answers 404")
}

func TestQuote(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{"a b": "'a b'", "it's": `'it'\''s'`, "": "''", "$(x)`y`\n": "'$(x)`y`\n'"} {
		if got := quote(s); got != want {
			t.Errorf("quote(%q) = %s, want %s", s, got, want)
		}
	}
}

// stores is the environment of a gateway on an empty Redis and an empty Postgres.
func stores(t *testing.T) []string {
	t.Helper()
	redis, _ := testenv.Redis(t)
	return []string{
		"SESSIONGATE_REDIS_URL=" + redis,
		"SESSIONGATE_DATABASE_URL=" + testenv.Postgres(t),
		"SESSIONGATE_TOKENS_SECRET=Y2kq8yBhVvXyGmTt0eZ9rPzR4wL1nQoS7uJfKdWcAiM=",
		"SESSIONGATE_AUDIT_FINGERPRINT_KEY=u7xB1mPZsQvN4gRfTeW9yKcHjL0dXoYi6aSqEwVn2rA=",
		"SESSIONGATE_PASSWORDS_MEMORY_KIB=7168",
		"SESSIONGATE_PASSWORDS_ITERATIONS=1",
		"SESSIONGATE_HTTP_ADDR=127.0.0.1:0",
	}
}

func TestMigrateAndDoctor(t *testing.T) {
	t.Parallel()
	environ := stores(t)
	run(t, environ, "", "doctor").want(t, 1, "FAILED   postgres: schema", "sessiongate migrate", "1 of ")
	run(t, environ, "", "migrate").want(t, 0, "brought up to date", "session_logs: 4")
	run(t, environ, "", "migrate").want(t, 0, "up to date already", "session_logs: 0")
	run(t, environ, "", "doctor").want(t, 0, "postgres: partitions", "redis: clock", "warning  redis: appendonly")

	bad := append(environ, "SESSIONGATE_REDIS_URL=redis://127.0.0.1:1/0",
		"SESSIONGATE_DATABASE_URL=postgres://u:hunter2@127.0.0.1:1/d?sslmode=disable")
	o := run(t, bad, "", "doctor")
	o.want(t, 1, "FAILED  redis  ", "FAILED  postgres  ", "is redis.url right", "is database.url right")
	if strings.Contains(o.stdout, "hunter2") {
		t.Errorf("doctor shows a password:\n%s", o.stdout)
	}
}

func TestDoctorExplainsEviction(t *testing.T) {
	t.Parallel()
	r := testenv.OwnRedis(t)
	setPolicy(t, r.URL(), "allkeys-lru")
	environ := append(stores(t), "SESSIONGATE_REDIS_URL="+r.URL())
	run(t, environ, "", "doctor").want(t, 1, "maxmemory-policy", "noeviction", "CONFIG SET")
}

func setPolicy(t *testing.T, url, policy string) {
	t.Helper()
	addr := strings.TrimSuffix(strings.TrimPrefix(url, "redis://"), "/0")
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "CONFIG SET maxmemory-policy %s\r\n", policy)
	answer := make([]byte, 5)
	if _, err := conn.Read(answer); err != nil || string(answer) != "+OK\r\n" {
		t.Fatalf("CONFIG SET: %q, %v", answer, err)
	}
}

func TestUsers(t *testing.T) {
	t.Parallel()
	environ := stores(t)
	run(t, environ, "", "migrate").want(t, 0)

	run(t, environ, "correct horse\n", "users", "add", " Ana@Example.COM ", "--user-id", "42", "--role", "admin").want(t, 0, "42\n")
	run(t, environ, "correct horse\n", "users", "add", "ana@example.com").want(t, 1, "there is a user ana@example.com already")
	run(t, environ, "short\n", "users", "add", "bob").want(t, 2, "must have 8 to 1024 bytes, has 5")
	run(t, environ, "correct horse\n", "users", "add", "").want(t, 2, "can't be what a user types")
	run(t, environ, "correct horse\n", "users", "add", "bob", "--user-id", " 1").want(t, 2, "must not begin or end with a space")
	run(t, environ, "", "users", "list", "--limit", "0").want(t, 2)

	run(t, environ, "", "users", "disable", "ANA@example.com").want(t, 0, "can't sign in any more", "Sessions ended: 0")
	run(t, environ, "", "users", "list").want(t, 0, "42  ana@example.com  disabled  admin")
	run(t, environ, "", "users", "enable", "--id", "42").want(t, 0, "can sign in")
	run(t, environ, "", "users", "list").want(t, 0, "active")
	run(t, environ, "", "users", "disable", "nobody@example.com").want(t, 1, "there is no user nobody@example.com")

	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("another horse\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, environ, "", "users", "passwd", "ana@example.com", "--password-file", file, "--keep-sessions").
		want(t, 0, "The password has been set.\n")
	run(t, environ, "", "users", "passwd", "ana@example.com", "--password-file", file+"x").want(t, 2, "no such file")
}

// Without a Redis, disabling still disables, and says that sessions go on.
func TestDisableWithoutRedis(t *testing.T) {
	t.Parallel()
	environ := append(stores(t), "SESSIONGATE_REDIS_URL=redis://127.0.0.1:1/0")
	run(t, environ, "", "migrate").want(t, 0)
	run(t, environ, "correct horse", "users", "add", "ana").want(t, 0)
	run(t, environ, "", "users", "disable", "ana").want(t, 1, "can't sign in any more", "the user's sessions go on")
	run(t, environ, "", "users", "list").want(t, 0, "disabled")
}

func TestServeStops(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stderr bytes.Buffer
	err := Run(ctx, Process{Args: []string{"serve"}, Environ: stores(t), Stdout: &stderr, Stderr: &stderr})
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("%v\n%s", err, stderr.String())
	}
}
