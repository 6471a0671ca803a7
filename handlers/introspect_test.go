package handlers_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/internal/config"
	"github.com/sessiongate/sessiongate/tokens"
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
	members := map[string]string{
		config.EdDSA: "alg crv kid kty use x", config.ES256: "alg crv kid kty use x y", config.RS256: "alg e kid kty n use",
	}
	for algorithm, want := range members {
		g := start(t, func(c *config.Config) { signedWith(t, c, algorithm) })
		keys := g.want(g.do(http.MethodGet, "/.well-known/jwks.json", "", ""), http.StatusOK).list("keys")
		if len(keys) != 1 || keys[0]["alg"] != algorithm || keys[0]["use"] != "sig" || keys[0]["kid"] == "" {
			t.Fatalf("%s: keys %v", algorithm, keys)
		}
		// Nothing but public members.
		if got := strings.Join(slices.Sorted(maps.Keys(keys[0])), " "); got != want {
			t.Errorf("%s: members %s, want %s", algorithm, got, want)
		}
		token, _ := g.open("u1")
		if g.introspect(token).body["active"] != true {
			t.Errorf("a token signed with %s is not active", algorithm)
		}
	}
}

func signedWith(t *testing.T, c *config.Config, algorithm string) {
	t.Helper()
	_, material, err := tokens.GenerateKey(algorithm)
	if err != nil {
		t.Fatal(err)
	}
	c.Tokens.Algorithm, c.Tokens.Secret, c.Tokens.PrivateKey = algorithm, "", config.Secret(material)
}

func TestMetadata(t *testing.T) {
	t.Parallel()
	type check struct {
		name, issuer, base string // base "": the gateway's own address
		change             func(*config.Config)
		algorithms         string
	}
	for _, tt := range []check{
		{"as it comes", "sessiongate", "", func(*config.Config) {}, ""},
		{"behind its issuer", "https://login.example.com/tenant/", "https://login.example.com/tenant", func(c *config.Config) {
			c.Tokens.Issuer = "https://login.example.com/tenant/"
			signedWith(t, c, config.ES256)
		}, "[ES256]"},
		{"at another address", "https://login.example.com", "https://gate.example.com", func(c *config.Config) {
			c.Tokens.Issuer, c.HTTP.PublicURL = "https://login.example.com", "https://gate.example.com"
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := start(t, tt.change)
			a := g.want(g.do(http.MethodGet, "/.well-known/oauth-authorization-server", "", ""), http.StatusOK)
			b := g.want(g.do(http.MethodGet, "/.well-known/openid-configuration", "", ""), http.StatusOK)
			if a.raw != b.raw || a.header.Get("Content-Type") != "application/json" {
				t.Errorf("%s\n%s", a.raw, b.raw)
			}
			base := tt.base
			if base == "" {
				base = g.url
			}
			for name, want := range map[string]string{
				"issuer": tt.issuer, "jwks_uri": base + "/.well-known/jwks.json",
				"introspection_endpoint": base + "/oauth2/introspect", "revocation_endpoint": base + "/oauth2/revoke",
				"session_status_endpoint": base + "/sessions/status", "session_refresh_endpoint": base + "/sessions/refresh",
				"revocation_feed_endpoint": base + "/revocations",
			} {
				if a.body[name] != want {
					t.Errorf("%s is %v, want %s", name, a.body[name], want)
				}
			}
			for _, name := range []string{"introspection_endpoint_auth_methods_supported", "revocation_endpoint_auth_methods_supported"} {
				if got := fmt.Sprint(a.body[name]); got != "[client_secret_basic client_secret_post]" {
					t.Errorf("%s is %s", name, got)
				}
			}
			algorithms := ""
			if v, ok := a.body["introspection_signing_alg_values_supported"]; ok {
				algorithms = fmt.Sprint(v)
			}
			if algorithms != tt.algorithms {
				t.Errorf("signing algorithms %s, want %s", algorithms, tt.algorithms)
			}
			for name, v := range a.body { // RFC 8414 §3.2
				if list, ok := v.([]any); v == "" || v == nil || ok && len(list) == 0 {
					t.Errorf("%s is empty", name)
				}
			}
			token, _ := g.open("u1")
			if g.introspect(token).body["iss"] != tt.issuer {
				t.Error("iss is another than the metadata's issuer")
			}
		})
	}
}
