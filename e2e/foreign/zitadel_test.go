package foreign

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	oidcclient "github.com/zitadel/oidc/v3/pkg/client"
	"github.com/zitadel/oidc/v3/pkg/client/rs"
	httphelper "github.com/zitadel/oidc/v3/pkg/http"
	"github.com/zitadel/oidc/v3/pkg/oidc"
)

// resourceServer discovers the gateway. The library insists on a token endpoint,
// which it asks only for what we don't use, and we have none to announce: users
// give it a placeholder, and leave the introspection endpoint to discovery.
func resourceServer(ctx context.Context, issuer string, c client) (rs.ResourceServer, error) {
	return rs.NewResourceServerClientCredentials(ctx, issuer, c.ID, c.Secret, rs.WithStaticEndpoints(issuer+"/none", ""))
}

func testZitadel(t *testing.T, g *gateway) {
	ctx := t.Context()
	server, err := resourceServer(ctx, g.url, shop)
	if err != nil {
		t.Fatalf("discovery: %v", err)
	}
	if got, want := server.IntrospectionURL(), g.url+"/oauth2/introspect"; got != want {
		t.Errorf("introspection endpoint is %s, want %s", got, want)
	}
	if _, err := resourceServer(ctx, g.url+"/", shop); !errors.Is(err, oidc.ErrIssuerInvalid) {
		t.Errorf("an issuer with a slash too many: %v, want %v", err, oidc.ErrIssuerInvalid)
	}
	token := g.open(t, "zoe")
	in := introspect(t, server, token)
	if !in.Active {
		t.Fatal("the token is not active")
	}
	checkIntrospection(t, g, in)
	if introspect(t, server, "nonsense").Active {
		t.Error("nonsense is active")
	}
	impostor, err := resourceServer(ctx, g.url, client{shop.ID, other.Secret})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rs.Introspect[*oidc.IntrospectionResponse](ctx, impostor, token); err == nil {
		t.Error("a wrong secret is let in")
	}
	testZitadelRevocation(t, g, server, token)
}

func introspect(t *testing.T, server rs.ResourceServer, token string) *oidc.IntrospectionResponse {
	t.Helper()
	in, err := rs.Introspect[*oidc.IntrospectionResponse](t.Context(), server, token)
	if err != nil {
		t.Fatalf("introspection: %v", err)
	}
	return in
}

// checkIntrospection wants every claim of zoe's token where the library's users
// look for it.
func checkIntrospection(t *testing.T, g *gateway, in *oidc.IntrospectionResponse) {
	t.Helper()
	if in.Issuer != g.url || in.Subject != "zoe" || in.ClientID != shop.ID || in.Username != "zoe@example.com" ||
		in.TokenType != oidc.BearerToken || in.JWTID == "" || in.Claims["sid"] == "" {
		t.Errorf("introspection is %+v", in)
	}
	if !slices.Equal(in.Scope, []string{"orders:read", "profile"}) || !slices.Equal(in.Audience, []string{audience}) ||
		!slices.Equal(in.AuthenticationMethodsReferences, []string{"pwd"}) {
		t.Errorf("scope is %q, aud %q, amr %q", in.Scope, in.Audience, in.AuthenticationMethodsReferences)
	}
	now := time.Now()
	issued, ends := in.IssuedAt.AsTime(), in.Expiration.AsTime()
	life := ends.Sub(issued) - 30*time.Minute // iat is rounded down, exp up
	if issued.Before(now.Add(-time.Minute)) || issued.After(now.Add(time.Minute)) || life < 0 || life > time.Second {
		t.Errorf("issued %v, ends %v, at %v", issued, ends, now)
	}
}

// revoker is what the library asks for to revoke a token.
type revoker struct{ endpoint string }

func (r revoker) GetRevokeEndpoint() string { return r.endpoint }
func (revoker) HttpClient() *http.Client    { return http.DefaultClient }

// testZitadelRevocation: another client's request is answered alike and changes
// nothing; the client's own ends the session, in either way of saying who it is.
// The requests are those of the library's rp.RevokeToken.
func testZitadelRevocation(t *testing.T, g *gateway, server rs.ResourceServer, token string) {
	t.Helper()
	ctx := t.Context()
	config, err := oidcclient.Discover(ctx, g.url, http.DefaultClient)
	if err != nil {
		t.Fatal(err)
	}
	endpoint := revoker{config.RevocationEndpoint}
	basic := func(id, secret, token string) error {
		request := oidcclient.RevokeRequest{Token: token, TokenTypeHint: "access_token"}
		return oidcclient.CallRevokeEndpoint(ctx, request, httphelper.AuthorizeBasic(id, secret), endpoint)
	}
	post := func(id, secret, token string) error {
		request := oidcclient.RevokeRequest{Token: token, ClientID: id, ClientSecret: secret}
		return oidcclient.CallRevokeEndpoint(ctx, request, nil, endpoint)
	}
	for name, revoke := range map[string]func(id, secret, token string) error{"basic": basic, "post": post} {
		token := g.open(t, "zoe")
		if err := revoke(shop.ID, other.Secret, token); err == nil {
			t.Errorf("%s: a wrong secret is let in", name)
		}
		if err := revoke(other.ID, other.Secret, token); err != nil {
			t.Errorf("%s: another client's request: %v", name, err)
		}
		if !introspect(t, server, token).Active {
			t.Errorf("%s: a client could revoke another's token", name)
		}
		for _, it := range []string{token, token, "nonsense"} {
			if err := revoke(shop.ID, shop.Secret, it); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if introspect(t, server, token).Active {
			t.Errorf("%s: a revoked token is active", name)
		}
	}
	if !introspect(t, server, token).Active {
		t.Error("another session of the user's ended as well")
	}
}
