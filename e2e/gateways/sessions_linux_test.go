package gateways

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/internal/devstack"
	"github.com/sessiongate/sessiongate/internal/testenv"
)

// The client that the gateways introspect as and the tests open sessions as.
const clientID = "gateway"

var (
	clientSecret = "gw-e2e-" + rand.Text()
	tokensSecret = "hmac-e2e-" + rand.Text() + rand.Text()
)

// adminScope is what /admin/ asks for.
const adminScope = "admin:read"

// identity is what sessions of these tests say of a user: with everything, or with
// as little as there can be.
type identity struct {
	Scope    string   `json:"scope,omitempty"`
	AMR      []string `json:"amr,omitempty"`
	Roles    []string `json:"roles,omitempty"`
	Username string   `json:"username,omitempty"`
}

var (
	full  = identity{"orders:read orders:write", []string{"pwd", "otp"}, []string{"clerk", "manager"}, "frieda@example.com"}
	admin = identity{"orders:read " + adminScope, []string{"pwd"}, []string{"admin"}, "ada@example.com"}
	bare  = identity{}
)

// gate is a running sessiongate with a Redis that can be stopped.
type gate struct {
	*child
	addr  string
	redis *devstack.Redis
}

func startGate(t *testing.T) *gate {
	t.Helper()
	redis := testenv.OwnRedis(t)
	database := testenv.Postgres(t)
	digest := sha256.Sum256([]byte(clientSecret))
	clients := `[{"id":"` + clientID + `","secrets_sha256":["` + hex.EncodeToString(digest[:]) + `"],"allow":["introspect","sessions"]}]`
	c, addr := serve(t, func(addr string) *child {
		return launch(t, t.TempDir(), []string{
			"SESSIONGATE_HTTP_ADDR=" + addr,
			"SESSIONGATE_HTTP_PUBLIC_URL=http://" + addr,
			"SESSIONGATE_REDIS_URL=" + redis.URL(),
			"SESSIONGATE_DATABASE_URL=" + database,
			"SESSIONGATE_TOKENS_SECRET=" + tokensSecret,
			"SESSIONGATE_AUDIT_FINGERPRINT_KEY=mac-e2e-" + rand.Text() + rand.Text(),
			"SESSIONGATE_CLIENTS=" + clients,
			"SESSIONGATE_REDIS_TIMEOUT=1s", // below that of the recipes
			`SESSIONGATE_FORWARD_AUTH_POLICIES=[{"name":"admin","scopes":["` + adminScope + `"]}]`,
		}, program, "serve")
	}, "/readyz", http.StatusOK)
	return &gate{c, addr, redis}
}

// session is one that has been opened.
type session struct {
	Token   string `json:"access_token"`
	Session struct {
		ID     string `json:"id"`
		UserID string `json:"user_id"`
	} `json:"session"`
	identity `json:"-"`
}

// post sends JSON to sessiongate and decodes the answer into v unless it is nil.
func (g *gate) post(t *testing.T, path, authorization string, body, v any, status int) {
	t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+g.addr+path, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", authorization)
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != status {
		t.Fatalf("POST %s: %d, want %d", path, resp.StatusCode, status)
	}
	if v == nil {
		return
	}
	if err := json.NewDecoder(resp.Body).Decode(v); err != nil {
		t.Fatal(err)
	}
}

// open begins a session of a user of its own.
func (g *gate) open(t *testing.T, who identity) session {
	t.Helper()
	s := session{identity: who}
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(clientID+":"+clientSecret))
	g.post(t, "/sessions", basic, struct {
		UserID string `json:"user_id"`
		identity
	}{"user-" + strings.ToLower(rand.Text()), who}, &s, http.StatusCreated)
	return s
}

func (g *gate) refresh(t *testing.T, token string) (next string) {
	t.Helper()
	var s session
	g.post(t, "/sessions/refresh", "Bearer "+token, struct{}{}, &s, http.StatusOK)
	return s.Token
}

// logout returns when sessiongate had said that the session is over.
func (g *gate) logout(t *testing.T, s session) time.Time {
	t.Helper()
	g.post(t, "/sessions/logout", "Bearer "+s.Token, struct{}{}, nil, http.StatusNoContent)
	return time.Now()
}

// superseded returns the token of a live session that has been refreshed twice
// since.
func (g *gate) superseded(t *testing.T) session {
	t.Helper()
	s := g.open(t, full)
	g.refresh(t, g.refresh(t, s.Token))
	return s
}

// expired returns a token that sessiongate could have signed an hour ago, with the
// session of a live one.
func (g *gate) expired(t *testing.T) session {
	t.Helper()
	s := g.open(t, full)
	header, rest, _ := strings.Cut(s.Token, ".")
	text, _, _ := strings.Cut(rest, ".")
	var claims map[string]any
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(b, &claims)
	}
	if err != nil {
		t.Fatal(err)
	}
	claims["iat"], claims["exp"] = time.Now().Add(-2*time.Hour).Unix(), time.Now().Add(-time.Hour).Unix()
	if b, err = json.Marshal(claims); err != nil {
		t.Fatal(err)
	}
	signed := header + "." + base64.RawURLEncoding.EncodeToString(b)
	mac := hmac.New(sha256.New, []byte(tokensSecret))
	mac.Write([]byte(signed))
	s.Token = signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	return s
}

// revoked returns a session that has ended.
func (g *gate) revoked(t *testing.T) session {
	t.Helper()
	s := g.open(t, full)
	g.logout(t, s)
	return s
}
