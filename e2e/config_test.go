package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/sessiongate/sessiongate/internal/testenv"
)

// nowhere are settings that are complete and name servers that are not there.
func nowhere(more ...string) []string {
	s := &stack{redisURL: "redis://127.0.0.1:1/0", databaseURL: "postgres://u@127.0.0.1:1/d?sslmode=disable"}
	return s.settings(more...)
}

// refused runs the command and wants it to end at once with the code, having said
// all of the texts on standard error and no secret anywhere.
func refused(t *testing.T, settings []string, code int, texts []string, args ...string) {
	t.Helper()
	got, p := run(t, settings, args...)
	if got != code {
		t.Errorf("%s ended with code %d, want %d:\n%s", p, got, code, p.tail())
	}
	for _, text := range texts {
		if !strings.Contains(p.stderr(), text) {
			t.Errorf("%s does not say %q:\n%s", p, text, p.tail())
		}
	}
	if what := betrays(p.output()); what != "" {
		t.Errorf("%s shows %s", p, what)
	}
}

func TestWrongSettings(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "config.yaml")
	content := "http:\n  adr: \":1\"\nsessions:\n  ttl: 30\n  max_per_user: many\nnonsense:\n  a: 1\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		settings []string
		texts    []string
		args     []string
	}{
		"nothing set": {nil, []string{
			"redis.url", "database.url", "tokens.secret", "audit.fingerprint_key", "openssl rand -base64 32",
		}, []string{"serve"}},
		"all errors at once": {
			nowhere("SESSIONGATE_SESIONS_TTL=1m", "SESSIONGATE_HTTP_ADDR=here", "SESSIONGATE_SESSIONS_TTL=0s",
				"SESSIONGATE_REDIS_PARTITIONS=3", "SESSIONGATE_TOKENS_ALGORITHM=none", "SESSIONGATE_JOBS_FLUSH=often",
				"SESSIONGATE_PASSWORDS_MEMORY_KIB=64", "SESSIONGATE_HTTP_TRUSTED_PROXIES=everybody", "SESSIONGATE_LOG_LEVEL=loud"),
			[]string{
				"SESSIONGATE_SESIONS_TTL", "did you mean SESSIONGATE_SESSIONS_TTL", "http.addr", `"here"`, "host:port",
				"sessions.ttl", "redis.partitions", "power of two", "tokens.algorithm", "HS256 or EdDSA", "jobs.flush", "often",
				"passwords.memory_kib", "http.trusted_proxies", "everybody", "log.level", "debug or info or warn or error",
			},
			[]string{"serve"},
		},
		"a file": {
			nowhere(),
			[]string{
				"http.adr", "did you mean http.addr", "sessions.ttl", "30", "sessions.max_per_user", "many", "nonsense", file,
			},
			[]string{"--config", file, "serve"},
		},
		"a file that is not there": {nowhere(), []string{"/no/such/file"}, []string{"--config", "/no/such/file", "serve"}},
		"check says the same": {
			nowhere("SESSIONGATE_SESSIONS_GRACE=2h"),
			[]string{"sessions.grace", "less than sessions.ttl"},
			[]string{"config", "check"},
		},
		"no such command": {nowhere(), []string{"dance"}, []string{"dance"}},
		"no such flag":    {nowhere(), []string{"--quickly"}, []string{"serve", "--quickly"}},
		"a secret that is in two places": {
			nowhere("SESSIONGATE_TOKENS_SECRET_FILE=" + file), []string{"tokens.secret", "not both"}, []string{"serve"},
		},
		"clients that are no JSON": {nowhere("SESSIONGATE_CLIENTS=" + introspector.secret), []string{"clients", "JSON"}, []string{"serve"}},
		"a client without a digest": {
			nowhere(`SESSIONGATE_CLIENTS=[{"id":"a","secrets_sha256":["` + introspector.secret + `"],"allow":["everything"]}]`),
			[]string{"clients[a].secrets_sha256", "64 hexadecimal digits", "clients[a].allow", "introspect"},
			[]string{"serve"},
		},
		"a URL with a password": {
			nowhere("SESSIONGATE_REDIS_URL=http://u:"+password+"@h/", "SESSIONGATE_DATABASE_URL=mysql://u:"+password+"@h/d"),
			[]string{"redis.url", "database.url"},
			[]string{"serve"},
		},
		"a key that is none": {
			nowhere("SESSIONGATE_TOKENS_ALGORITHM=EdDSA", "SESSIONGATE_TOKENS_PRIVATE_KEY="+tokensSecret),
			[]string{"tokens.private_key", "openssl genpkey"},
			[]string{"serve"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refused(t, tt.settings, 2, tt.texts, tt.args...)
		})
	}
}

func TestWeakSecrets(t *testing.T) {
	t.Parallel()
	for name, secret := range map[string]string{
		"short":               "kJ8s-2mQx0",
		"a sample":            "your-256-bit-secret-goes-in-here!",
		"a well-known word":   "changeme-changeme-9f8a7b6c5d4e3f2a",
		"one character":       strings.Repeat("x", 64),
		"a few characters":    strings.Repeat("abc", 20),
		"the fingerprint key": fingerprintKey,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings := nowhere("SESSIONGATE_TOKENS_SECRET=" + secret)
			code, p := run(t, settings, "serve")
			if code != 2 || !strings.Contains(p.stderr(), "openssl rand") {
				t.Errorf("ended with code %d, want 2 and advice:\n%s", code, p.tail())
			}
			if strings.Contains(p.output(), secret) {
				t.Errorf("shows the secret:\n%s", p.tail())
			}
		})
	}
}

// TestSettingsAreShownWithoutSecrets: what is in force can be looked at and sent
// to somebody else.
func TestSettingsAreShownWithoutSecrets(t *testing.T) {
	t.Parallel()
	code, p := run(t, nowhere("SESSIONGATE_DATABASE_URL=postgres://u:"+password+"@db.example.com/d", "SESSIONGATE_SESSIONS_GRACE=7s"), "config", "print")
	out := p.stdout()
	if code != 0 || !strings.Contains(out, "grace: 7s") || !strings.Contains(out, "db.example.com") || !strings.Contains(out, backend.id) {
		t.Errorf("ended with code %d:\n%s", code, p.tail())
	}
	if what := betrays(out); what != "" {
		t.Errorf("shows %s", what)
	}
	// What it prints, but for the secrets, is what it reads.
	code, p = run(t, nil, "config", "reference")
	reference, err := os.ReadFile("../config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if code != 0 || p.stdout() != string(reference) {
		t.Errorf("config reference ended with code %d and is not config.yaml", code)
	}
	if code, p = run(t, nowhere(), "config", "check"); code != 0 {
		t.Errorf("config check ended with code %d:\n%s", code, p.tail())
	}
}

// TestSecretsFromFiles: what Docker and Kubernetes hand over as files is taken as
// it stands, but for a line break at its end.
func TestSecretsFromFiles(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	a := s.start(t)
	b := s.start(t,
		"SESSIONGATE_TOKENS_SECRET=", "SESSIONGATE_TOKENS_SECRET_FILE="+file("a", tokensSecret),
		"SESSIONGATE_AUDIT_FINGERPRINT_KEY=", "SESSIONGATE_AUDIT_FINGERPRINT_KEY_FILE="+file("b", fingerprintKey),
		"SESSIONGATE_REDIS_URL=", "SESSIONGATE_REDIS_URL_FILE="+file("c", s.redisURL),
		"SESSIONGATE_DATABASE_URL=", "SESSIONGATE_DATABASE_URL_FILE="+file("d", s.databaseURL),
		"SESSIONGATE_CLIENTS=", "SESSIONGATE_CLIENTS_FILE="+file("e", clientsSetting()))
	b.alive(t, a.open(t, newID()).AccessToken)
	a.alive(t, b.open(t, newID()).AccessToken)
}

// TestUnusableRedis: a Redis that would sign users out by itself is refused, and
// doctor says what to do about it.
func TestUnusableRedis(t *testing.T) {
	t.Parallel()
	r := testenv.OwnRedis(t)
	o, err := redis.ParseURL(r.URL())
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(o)
	defer client.Close()
	s := &stack{redisURL: r.URL(), databaseURL: testenv.Postgres(t)}
	explained := func(t *testing.T, texts ...string) {
		t.Helper()
		refused(t, s.settings(), 1, texts, "serve")
		code, p := run(t, s.settings(), "doctor")
		if code != 1 {
			t.Errorf("doctor ended with code %d, want 1", code)
		}
		for _, text := range texts {
			if !strings.Contains(p.output(), text) {
				t.Errorf("doctor does not say %q:\n%s", text, p.tail())
			}
		}
	}
	must(t, client.ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru"))
	explained(t, "maxmemory-policy", "allkeys-lru", "noeviction")
	must(t, client.ConfigSet(t.Context(), "maxmemory-policy", "noeviction"))

	must(t, client.HSet(t.Context(), "sg:meta", "partitions", "64", "schema", "1"))
	explained(t, "64", "redis.partitions")
	must(t, client.HSet(t.Context(), "sg:meta", "partitions", "1", "schema", "999"))
	explained(t, "999", "schema")
	must(t, client.Del(t.Context(), "sg:meta"))

	if code, p := run(t, s.settings(), "migrate"); code != 0 {
		t.Errorf("migrate ended with code %d:\n%s", code, p.tail())
	}
	if code, p := run(t, s.settings(), "doctor"); code != 0 {
		t.Errorf("doctor ended with code %d:\n%s", code, p.tail())
	}
}

// TestCommands: what the other commands do is what the gateway does.
func TestCommands(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.start(t)
	id := newID()
	opened := g.open(t, id)
	code, p := run(t, s.settings(), "keys", id)
	if code != 0 || !strings.Contains(p.stdout(), userKey(id)) {
		t.Fatalf("keys ended with code %d:\n%s", code, p.tail())
	}
	must(t, s.redis.Del(t.Context(), userKey(id)))
	g.over(t, opened.AccessToken, "logged_out_or_revoked")

	passwords := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(passwords, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	u := user{newID(), "Ana." + newID() + "@Example.com"}
	users := func(args ...string) {
		t.Helper()
		if code, p := run(t, s.settings(), append([]string{"users"}, args...)...); code != 0 {
			t.Fatalf("%s ended with code %d:\n%s", p, code, p.tail())
		}
	}
	users("add", u.identifier, "--user-id", u.id, "--password-file", passwords)
	session := g.login(t, u)
	users("disable", u.identifier)
	g.over(t, session.AccessToken, "logged_out_or_revoked")
	g.do(t, loginCall(u.identifier, password)).problem(t, 401, "invalid_credentials", "")
	users("enable", u.identifier)
	g.login(t, u)
	s.logged(t, u.id, "login", "logout (user_disabled)", "login! user disabled", "login")

	live := append(s.settings(), "SESSIONGATE_HTTP_ADDR="+strings.TrimPrefix(g.url, "http://"))
	if code, p := run(t, live, "doctor", "--live"); code != 0 {
		t.Errorf("doctor --live ended with code %d:\n%s", code, p.tail())
	}
}
