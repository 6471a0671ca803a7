package real

import (
	"bufio"
	"bytes"
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	sessiongate "github.com/sessiongate/sessiongate/clients/go"
)

// patience is how long something may take; the machine may be busy.
const patience = time.Minute

// gateway is a `sessiongate dev` of the test's own.
type gateway struct {
	binary      string
	environ     []string
	variables   map[string]string // of its dev.env
	url         string
	credentials sessiongate.Credentials
}

// startGateway starts one, with more settings if need be.
func startGateway(t *testing.T, settings ...string) *gateway {
	t.Helper()
	g := &gateway{binary: binary(t), variables: map[string]string{}}
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // the servers may have users of their own
		t.Fatal(err)
	}
	g.environ = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + os.TempDir(), "SESSIONGATE_DATA_DIR=" + dir,
		"SESSIONGATE_HTTP_ADDR=127.0.0.1:0", "SESSIONGATE_REDIS_TIMEOUT=3s",
	}, settings...)
	var output buffer
	program := exec.Command(g.binary, "dev")
	program.Dir, program.Env, program.Stdout, program.Stderr = dir, g.environ, &output, &output
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = program.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = program.Process.Signal(syscall.SIGTERM)
		<-ended
	})
	file := filepath.Join(dir, "dev.env")
	until(t, "the gateway", func() bool {
		select {
		case <-ended:
			t.Fatalf("the gateway has ended:\n%s", output.String())
		default:
		}
		_, err := os.Stat(file)
		return err == nil
	})
	g.read(t, file)
	until(t, "a gateway that is ready", func() bool { return g.status(t, "/readyz", "") == http.StatusOK })
	return g
}

func binary(t *testing.T) string {
	t.Helper()
	path := os.Getenv("SESSIONGATE_BINARY")
	if path == "" {
		path = "../../../../bin/sessiongate"
	}
	path, err := filepath.Abs(path)
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Fatalf("there is no gateway, make build makes one: %v", err)
	}
	return path
}

func (g *gateway) read(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), "=")
		g.variables[name] = strings.ReplaceAll(strings.Trim(value, "'"), `'\''`, "'")
	}
	g.url = g.variables["SESSIONGATE_URL"]
	g.credentials = sessiongate.Credentials{Identifier: g.variables["DEMO_USER"], Password: g.variables["DEMO_PASSWORD"]}
}

// run runs a command of the program with the gateway's settings.
func (g *gateway) run(t *testing.T, args ...string) {
	t.Helper()
	command := exec.Command(g.binary, args...)
	command.Env = append(
		g.environ, "SESSIONGATE_DATABASE_URL="+g.variables["SESSIONGATE_DATABASE_URL"],
		"SESSIONGATE_REDIS_URL="+g.variables["SESSIONGATE_REDIS_URL"],
	)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("sessiongate %v: %v\n%s", args, err, out)
	}
}

// status makes a request without the library.
func (g *gateway) status(t *testing.T, path, token string) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}

// client returns one that is stopped in the end.
func (g *gateway) client(t *testing.T, o sessiongate.ClientOptions) *sessiongate.Client {
	t.Helper()
	o.BaseURL = g.url
	c, err := sessiongate.NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	return c
}

// signedIn is client, with the user signed in.
func (g *gateway) signedIn(t *testing.T, o sessiongate.ClientOptions) *sessiongate.Client {
	t.Helper()
	c := g.client(t, o)
	if err := c.Login(t.Context(), g.credentials); err != nil {
		t.Fatal(err)
	}
	return c
}

func (g *gateway) introspector(t *testing.T) *sessiongate.Introspector {
	t.Helper()
	in, err := sessiongate.NewIntrospector(sessiongate.IntrospectorOptions{
		BaseURL: g.url, ClientID: g.variables["CLIENT_ID"], ClientSecret: g.variables["CLIENT_SECRET"],
	})
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// until waits until something is so.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(patience)
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for !holds() {
		select {
		case <-again.C:
		case <-deadline:
			t.Fatalf("still waiting for %s", what)
		}
	}
}

// buffer is a bytes.Buffer that can be read meanwhile.
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
