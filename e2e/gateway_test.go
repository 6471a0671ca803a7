package e2e

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"
)

// What no store and no log may ever hold. The beginnings make them easy to find,
// and to search for.
var (
	password       = "pw-e2e-" + rand.Text()
	wrongPassword  = "wrong-e2e-" + rand.Text()
	tokensSecret   = "hmac-e2e-" + rand.Text() + rand.Text()
	fingerprintKey = "mac-e2e-" + rand.Text() + rand.Text()

	sealingKey = "seal-e2e-" + rand.Text() + rand.Text()

	introspector = client{"api-gateway", "gw-e2e-" + rand.Text()}
	backend      = client{"shop.backend", "shop-e2e-" + rand.Text()}
	// awkward is all that form encoding is for.
	awkward = client{"odd%id+1 /?&=", "odd-e2e-%2B+: é&=/" + rand.Text()}
	secrets = []string{
		password, wrongPassword, typedByMistake, tokensSecret, fingerprintKey, sealingKey,
		introspector.secret, backend.secret, awkward.secret,
	}
)

// The cost of a password in these tests: the least that the configuration takes.
const (
	memoryKiB  = 7168
	iterations = 1
)

// passwordHash is that of password, computed once for all users.
var passwordHash = sync.OnceValue(func() string {
	salt := []byte(rand.Text())[:16]
	key := argon2.IDKey([]byte(password), salt, iterations, memoryKiB, 1, 32)
	text := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=1$%s$%s", memoryKiB, iterations, text(salt), text(key))
})

// gateway is a running `sessiongate serve`.
type gateway struct {
	*process
	stack *stack
	url   string
	http  *http.Client
}

// settings are those of all gateways: jobs as often as can be, and all that a
// gateway may log.
func (s *stack) settings(more ...string) []string {
	return append([]string{
		"SESSIONGATE_HTTP_ADDR=127.0.0.1:0",
		"SESSIONGATE_REDIS_URL=" + s.redisURL,
		"SESSIONGATE_DATABASE_URL=" + s.databaseURL,
		"SESSIONGATE_TOKENS_SECRET=" + tokensSecret,
		"SESSIONGATE_AUDIT_FINGERPRINT_KEY=" + fingerprintKey,
		"SESSIONGATE_CLIENTS=" + clientsSetting(),
		fmt.Sprintf("SESSIONGATE_PASSWORDS_MEMORY_KIB=%d", memoryKiB),
		fmt.Sprintf("SESSIONGATE_PASSWORDS_ITERATIONS=%d", iterations),
		"SESSIONGATE_PASSWORDS_MAX_WAIT=4s",
		"SESSIONGATE_REDIS_TIMEOUT=3s", // the machine is shared, and slow with the race detector
		"SESSIONGATE_JOBS_SWEEP=@every 1s",
		"SESSIONGATE_JOBS_RECONCILE=@every 1s",
		"SESSIONGATE_JOBS_CLAIM_IDLE=1s",
		"SESSIONGATE_LOG_LEVEL=debug",
		// All tests come from one address. Those of the limits set them.
		"SESSIONGATE_LIMITS_KNOWN_BURST=0", "SESSIONGATE_LIMITS_ACCOUNT_BURST=0",
		"SESSIONGATE_LIMITS_PREFIX_BURST=0", "SESSIONGATE_LIMITS_GLOBAL_BURST=0",
	}, more...)
}

func clientsSetting() string {
	type entry struct {
		ID      string   `json:"id"`
		Digests []string `json:"secrets_sha256"`
		Allow   []string `json:"allow"`
	}
	digest := func(secret string) string {
		sum := sha256.Sum256([]byte(secret))
		return hex.EncodeToString(sum[:])
	}
	b, err := json.Marshal([]entry{
		// Two secrets, as while one is being replaced.
		{introspector.id, []string{digest("retired-" + introspector.secret), digest(introspector.secret)}, []string{"introspect"}},
		{backend.id, []string{digest(backend.secret)}, []string{"sessions", "revoke"}},
		{awkward.id, []string{digest(awkward.secret)}, []string{"introspect", "sessions", "revoke"}},
	})
	if err != nil {
		panic(err)
	}
	return string(b)
}

// start runs a gateway on the stack, with more settings if need be, and returns
// once all of it is ready. It is stopped when the test ends.
func (s *stack) start(t testing.TB, more ...string) *gateway {
	t.Helper()
	return s.startAs(t, "ready", more...)
}

// startAs is start for a gateway that is not expected to become "ready": its
// status is to be another one of those of /readyz.
func (s *stack) startAs(t testing.TB, status string, more ...string) *gateway {
	t.Helper()
	for attempt := 1; ; attempt++ {
		addr := freeAddress(t)
		p := launch(t, s.settings(append(more, "SESSIONGATE_HTTP_ADDR="+addr)...), "serve")
		s.processes = append(s.processes, p)
		g := &gateway{process: p, stack: s, url: "http://" + addr, http: newHTTPClient()}
		t.Cleanup(g.http.CloseIdleConnections)
		err := g.becomes(t.Context(), status)
		if err == nil {
			return g
		}
		if attempt == 3 || !strings.Contains(p.output(), "address already in use") {
			t.Fatalf("%v\n%s", err, p.tail())
		}
	}
}

func newHTTPClient() *http.Client {
	return &http.Client{
		Timeout:   30 * time.Second,
		Transport: &http.Transport{MaxIdleConnsPerHost: 128, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
}

// freeAddress returns an address that nobody listened on a moment ago.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// becomes waits until the gateway says that it has this status.
func (g *gateway) becomes(ctx context.Context, status string) error {
	poll := time.NewTicker(2 * pollEvery)
	defer poll.Stop()
	limit := time.After(patience)
	for {
		a, err := g.send(ctx, call{method: "GET", path: "/readyz"})
		if err == nil && strings.Contains(a.body, `"status":"`+status+`"`) {
			return nil
		}
		select {
		case <-poll.C:
		case <-g.done:
			return fmt.Errorf("the gateway ended with code %d", g.cmd.ProcessState.ExitCode())
		case <-limit:
			return fmt.Errorf("the gateway is not %s after %v: %v, %v", status, patience, a, err)
		}
	}
}

// kill ends the gateway as a crash would.
func (g *gateway) kill(t testing.TB) {
	t.Helper()
	g.end(t, syscall.SIGKILL)
	g.http.CloseIdleConnections()
}

// stop asks the gateway to end and wants it to do so in good order.
func (g *gateway) stop(t testing.TB) {
	t.Helper()
	g.signal(syscall.SIGTERM)
	if code := g.exit(t); code != 0 {
		t.Errorf("%s ended with code %d, want 0:\n%s", g, code, g.tail())
	}
}

// freeze stops the gateway in its tracks until thaw.
func (g *gateway) freeze(t testing.TB) {
	t.Helper()
	g.signal(syscall.SIGSTOP)
	t.Cleanup(g.thaw) // or it could not be stopped
}

func (g *gateway) thaw() { g.signal(syscall.SIGCONT) }
