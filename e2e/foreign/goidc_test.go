package foreign

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
)

// jwksReader counts how often the keys are fetched.
type jwksReader struct{ fetched atomic.Int64 }

func (j *jwksReader) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path == "/.well-known/jwks.json" {
		j.fetched.Add(1)
	}
	return http.DefaultTransport.RoundTrip(r)
}

// testGoOIDC: a resource server that checks access tokens by itself. The library
// calls what it verifies an ID token, and the audience a client id.
func testGoOIDC(t *testing.T, g *gateway) {
	reader := new(jwksReader)
	ctx := oidc.ClientContext(t.Context(), &http.Client{Transport: reader})
	provider, err := oidc.NewProvider(ctx, g.url)
	if err != nil {
		t.Fatalf("discovery: %v", err)
	}
	verifier := provider.VerifierContext(ctx, &oidc.Config{ClientID: audience, SupportedSigningAlgs: []string{g.algorithm}})
	for range 2 {
		raw := g.open(t, "gus")
		token, err := verifier.Verify(ctx, raw)
		if err != nil {
			t.Fatalf("verification: %v", err)
		}
		var claims struct {
			ClientID  string   `json:"client_id"`
			SessionID string   `json:"sid"`
			Scope     string   `json:"scope"`
			Username  string   `json:"preferred_username"`
			Roles     []string `json:"roles"`
		}
		if err := token.Claims(&claims); err != nil {
			t.Fatal(err)
		}
		if token.Issuer != g.url || token.Subject != "gus" || claims.ClientID != shop.ID || claims.SessionID == "" ||
			claims.Scope != "orders:read profile" || claims.Username != "gus@example.com" || len(claims.Roles) != 1 {
			t.Errorf("token is %+v, claims %+v", token, claims)
		}
		head, signature, _ := cutLast(raw, ".")
		if _, err := verifier.Verify(ctx, head+"."+flip(signature)); err == nil {
			t.Error("a token with another signature is good")
		}
	}
	// The first token, and each forgery, which might be signed with a newer key.
	if n := reader.fetched.Load(); n > 3 {
		t.Errorf("the keys were fetched %d times", n)
	}
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// flip changes the first six bits.
func flip(signature string) string {
	first := "A"
	if strings.HasPrefix(signature, first) {
		first = "B"
	}
	return first + signature[1:]
}
