package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessiongate/sessiongate/internal/config"
	"github.com/sessiongate/sessiongate/internal/testenv"
	"github.com/sessiongate/sessiongate/session"
	"github.com/sessiongate/sessiongate/store"
	"github.com/sessiongate/sessiongate/tokens"
)

func managed(redisURL, postgresURL string) config.Config {
	cfg := testConfig(redisURL, postgresURL)
	cfg.Tokens.Keys, cfg.Tokens.Algorithm, cfg.Tokens.Secret = config.KeysManaged, config.EdDSA, ""
	cfg.Tokens.SealingKey = "Zr5Tx1Vb8Nm2Lp6Hd4Gs0Fa0Jk3u7Qw9"
	cfg.Clients = []config.Client{{ID: "shop", SecretsSHA256: []string{secretHashOf("s")}, Allow: []string{config.AllowSessions}}}
	return cfg
}

// peer is the keys of one gateway, with stores of its own and a clock that the
// test turns.
type peer struct {
	name     string
	keys     *tokens.Shared
	issuer   *tokens.Issuer
	verifier *tokens.Verifier
}

func newPeer(t *testing.T, name string, cfg config.Config, now func() time.Time) *peer {
	t.Helper()
	db, err := store.OpenPostgres(store.PostgresOptions{URL: string(cfg.Database.URL), MaxConns: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, err := store.OpenRedis(t.Context(), store.RedisOptions{
		URL: string(cfg.Redis.URL), Timeout: 5 * time.Second, Partitions: 1, Policy: policyOf(cfg.Sessions), Instance: name,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	p := &peer{name: name}
	if p.keys, err = SharedKeys(cfg, db, r, now, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	o := tokens.Options{
		Issuer: cfg.Tokens.Issuer, Audience: cfg.Tokens.Audience, Leeway: cfg.Tokens.Leeway, CacheSize: 1000, Now: now,
	}
	if p.issuer, err = tokens.NewIssuer(p.keys.Keyring(), o); err != nil {
		t.Fatal(err)
	}
	if p.verifier, err = tokens.NewVerifier(p.keys.Keyring(), o); err != nil {
		t.Fatal(err)
	}
	if err := p.keys.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestRotationAcrossGateways turns the clock over a whole rotation: two gateways
// on one Postgres and one Redis, each with its own rotation and its own pace of
// reading. Whatever either signs is accepted by both until it expires.
func TestRotationAcrossGateways(t *testing.T) {
	t.Parallel()
	redisURL, _ := testenv.Redis(t)
	cfg := managed(redisURL, testenv.Postgres(t))
	cfg.Tokens.Algorithm = config.ES256
	began := time.Now().UTC().Truncate(time.Second)
	var offset atomic.Int64
	now := func() time.Time { return began.Add(time.Duration(offset.Load())) }
	peers := []*peer{newPeer(t, "a", cfg, now), newPeer(t, "b", cfg, now)}

	type issued struct {
		raw, by string
		exp     time.Time
	}
	var live []issued
	signedBy := map[string]bool{}
	for at := cfg.Tokens.RotateEvery - 2*time.Hour; at < cfg.Tokens.RotateEvery+2*time.Hour; at += 2 * time.Minute {
		offset.Store(int64(at))
		for i, p := range peers {
			if int(at.Minutes())%(10+20*i) == 0 { // both find the same thing due
				if _, err := p.keys.Rotate(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := p.keys.Load(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			s := session.Session{
				ID: session.NewID(now()), UserID: "u1", ClientID: "shop",
				RotatedAt: now(), AuthTime: now(), ExpiresAt: now().Add(cfg.Sessions.TTL),
			}
			raw, err := p.issuer.Sign(s.Token())
			if err != nil {
				t.Fatal(err)
			}
			signedBy[p.keys.Keyring().Active(now()).ID()] = true
			live = append(live, issued{raw, p.name, s.ExpiresAt})
		}
		rest := live[:0]
		for _, token := range live {
			if !now().Before(token.exp) {
				continue
			}
			rest = append(rest, token)
			for _, p := range peers {
				if _, err := p.verifier.Verify(token.raw); err != nil {
					t.Fatalf("%v on: %s refuses what %s signed: %v", at, p.name, token.by, err)
				}
			}
		}
		live = rest
	}
	if len(signedBy) != 2 {
		t.Errorf("%d keys have signed, want 2", len(signedBy))
	}
	if n := len(peers[0].keys.Keyring().JWKS(now()).Keys); n != 1 {
		t.Errorf("%d keys are public at the end, want 1", n)
	}
}

// TestManagedKeys runs two gateways by their configuration alone: each accepts the
// other's tokens, and one that starts while Postgres is down accepts both's.
func TestManagedKeys(t *testing.T) {
	t.Parallel()
	pg := testenv.OwnPostgres(t)
	redisURL, _ := testenv.Redis(t)
	cfg := managed(redisURL, pg.URL())
	first, second := start(t, cfg), start(t, cfg)
	first.until(ready)
	second.until(ready)
	all := []string{first.openSession("shop", "s", "u1"), second.openSession("shop", "s", "u2")}

	if err := pg.Stop(); err != nil {
		t.Fatal(err)
	}
	third := start(t, cfg)
	all = append(all, third.openSession("shop", "s", "u3"))
	for i, r := range []*running{first, second, third} {
		for j, token := range all {
			if status := r.status(token); status != http.StatusOK {
				t.Errorf("gateway %d answers %d to a token of %d", i, status, j)
			}
		}
		_, body := r.get("/.well-known/jwks.json")
		var set tokens.JWKS
		if err := json.Unmarshal([]byte(body), &set); err != nil || len(set.Keys) != 1 || set.Keys[0].Algorithm != "EdDSA" {
			t.Errorf("keys of %d: %s", i, body)
		}
		if err := r.stopped(); err != nil {
			t.Errorf("stops with %v", err)
		}
	}

	o, err := redis.ParseURL(redisURL)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(o)
	defer client.Close()
	if kept := client.HGetAll(t.Context(), "sg:keys").Val(); len(kept) != 1 || strings.Contains(fmt.Sprint(kept), "PRIVATE") {
		t.Errorf("sg:keys holds %v", kept)
	}
	cfg.Tokens.SealingKey = "Another1Vb8Nm2Lp6Hd4Gs0Fa0Jk3u7Qw9"
	r, _ := launch(t, cfg)
	if err := <-r.down; !errors.Is(err, tokens.ErrSealed) || !strings.Contains(err.Error(), "sealing key does not fit") {
		t.Errorf("with another sealing key: %v", err)
	}
}

func TestManagedKeysNeedASealingKey(t *testing.T) {
	t.Parallel()
	redisURL, _ := testenv.Redis(t)
	cfg := managed(redisURL, "postgres://127.0.0.1:1/x")
	cfg.Tokens.SealingKey = "short"
	r, _ := launch(t, cfg)
	if err := <-r.down; err == nil || !strings.Contains(err.Error(), "sealing key has 5 bytes") {
		t.Errorf("error %v", err)
	}
}

func TestConfiguredKeys(t *testing.T) {
	t.Parallel()
	_, pem, err := tokens.GenerateKey(config.ES256)
	if err != nil {
		t.Fatal(err)
	}
	secret, private := config.Secret("0Jk3u7Qw9Zr5Tx1Vb8Nm2Lp6Hd4Gs0Fa"), config.Secret(pem)
	for _, tt := range []struct {
		name   string
		tokens config.Tokens
		want   string
	}{
		{"a secret", config.Tokens{Keys: "static", Algorithm: "HS256", Secret: secret}, "[HS256]"},
		{"a private key", config.Tokens{Keys: "static", Algorithm: "ES256", Secret: secret, PrivateKey: private}, "[ES256]"},
		{"none", config.Tokens{Keys: "managed", Algorithm: "ES256"}, "[]"},
		{"both from before", config.Tokens{Keys: "managed", Algorithm: "RS256", Secret: secret, PrivateKey: private}, "[ES256 HS256]"},
		{"both, the secret first", config.Tokens{Keys: "managed", Algorithm: "HS256", Secret: secret, PrivateKey: private}, "[HS256 ES256]"},
	} {
		keys, err := ConfiguredKeys(tt.tokens)
		var got []string
		for _, k := range keys {
			got = append(got, k.Algorithm())
		}
		if err != nil || fmt.Sprint(got) != tt.want {
			t.Errorf("%s: %v, %v, want %s", tt.name, got, err, tt.want)
		}
	}
}
