package foreign

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/internal/testenv"
)

// client is a program with credentials of its own.
type client struct {
	ID     string `json:"id"`
	Secret string `json:"secret"`
}

// The libraries have to encode both parts of these, and the gateway has to decode
// them, or nothing works at all (RFC 6749 §2.3.1). The first opens sessions,
// introspects and revokes; so does the second, whose sessions are not the first's.
var (
	shop  = client{"shop%id+1 /?&=", "shop-%2B+: é&=/" + rand.Text()}
	other = client{"other", "other-" + rand.Text()}
)

// audience is what the tokens are for.
const audience = "https://orders.example.com"

// gateway is a running `sessiongate serve` whose issuer is its own address.
type gateway struct {
	url, algorithm string
	settings       []string // "NAME=value"
	dir            string   // working directory; holds the output
	cmd            *exec.Cmd
	done           chan struct{} // closed when it has ended
}

// start runs a gateway with stores of its own and managed keys, and returns once it
// is ready. It is stopped when the test ends.
func start(t *testing.T, algorithm string, more ...string) *gateway {
	t.Helper()
	redisURL, _ := testenv.Redis(t)
	stores := []string{"SESSIONGATE_REDIS_URL=" + redisURL, "SESSIONGATE_DATABASE_URL=" + testenv.Postgres(t)}
	for attempt := 1; ; attempt++ {
		addr := freeAddress(t)
		g := &gateway{url: "http://" + addr, algorithm: algorithm, dir: t.TempDir(), done: make(chan struct{})}
		g.settings = append(append(settings(t, addr, algorithm), stores...), more...)
		g.launch(t)
		err := eventually(t.Context(), g.ready)
		if err == nil {
			return g
		}
		if attempt == 3 || !strings.Contains(g.output(), "address already in use") {
			t.Fatalf("%v\n%s", err, g.output())
		}
	}
}

func settings(t *testing.T, addr, algorithm string) []string {
	return []string{
		"SESSIONGATE_HTTP_ADDR=" + addr,
		"SESSIONGATE_REDIS_TIMEOUT=3s", // the machine is shared, and slow with the race detector
		"SESSIONGATE_TOKENS_ALGORITHM=" + algorithm,
		"SESSIONGATE_TOKENS_ISSUER=http://" + addr,
		"SESSIONGATE_TOKENS_AUDIENCE=" + audience,
		"SESSIONGATE_TOKENS_KEYS=managed",
		"SESSIONGATE_TOKENS_SEALING_KEY=" + rand.Text() + rand.Text(),
		"SESSIONGATE_TOKENS_RELOAD=1s",
		"SESSIONGATE_AUDIT_FINGERPRINT_KEY=" + rand.Text() + rand.Text(),
		"SESSIONGATE_CLIENTS=" + clientsSetting(t),
	}
}

func clientsSetting(t *testing.T) string {
	t.Helper()
	type entry struct {
		ID      string   `json:"id"`
		Digests []string `json:"secrets_sha256"`
		Allow   []string `json:"allow"`
	}
	var entries []entry
	for _, c := range []client{shop, other} {
		digest := sha256.Sum256([]byte(c.Secret))
		entries = append(entries, entry{c.ID, []string{hex.EncodeToString(digest[:])}, []string{"introspect", "sessions", "revoke"}})
	}
	b, err := json.Marshal(entries)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func rand32() string { return rand.Text() + rand.Text() }

// freeAddress returns an address that nobody listened on a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (g *gateway) launch(t *testing.T) {
	t.Helper()
	out, err := os.Create(filepath.Join(g.dir, "output"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	g.cmd = g.command(context.Background(), "serve") // ends after the tests' context, and in good order
	g.cmd.SysProcAttr = dieWithParent()
	g.cmd.Stdout, g.cmd.Stderr = out, out
	started := make(chan error)
	go func() {
		// Linux ties the parent's death to the thread that forked (prctl(2)).
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := g.cmd.Start()
		started <- err
		if err == nil {
			_ = g.cmd.Wait() // ProcessState tells how it ended
			close(g.done)
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.stop(t) })
}

// stop asks the gateway to end, and shows what it said if the test failed.
func (g *gateway) stop(t *testing.T) {
	_ = g.cmd.Process.Signal(syscall.SIGTERM) // or it has ended
	select {
	case <-g.done:
	case <-time.After(patience):
		_ = g.cmd.Process.Kill()
		<-g.done
		t.Errorf("the gateway did not end within %v", patience)
	}
	out := g.output()
	if strings.Contains(out, "DATA RACE") || strings.Contains(out, `"status":500`) {
		t.Error("the gateway has a fault of its own")
	}
	if t.Failed() {
		t.Logf("the gateway says:\n%s", out[max(0, len(out)-4000):])
	}
}

// command is a run of the program with the gateway's settings, and nothing else of
// our environment that could be one.
func (g *gateway) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = g.dir // there is no config.yaml
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + g.dir, "TMPDIR=" + os.TempDir()}, g.settings...)
	return cmd
}

// run runs a command of the program to its end.
func (g *gateway) run(t *testing.T, args ...string) {
	t.Helper()
	if out, err := g.command(t.Context(), args...).CombinedOutput(); err != nil {
		t.Fatalf("sessiongate %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func (g *gateway) output() string {
	b, err := os.ReadFile(filepath.Join(g.dir, "output"))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// ready returns nil if the gateway says that it is.
func (g *gateway) ready(ctx context.Context) error {
	select {
	case <-g.done:
		return fmt.Errorf("%w: the gateway ended with code %d", errFinal, g.cmd.ProcessState.ExitCode())
	default:
	}
	status, body, err := send(ctx, http.MethodGet, g.url+"/readyz", nil)
	if err != nil {
		return err
	}
	if status != http.StatusOK || !bytes.Contains(body, []byte(`"status":"ready"`)) {
		return fmt.Errorf("/readyz says %d %s", status, body)
	}
	return nil
}

// open opens a session of the user's, as the shop's backend, and returns its token.
func (g *gateway) open(t *testing.T, user string) string {
	t.Helper()
	body, err := json.Marshal(map[string]any{
		"user_id": user, "username": user + "@example.com", "scope": "orders:read profile",
		"amr": []string{"pwd"}, "roles": []string{"buyer"},
	})
	if err != nil {
		t.Fatal(err)
	}
	status, answer, err := send(t.Context(), http.MethodPost, g.url+"/sessions", body)
	if err != nil {
		t.Fatal(err)
	}
	var grant struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal(answer, &grant); status != http.StatusCreated || err != nil {
		t.Fatalf("POST /sessions says %d %s (%v)", status, answer, err)
	}
	return grant.AccessToken
}

// send is our own HTTP client, for what no library does.
func send(ctx context.Context, method, address string, body []byte) (status int, answer []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.SetBasicAuth(url.QueryEscape(shop.ID), url.QueryEscape(shop.Secret))
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}
