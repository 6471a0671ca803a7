package foreign

import (
	"context"
	"fmt"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/lestrrat-go/httprc/v3"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
	"github.com/lestrrat-go/jwx/v3/jwt"
)

// testRotation: a new key is published, then signs, and nobody who checks tokens
// notices. jwx has read the keys in between and does not read them again; go-oidc
// has not, and fetches a key when it meets one that it doesn't know.
func testRotation(t *testing.T, g *gateway) {
	ctx := t.Context()
	address := g.url + "/.well-known/jwks.json"
	cache, err := jwk.NewCache(ctx, httprc.NewClient())
	if err != nil {
		t.Fatal(err)
	}
	if err := cache.Register(ctx, address); err != nil {
		t.Fatalf("fetch keys: %v", err)
	}
	provider, err := oidc.NewProvider(ctx, g.url)
	if err != nil {
		t.Fatal(err)
	}
	verifier := provider.Verifier(&oidc.Config{ClientID: audience, SupportedSigningAlgs: []string{g.algorithm}})
	accepted := func(raw string) {
		t.Helper()
		set, err := cache.Lookup(ctx, address)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := jwt.ParseString(raw, jwt.WithKeySet(set), jwt.WithIssuer(g.url), jwt.WithAudience(audience)); err != nil {
			t.Errorf("jwx refuses a token of key %s: %v", keyOf(t, raw), err)
		}
		if _, err := verifier.Verify(ctx, raw); err != nil {
			t.Errorf("go-oidc refuses a token of key %s: %v", keyOf(t, raw), err)
		}
	}
	before := g.open(t, "rob")
	first := keyOf(t, before)
	accepted(before)

	g.run(t, "keys", "rotate")
	next := nextKey(t, g, cache, address, first)
	between := g.open(t, "rob")
	if kid := keyOf(t, between); kid != first {
		t.Errorf("key %s signs as soon as it is published", kid)
	}
	accepted(between)

	g.run(t, "keys", "rotate", "--now")
	var after string
	err = eventually(ctx, func(context.Context) error {
		if after = g.open(t, "rob"); keyOf(t, after) != next {
			return fmt.Errorf("key %s signs, want %s", keyOf(t, after), next)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, raw := range []string{after, between, before} {
		accepted(raw)
	}
	if set, err := cache.Refresh(ctx, address); err != nil || set.Len() != 2 {
		t.Errorf("after the rotation there are %d keys (%v), want both", set.Len(), err)
	}
}

// keyOf returns the id of the key that signed the token, and wants it to be an
// access token (RFC 9068 §2.1).
func keyOf(t *testing.T, raw string) string {
	t.Helper()
	message, err := jws.ParseString(raw)
	if err != nil {
		t.Fatal(err)
	}
	header := message.Signatures()[0].ProtectedHeaders()
	if typ, _ := header.Type(); typ != "at+jwt" {
		t.Errorf("typ is %q", typ)
	}
	kid, _ := header.KeyID()
	return kid
}

// nextKey has the keys read until there is another one than the first, and returns
// its id.
func nextKey(t *testing.T, g *gateway, cache *jwk.Cache, address, first string) (next string) {
	t.Helper()
	err := eventually(t.Context(), func(ctx context.Context) error {
		set, err := cache.Refresh(ctx, address)
		if err != nil {
			return err
		}
		for i := range set.Len() {
			key, _ := set.Key(i)
			checkKey(t, g, key)
			if kid, _ := key.KeyID(); kid != first {
				next = kid
				return nil
			}
		}
		return fmt.Errorf("there are %d keys, and no new one", set.Len())
	})
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// checkKey wants a key that says what it is for, and nothing that only we may know.
func checkKey(t *testing.T, g *gateway, key jwk.Key) {
	t.Helper()
	alg, _ := key.Algorithm()
	use, _ := key.KeyUsage()
	private, err := jwk.IsPrivateKey(key)
	if alg == nil || alg.String() != g.algorithm || use != "sig" || private || err != nil {
		t.Errorf("alg is %v, use %q, private %v (%v)", alg, use, private, err)
	}
}
