package handlers_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/internal/config"
)

func TestIntrospect(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	body := `{"user_id":"u1","scope":"read write","amr":["pwd"]}`
	created := g.want(g.asClient("shop", clientSecret, "/sessions", "application/json", body), http.StatusCreated)
	token := created.text("access_token")
	want := g.read(token)

	a := g.introspect(token)
	members := []string{"active", "amr", "aud", "auth_time", "client_id", "exp", "iat", "iss", "jti", "scope", "sid", "sub", "token_type"}
	if got := slices.Sorted(maps.Keys(a.body)); !slices.Equal(got, members) {
		t.Errorf("members %v, want %v", got, members)
	}
	for name, v := range map[string]any{
		"active": true, "iss": "sessiongate", "aud": "sessiongate", "sub": "u1", "client_id": "shop", "scope": "read write",
		"token_type": "Bearer", "jti": want.ID, "sid": string(want.SessionID),
		"exp": float64(want.ExpiresAt.Unix()), "iat": float64(want.IssuedAt.Unix()), "auth_time": float64(want.AuthTime.Unix()),
	} {
		if a.body[name] != v {
			t.Errorf("%s is %v, want %v", name, a.body[name], v)
		}
	}
	if a.header.Get("Content-Type") != "application/json" || a.header.Get("Pragma") != "no-cache" {
		t.Errorf("header %v", a.header)
	}

	expired := want
	expired.ExpiresAt = want.IssuedAt.Add(-time.Minute)
	expired.IssuedAt = expired.ExpiresAt.Add(-time.Minute)
	loggedOut, _ := g.open("u1")
	g.want(g.do(http.MethodPost, "/sessions/logout", loggedOut, ""), http.StatusNoContent)
	removed, sid := g.open("u1")
	g.redis.Del(t.Context(), "sg:{0}:session:"+sid)
	notListed, sid := g.open("u1")
	g.redis.ZRem(t.Context(), "sg:{0}:user:u1", sid)
	reused, _ := g.open("u1")
	next := g.want(g.do(http.MethodPost, "/sessions/refresh", reused, ""), http.StatusOK).text("access_token")
	next = g.want(g.do(http.MethodPost, "/sessions/refresh", next, ""), http.StatusOK).text("access_token")
	if g.introspect(next).body["active"] != true {
		t.Error("the newest token is not active")
	}
	for name, inactive := range map[string]string{
		"expired": g.sign(expired), "logged out": loggedOut, "session key deleted": removed, "taken off the user's list": notListed,
		"superseded twice": reused, "cut short": token[:len(token)-1], "garbage": "x", "another header": "eyJhbGciOiJub25lIn0.e30.",
		"huge": strings.Repeat("a.", 10_000),
	} {
		if a := g.introspect(inactive); a.raw != `{"active":false}` || a.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %s", name, a.raw)
		}
	}
}

func TestIntrospectRefuses(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	token, _ := g.open("u1")
	const form = "application/x-www-form-urlencoded"
	tests := []struct {
		name, client, secret, contentType, body string
		status                                  int
		code                                    string
	}{
		{"no token", "api gateway", clientSecret, form, "token_type_hint=access_token", 400, "invalid_request"},
		{"no body", "api gateway", clientSecret, form, "", 400, "invalid_request"},
		{"token twice", "api gateway", clientSecret, form, "token=a&token=b", 400, "invalid_request"},
		{"no client", "", "", form, "token=" + token, 401, "invalid_client"},
		{"no client and nothing else", "", "", "", "", 401, "invalid_client"},
		{"wrong secret", "api gateway", "x", form, "token=" + token, 401, "invalid_client"},
		{"unknown client", "nobody", clientSecret, form, "token=" + token, 401, "invalid_client"},
		{"another kind of client", "shop", clientSecret, form, "token=" + token, 403, "unauthorized_client"},
		{"JSON", "api gateway", clientSecret, "application/json", `{"token":"x"}`, 415, "invalid_request"},
		{"too large", "api gateway", clientSecret, form, "token=" + strings.Repeat("x", 64<<10), 413, "invalid_request"},
	}
	for _, tt := range tests {
		a := g.asClient(tt.client, tt.secret, "/oauth2/introspect", tt.contentType, tt.body)
		if a.status != tt.status || a.body["error"] != tt.code || len(a.body) != 2 {
			t.Errorf("%s: %d %s, want %d %s", tt.name, a.status, a.raw, tt.status, tt.code)
		}
		if challenge := a.header.Get("WWW-Authenticate"); (tt.status == 401) != strings.HasPrefix(challenge, "Basic ") {
			t.Errorf("%s: WWW-Authenticate %q", tt.name, challenge)
		}
	}
	post := url.Values{
		"token": {token}, "client_id": {"api gateway"}, "client_secret": {clientSecret}, "token_type_hint": {"x"}, "more": {"y"},
	}
	if a := g.asClient("", "", "/oauth2/introspect", form+";charset=UTF-8", post.Encode()); a.body["active"] != true {
		t.Errorf("credentials in the form: %d %s", a.status, a.raw)
	}
	a := g.asClient("api gateway", clientSecret, "/oauth2/introspect?token="+token, form, "x=y")
	if a.status != 400 {
		t.Errorf("a token in the query: %d %s", a.status, a.raw)
	}
}

func TestJWKS(t *testing.T) {
	t.Parallel()
	shared := start(t, nil)
	if a := shared.do(http.MethodGet, "/.well-known/jwks.json", "", ""); a.raw != `{"keys":[]}` || a.status != 200 {
		t.Errorf("HS256: %d %s", a.status, a.raw)
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	g := start(t, func(c *config.Config) {
		c.Tokens.Algorithm, c.Tokens.Secret = config.EdDSA, ""
		c.Tokens.PrivateKey = config.Secret(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	})
	keys := g.want(g.do(http.MethodGet, "/.well-known/jwks.json", "", ""), http.StatusOK).list("keys")
	if len(keys) != 1 || keys[0]["kty"] != "OKP" || keys[0]["kid"] == "" {
		t.Fatalf("keys %v", keys)
	}
	if _, ok := keys[0]["d"]; ok {
		t.Error("the private key is served")
	}
	token, _ := g.open("u1")
	if g.introspect(token).body["active"] != true {
		t.Error("a token signed with EdDSA is not active")
	}
}
