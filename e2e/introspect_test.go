package e2e

import (
	"net/http"
	"net/url"
	"testing"
)

func testIntrospect(t *testing.T, g *gateway) {
	granted := g.login(t, g.stack.user(t))
	in := decode[introspection](t, g.do(t, introspectCall(granted.AccessToken)), http.StatusOK)
	_, claims := parts(t, granted.AccessToken)
	s := granted.Session
	if !in.Active || in.Issuer != "sessiongate" || in.Audience != "sessiongate" || in.Subject != s.UserID || in.SessionID != s.ID ||
		in.ClientID != s.ClientID || in.TokenType != "Bearer" || in.TokenID != claims["jti"] || in.ExpiresAt != s.ExpiresAt.Unix() ||
		float64(in.IssuedAt) != claims["iat"] || float64(in.AuthTime) != claims["auth_time"] {
		t.Errorf("introspection is %+v, claims are %v", in, claims)
	}
	hint := introspectCall(granted.AccessToken)
	hint.form.Set("token_type_hint", "refresh_token") // may be wrong (RFC 7662 §2.1)
	hint.form.Set("unknown", "x")
	if !decode[introspection](t, g.do(t, hint), http.StatusOK).Active {
		t.Error("inactive with a wrong hint")
	}
}

func testIntrospectClients(t *testing.T, g *gateway) {
	token := g.open(t, newID()).AccessToken
	form := func(more ...string) url.Values {
		v := url.Values{"token": {token}}
		for i := 0; i < len(more); i += 2 {
			v.Add(more[i], more[i+1])
		}
		return v
	}
	posted := func(c client) url.Values { return form("client_id", c.id, "client_secret", c.secret) }
	for name, c := range map[string]call{
		"Basic":                      {form: form(), client: &introspector},
		"Basic, a retired secret":    {form: form(), client: &client{introspector.id, "retired-" + introspector.secret}},
		"Basic, percent-encoded":     {form: form(), client: &awkward},
		"post":                       {form: posted(introspector)},
		"post, encoded":              {form: posted(awkward)},
		"Basic, and the id as well":  {form: form("client_id", introspector.id), client: &introspector},
		"a charset in the body type": {body: form().Encode(), client: &introspector, header: contentType("application/x-www-form-urlencoded; charset=UTF-8")},
	} {
		c.path = "/oauth2/introspect"
		if a := g.do(t, c); !decode[introspection](t, a, http.StatusOK).Active {
			t.Errorf("%s: %s, want active", name, a)
		}
	}
	for _, tt := range []struct {
		name   string
		c      call
		status int
		code   string
	}{
		{"nobody", call{form: form()}, 401, "invalid_client"},
		{"a wrong secret", call{form: form(), client: &client{introspector.id, "nonsense"}}, 401, "invalid_client"},
		{"another's secret", call{form: form(), client: &client{introspector.id, backend.secret}}, 401, "invalid_client"},
		{"unknown", call{form: form(), client: &client{"nobody", introspector.secret}}, 401, "invalid_client"},
		{"a wrong secret, posted", call{form: posted(client{introspector.id, "nonsense"})}, 401, "invalid_client"},
		{"an empty secret, posted", call{form: posted(client{introspector.id, ""})}, 401, "invalid_client"},
		{"a bearer", call{form: form(), token: token}, 401, "invalid_client"},
		{"not allowed", call{form: form(), client: &backend}, 403, "unauthorized_client"},
		{"both ways", call{form: posted(introspector), client: &introspector}, 400, "invalid_request"},
		{"two tokens", call{form: form("token", token), client: &introspector}, 400, "invalid_request"},
		{"two ids", call{form: form("client_id", "a", "client_id", "b", "client_secret", "c")}, 400, "invalid_request"},
		{"no token", call{form: url.Values{}, client: &introspector}, 400, "invalid_request"},
		{"the token in the query", call{path: "?token=" + token, client: &introspector}, 400, "invalid_request"},
		{"credentials in the query", call{path: "?" + posted(introspector).Encode(), form: form()}, 401, "invalid_client"},
		{"JSON", call{json: object{"token": token}, client: &introspector}, 415, "invalid_request"},
		{"bad escapes", call{body: "token=%zz", client: &introspector, header: contentType("application/x-www-form-urlencoded")}, 400, "invalid_request"},
	} {
		tt.c.path = "/oauth2/introspect" + tt.c.path
		t.Run(tt.name, func(t *testing.T) { g.do(t, tt.c).oauth(t, tt.status, tt.code) })
	}
	c := introspectCall(token)
	c.method = http.MethodGet
	a := g.do(t, c).want(t, http.StatusMethodNotAllowed)
	if allow := a.header.Get("Allow"); allow != "POST" {
		t.Errorf("Allow is %q, want POST", allow)
	}
	if got := a.header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control is %q", got)
	}
}

func contentType(s string) http.Header { return http.Header{"Content-Type": {s}} }

// testIntrospectInactive: whatever the reason, nothing but {"active":false}.
func testIntrospectInactive(t *testing.T, g *gateway) {
	ended, deleted, used := g.open(t, newID()), g.open(t, newID()), g.open(t, newID())
	g.do(t, logoutCall(ended.AccessToken)).want(t, http.StatusNoContent)
	must(t, g.stack.redis.Del(t.Context(), sessionKey(deleted.Session.ID)))
	g.refresh(t, g.refresh(t, used.AccessToken).AccessToken)
	for name, token := range map[string]string{
		"garbage":        "garbage",
		"spaces":         "   ",
		"ended":          ended.AccessToken,
		"deleted by key": deleted.AccessToken,
		"superseded":     used.AccessToken,
		"NUL":            "\x00",
	} {
		t.Run(name, func(t *testing.T) { g.inactive(t, token) })
	}
}
