package config

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

const reference = "../../config.yaml"

// Enough to start, and as random as it looks.
const (
	goodSecret = "Y2kq8yBhVvXyGmTt0eZ9rPzR4wL1nQoS7uJfKdWcAiM="
	goodKey    = "u7xB1mPZsQvN4gRfTeW9yKcHjL0dXoYi6aSqEwVn2rA="
	redisURL   = "redis://:hunter2hunter2@cache.internal:6379/0"
	pgURL      = "postgres://app:hunter3hunter3@db.internal:5432/app?sslmode=disable"
	digest     = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
)

func complete(more ...string) []string {
	return append([]string{
		"SESSIONGATE_REDIS_URL=" + redisURL,
		"SESSIONGATE_DATABASE_URL=" + pgURL,
		"SESSIONGATE_TOKENS_SECRET=" + goodSecret,
		"SESSIONGATE_AUDIT_FINGERPRINT_KEY=" + goodKey,
	}, more...)
}

func TestReferenceIsTheDefault(t *testing.T) {
	t.Parallel()
	cfg, err := Read(reference, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(cfg, Default()) {
		t.Errorf("config.yaml and Default differ:\n%+v\n%+v", cfg, Default())
	}
}

// Every setting is in the reference, with a comment above it that says something.
func TestReferenceDocumentsEverySetting(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	section, comment := "", ""
	for line := range strings.Lines(string(b)) {
		line = strings.TrimRight(line, "\n")
		text := strings.TrimSpace(line)
		switch key, _, isKey := strings.Cut(text, ":"); {
		case strings.HasPrefix(text, "#"):
			comment += text
		case text == "" || !isKey:
			comment = ""
		default:
			if line == text {
				section = key
			} else {
				key = section + "." + key
			}
			documented[key] = len(comment) > 15
			comment = ""
		}
	}
	cfg := Default()
	for _, f := range cfg.fields() {
		if good, there := documented[f.key]; !there {
			t.Errorf("config.yaml does not have %s", f.key)
		} else if !good {
			t.Errorf("config.yaml says nothing about %s", f.key)
		}
	}
}

func TestLoadComplete(t *testing.T) {
	t.Parallel()
	cfg, err := Load(reference, complete("SESSIONGATE_HTTP_ADDR=:9000", "SESSIONGATE_SESSIONS_TTL=10m",
		"SESSIONGATE_SESSIONS_REFRESH_AFTER=8m", "SESSIONGATE_HTTP_TRUSTED_PROXIES=10.0.0.0/8, ::1",
		"SESSIONGATE_DATABASE_MIGRATE=false", "SESSIONGATE_SESSIONS_REFRESH_JITTER=0.1",
		"SESSIONGATE_REDIS_PARTITIONS=64", "SESSIONGATE_JOBS_SWEEP=*/2 * * * *",
		`SESSIONGATE_CLIENTS=[{"id":"gw","secrets_sha256":["`+digest+`"],"allow":["introspect"]}]`,
		"SESSIONGATE_CONFIG=ignored", "SESSIONGATE_DATA_DIR=/data", "SESSIONGATE_URL=http://x", "OTHER=1"))
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.HTTP.Addr = ":9000"
	want.HTTP.TrustedProxies = []string{"10.0.0.0/8", "::1"}
	want.Sessions.TTL, want.Sessions.RefreshAfter, want.Sessions.RefreshJitter = 10*time.Minute, 8*time.Minute, 0.1
	want.Database.Migrate = false
	want.Redis.Partitions = 64
	want.Jobs.Sweep = "*/2 * * * *"
	want.Clients = []Client{{ID: "gw", SecretsSHA256: []string{digest}, Allow: []string{"introspect"}}}
	want.Redis.URL, want.Database.URL = redisURL, pgURL
	want.Tokens.Secret, want.Audit.FingerprintKey = goodSecret, goodKey
	if !reflect.DeepEqual(cfg, want) {
		t.Errorf("got %#v\nwant %#v", cfg, want)
	}
}

func TestFileBelowEnvironment(t *testing.T) {
	t.Parallel()
	file := write(t, "http:\n  addr: \":1\"\n  idle_timeout: 1m\nsessions:\n"+
		"clients:\n  - {id: gw, secrets_sha256: ["+digest+"], allow: [sessions]}\n")
	cfg, err := Load("", complete("SESSIONGATE_CONFIG="+file, "SESSIONGATE_HTTP_ADDR=:2", "SESSIONGATE_LOG_LEVEL="))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.HTTP.Addr != ":2" || cfg.HTTP.IdleTimeout != time.Minute || cfg.Log.Level != "info" || len(cfg.Clients) != 1 {
		t.Errorf("got addr %s, idle_timeout %s, level %s, %d clients",
			cfg.HTTP.Addr, cfg.HTTP.IdleTimeout, cfg.Log.Level, len(cfg.Clients))
	}
}

func TestSecretsFromFiles(t *testing.T) {
	t.Parallel()
	cfg, err := Load(reference, []string{
		"SESSIONGATE_REDIS_URL_FILE=" + write(t, redisURL+"\n"),
		"SESSIONGATE_DATABASE_URL_FILE=" + write(t, pgURL),
		"SESSIONGATE_TOKENS_ALGORITHM=EdDSA",
		"SESSIONGATE_TOKENS_PRIVATE_KEY_FILE=" + write(t, privateKey(t)),
		"SESSIONGATE_AUDIT_FINGERPRINT_KEY_FILE=" + write(t, goodKey+"\r\n"),
		"SESSIONGATE_CLIENTS_FILE=" + write(t, `[{"id":"gw","secrets_sha256":["`+digest+`"],"allow":["introspect"]}]`),
	})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Redis.URL != redisURL || cfg.Database.URL != pgURL || cfg.Audit.FingerprintKey != goodKey ||
		!strings.HasPrefix(string(cfg.Tokens.PrivateKey), "-----BEGIN") || cfg.Clients[0].ID != "gw" {
		t.Error("a secret differs from what its file holds")
	}
}

// Each entry is the complete environment plus one mistake, which must be the only
// problem reported, under its key, with what was given and what would be right.
func TestBadSettings(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ variable, key, given, want string }{
		{"HTTP_ADRR=:1", "SESSIONGATE_HTTP_ADRR", "", "did you mean SESSIONGATE_HTTP_ADDR?"},
		{"NONSENSE=1", "SESSIONGATE_NONSENSE", "", "no such setting"},
		{"HTTP_ADDR_FILE=/x", "SESSIONGATE_HTTP_ADDR_FILE", "", "no such setting"},
		{"HTTP_ADDR=localhost", "http.addr", `"localhost"`, "host:port"},
		{"HTTP_ADDR=:99999", "http.addr", `":99999"`, "host:port"},
		{"HTTP_TRUSTED_PROXIES=10.0.0.0/8,all", "http.trusted_proxies", `"all"`, "networks"},
		{"HTTP_REQUEST_TIMEOUT=5", "http.request_timeout", `"5"`, "duration with its unit"},
		{"HTTP_REQUEST_TIMEOUT=1h", "http.request_timeout", "1h", "100ms to 5m"},
		{"HTTP_MAX_BODY_BYTES=64k", "http.max_body_bytes", `"64k"`, "whole number"},
		{"HTTP_MAX_BODY_BYTES=-1", "http.max_body_bytes", "-1", "1024 to"},
		{"HTTP_SHUTDOWN_TIMEOUT=0s", "http.shutdown_timeout", "0s", "1s to"},
		{"HTTP_DRAIN_DELAY=-1s", "http.drain_delay", "-1s", "0s to"},
		{"REDIS_URL=localhost:6379", "redis.url", "", "redis://"},
		{"REDIS_URL=http://localhost", "redis.url", "", "redis://"},
		{"REDIS_TIMEOUT=1us", "redis.timeout", "1µs", "10ms to 10s"},
		{"REDIS_TIMEOUT=6s", "redis.timeout", "6s", "less than http.request_timeout (5s)"},
		{"REDIS_PARTITIONS=3", "redis.partitions", "3", "power of two"},
		{"REDIS_PARTITIONS=128", "redis.partitions", "128", "power of two"},
		{"REDIS_PARTITIONS=0", "redis.partitions", "0", "power of two"},
		{"REDIS_POOL_SIZE=-1", "redis.pool_size", "-1", "0 to"},
		{"DATABASE_URL=host=x password=hunter4", "database.url", "", "postgres://"},
		{"DATABASE_MAX_CONNS=1", "database.max_conns", "1", "2 to"},
		{"DATABASE_MIGRATE=yes", "database.migrate", `"yes"`, "true or false"},
		{"TOKENS_ALGORITHM=none", "tokens.algorithm", `"none"`, "HS256 or EdDSA"},
		{"TOKENS_ALGORITHM=EdDSA", "tokens.private_key", "", "Ed25519"},
		{"TOKENS_ALGORITHM=ES256", "tokens.private_key", "", "P-256"},
		{"TOKENS_ALGORITHM=RS256", "tokens.private_key", "", "RSA"},
		{"TOKENS_KEYS=vault", "tokens.keys", `"vault"`, "static or managed"},
		{"TOKENS_KEYS=managed", "tokens.sealing_key", "", "not set"},
		{"HTTP_PUBLIC_URL=gate.example.com", "http.public_url", `"gate.example.com"`, "https://host"},
		{"HTTP_PUBLIC_URL=https://gate.example.com/", "http.public_url", `"https://gate.example.com/"`, "without a slash"},
		{"HTTP_PUBLIC_URL=https://gate.example.com?x", "http.public_url", `"https://gate.example.com?x"`, "a query"},
		{"HTTP_PUBLIC_URL=https://u:p@gate.example.com", "http.public_url", `"https://u:p@gate.example.com"`, "https://host"},
		{"TOKENS_ISSUER= x", "tokens.issuer", `" x"`, "255 bytes"},
		{"TOKENS_LEEWAY=2m", "tokens.leeway", "2m", "0s to 1m"},
		{"TOKENS_CACHE_SIZE=-1", "tokens.cache_size", "-1", "0 to"},
		{"SESSIONS_TTL=48h", "sessions.ttl", "48h", "1s to 24h"},
		{"SESSIONS_TTL=30m0.5s", "sessions.ttl", "30m0.5s", "whole seconds"},
		{"SESSIONS_REFRESH_AFTER=30m", "sessions.refresh_after", "30m", "less than sessions.ttl (30m)"},
		{"SESSIONS_REFRESH_AFTER=0s", "sessions.refresh_after", "0s", "more than 0s"},
		{"SESSIONS_REFRESH_JITTER=0.6", "sessions.refresh_jitter", "0.6", "0 to 0.5"},
		{"SESSIONS_REFRESH_JITTER=NaN", "sessions.refresh_jitter", "NaN", "0 to 0.5"},
		{"SESSIONS_REFRESH_JITTER=x", "sessions.refresh_jitter", `"x"`, "a number"},
		{"SESSIONS_GRACE=30m", "sessions.grace", "30m", "less than sessions.ttl"},
		{"SESSIONS_ABSOLUTE_LIFETIME=1m", "sessions.absolute_lifetime", "1m", "at least sessions.ttl"},
		{"SESSIONS_MAX_PER_USER=0", "sessions.max_per_user", "0", "1 to 1000"},
		{"PASSWORDS_MEMORY_KIB=64", "passwords.memory_kib", "64", "7168 to"},
		{"PASSWORDS_ITERATIONS=0", "passwords.iterations", "0", "1 to"},
		{"PASSWORDS_MAX_WAIT=2m", "passwords.max_wait", "2m", "0s to 1m"},
		{"JOBS_FLUSH=1s", "jobs.flush", `"1s"`, "cron schedule"},
		{"JOBS_FLUSH=@every 10ms", "jobs.flush", `"@every 10ms"`, "at least 1s"},
		{"JOBS_PARTITIONS=@fortnightly", "jobs.partitions", `"@fortnightly"`, "cron schedule"},
		{"JOBS_FLUSH_BATCH=0", "jobs.flush_batch", "0", "1 to"},
		{"JOBS_RECONCILE_MAX_MISSING=0", "jobs.reconcile_max_missing", "0", "more than 0"},
		{"JOBS_RETENTION=1h", "jobs.retention", "1h", "at least 24h"},
		{"JOBS_CLAIM_IDLE=0s", "jobs.claim_idle", "0s", "1s to"},
		{"LOG_LEVEL=trace", "log.level", `"trace"`, "debug or info"},
		{"LOG_FORMAT=xml", "log.format", `"xml"`, "json or text"},
		{"CLIENTS=gw", "clients", "", "as JSON"},
		{"CLIENTS={}", "clients", "", "want a list"},
		{`CLIENTS=[1]`, "clients", "", "number 1: is not a map"},
		{`CLIENTS=[{"id":"a","secret":"hunter5"}]`, "clients", "", `has no setting "secret"`},
		{`CLIENTS=[{"id":1}]`, "clients", "", "id is of another type"},
		{client("", digest, "introspect"), "clients", `""`, "printable ASCII"},
		{client("a:b", digest, "introspect"), "clients", `"a:b"`, "without a colon"},
		{client("sessiongate", digest, "introspect"), "clients", `"sessiongate"`, "another id"},
		{client("gw", "hunter6", "introspect"), "clients[gw].secrets_sha256", "", "64 hexadecimal digits"},
		{client("gw", emptySHA256, "introspect"), "clients[gw].secrets_sha256", "", "64 hexadecimal digits"},
		{client("gw", digest, "everything"), "clients[gw].allow", `"everything"`, "introspect, sessions"},
	} {
		t.Run(test.variable, func(t *testing.T) {
			t.Parallel()
			_, err := Load(reference, complete("SESSIONGATE_"+test.variable))
			problems := problemsOf(t, err)
			if len(problems) != 1 {
				t.Fatalf("%d problems, want 1: %v", len(problems), err)
			}
			p := problems[0]
			if p.Key != test.key || p.Given != test.given || !strings.Contains(p.Want, test.want) {
				t.Errorf("got %+v", p)
			}
			if strings.Contains(err.Error(), "hunter") {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}

func client(id, digest, allow string) string {
	return fmt.Sprintf(`CLIENTS=[{"id":%q,"secrets_sha256":[%q],"allow":[%q]}]`, id, digest, allow)
}

func TestWeakSecrets(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ secret, want string }{
		{"short", "too short"},
		{strings.Repeat("x", 31), "too short"},
		{strings.Repeat("x", 64), "too regular"},
		{strings.Repeat("0123456", 8), "too regular"},
		{strings.Repeat("kP9vT2xQ", 5), "too regular"},
		{"your-256-bit-secret-your-256-bit!", "a sample"},
		{"please-CHANGEME-before-production-x7", "a sample"},
		{"my super long Password that is fine", "a sample"},
		{goodKey, "the same as tokens.secret"},
	} {
		t.Run(test.secret, func(t *testing.T) {
			t.Parallel()
			key, environ := "tokens.secret", complete("SESSIONGATE_TOKENS_SECRET="+test.secret)
			if test.secret == goodKey {
				key = "audit.fingerprint_key"
			}
			_, err := Load(reference, environ)
			problems := problemsOf(t, err)
			if len(problems) != 1 || problems[0].Key != key || !strings.Contains(problems[0].Want, test.want) {
				t.Fatalf("got %v, want %s: %s", err, key, test.want)
			}
			if problems[0].Given != "" || len(test.secret) > 8 && strings.Contains(err.Error(), test.secret) {
				t.Errorf("the error shows the secret: %v", err)
			}
		})
	}
	t.Run("in dev", func(t *testing.T) {
		t.Parallel()
		cfg, err := Read(reference, complete("SESSIONGATE_TOKENS_SECRET="+strings.Repeat("x", 32)))
		if err != nil {
			t.Fatal(err)
		}
		cfg.Dev = true
		if err := cfg.Validate(); err != nil {
			t.Errorf("a weak secret in dev: %v", err)
		}
	})
}

func TestDevStaysOnLoopback(t *testing.T) {
	t.Parallel()
	for addr, good := range map[string]bool{
		"127.0.0.1:8080": true, "localhost:8080": true, "[::1]:0": true, "127.8.8.8:1": true,
		":8080": false, "0.0.0.0:8080": false, "192.168.1.4:8080": false, "example.com:80": false, "[::]:80": false,
	} {
		cfg, err := Read(reference, complete("SESSIONGATE_HTTP_ADDR="+addr))
		if err != nil {
			t.Fatal(err)
		}
		cfg.Dev = true
		if err := cfg.Validate(); (err == nil) != good {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

func TestEverythingAtOnce(t *testing.T) {
	t.Parallel()
	file := write(t, "http:\n  adr: x\n  idle_timeout: 30\nredis: 5\nlog:\n  level: [a]\nextra:\n  deep: 1\n"+
		"tokens:\n  secret: 12345678\n")
	_, err := Load(file, []string{"SESSIONGATE_LOGLEVEL=info", "SESSIONGATE_AUDIT_FINGERPRINT_KEY_FILE=/does/not/exist"})
	want := []string{
		"http.adr", "http.idle_timeout", "redis", "log.level", "extra.deep", "SESSIONGATE_LOGLEVEL",
		"audit.fingerprint_key", "redis.url", "database.url", "tokens.secret",
	}
	var got []string
	for _, p := range problemsOf(t, err) {
		got = append(got, p.Key)
		if p.Key == "tokens.secret" && p.Given != "" {
			t.Errorf("shows a secret: %v", p)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got problems with %v\nwant %v\n%v", got, want, err)
	}
	if !strings.Contains(err.Error(), "http.idle_timeout (from "+file+"): got 30, want a duration") {
		t.Errorf("no source, value and expectation in:\n%v", err)
	}
}

func TestFileProblems(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		path    string
		environ []string
		want    string
	}{
		"named file is missing": {"/does/not/exist.yaml", complete(), "no such file"},
		"file in variable":      {"", complete("SESSIONGATE_CONFIG=/does/not/exist.yaml"), "no such file"},
		"not YAML":              {write(t, "a: [\n"), complete(), "want YAML"},
		"twice the same key":    {write(t, "log:\n  level: info\n  level: warn\n"), complete(), "already defined"},
		"value and file": {
			reference, complete("SESSIONGATE_TOKENS_SECRET_FILE=" + write(t, goodSecret)), "not both",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Load(test.path, test.environ)
			problemsOf(t, err)
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func write(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func privateKey(t *testing.T) string {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func problemsOf(t *testing.T, err error) []Problem {
	t.Helper()
	var e *InvalidError
	if !errors.As(err, &e) || !errors.Is(err, ErrInvalid) {
		t.Fatalf("got %v, want an *InvalidError", err)
	}
	return e.Problems
}
