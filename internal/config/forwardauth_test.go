package config

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

func TestForwardAuth(t *testing.T) {
	t.Parallel()
	cfg, err := Load(reference, complete(
		"SESSIONGATE_FORWARD_AUTH_HEADERS=authelia", "SESSIONGATE_FORWARD_AUTH_COOKIE=sid",
		"SESSIONGATE_FORWARD_AUTH_LOGIN_URL=https://login.example/", "SESSIONGATE_FORWARD_AUTH_REDIRECT_HOSTS=app.example, [::1]:8443,localhost:3000",
		`SESSIONGATE_FORWARD_AUTH_POLICIES=[{"name":"admin","roles":["admin"]},{"name":"pay","scopes":["pay:read","pay"]}]`,
		"SESSIONGATE_FORWARD_AUTH_GRPC_ADDR=127.0.0.1:9001",
		`SESSIONGATE_CLIENTS=[{"id":"gw","secrets_sha256":["`+digest+`"],"allow":["introspect","revoke","feed"],"scopes":["a","b:c"],"activity":false}]`,
	))
	if err != nil {
		t.Fatal(err)
	}
	want := ForwardAuth{
		Headers: "authelia", Cookie: "sid", LoginURL: "https://login.example/",
		RedirectHosts: []string{"app.example", "[::1]:8443", "localhost:3000"},
		Policies:      []RoutePolicy{{Name: "admin", Roles: []string{"admin"}}, {Name: "pay", Scopes: []string{"pay:read", "pay"}}},
		GRPCAddr:      "127.0.0.1:9001",
	}
	if !reflect.DeepEqual(cfg.ForwardAuth, want) {
		t.Errorf("got %+v, want %+v", cfg.ForwardAuth, want)
	}
	if c := cfg.Clients[0]; !c.Passive || len(c.Scopes) != 2 || len(c.Allow) != 3 {
		t.Errorf("client %+v", c)
	}
	var out bytes.Buffer
	if err := cfg.Print(&out); err != nil {
		t.Fatal(err)
	}
	again, err := Read(write(t, out.String()), nil)
	if err != nil || !reflect.DeepEqual(again.ForwardAuth, want) || !again.Clients[0].Passive {
		t.Errorf("what Print writes is read as %+v (%v):\n%s", again.ForwardAuth, err, out.String())
	}
}

func TestForwardAuthRefuses(t *testing.T) {
	t.Parallel()
	const hosts = "forward_auth.redirect_hosts"
	policies := func(json string) string { return "FORWARD_AUTH_POLICIES=" + json }
	client := func(more string) string {
		return `CLIENTS=[{"id":"gw","secrets_sha256":["` + digest + `"],"allow":["revoke"],` + more + `}]`
	}
	for _, test := range []struct{ variable, key, want string }{
		{"FORWARD_AUTH_HEADERS=traefik", "forward_auth.headers", "own or oauth2-proxy or authelia"},
		{"FORWARD_AUTH_COOKIE=a b", "forward_auth.cookie", "name of a cookie"},
		{"FORWARD_AUTH_COOKIE=a;b", "forward_auth.cookie", "name of a cookie"},
		{"FORWARD_AUTH_REDIRECT_HOSTS=https://app.example", hosts, "host or host:port"},
		{"FORWARD_AUTH_REDIRECT_HOSTS=App.example", hosts, "lower case"},
		{"FORWARD_AUTH_REDIRECT_HOSTS=app.example:x", hosts, "host or host:port"},
		{"FORWARD_AUTH_REDIRECT_HOSTS=a@app.example", hosts, "host or host:port"},
		{"FORWARD_AUTH_REDIRECT_HOSTS=*.example", hosts, "host or host:port"},
		{"FORWARD_AUTH_REDIRECT_HOSTS=app.example/", hosts, "host or host:port"},
		{"FORWARD_AUTH_GRPC_ADDR=9001", "forward_auth.grpc_addr", "host:port"},
		{policies(`{}`), "forward_auth.policies", "want a list of {name"},
		{policies(`[7]`), "forward_auth.policies", "number 1: is not a map"},
		{policies(`[{"name":"a","role":"x"}]`), "forward_auth.policies", `has no setting "role"`},
		{policies(`[{"name":"a","roles":"x"}]`), "forward_auth.policies", "roles is of another type"},
		{policies(`[{"name":"a/b","roles":["x"]}]`), "forward_auth.policies", "a name of 1 to 64"},
		{policies(`[{"name":"a","roles":["x"]},{"name":"a","roles":["y"]}]`), "forward_auth.policies", "every name once"},
		{policies(`[{"name":"a"}]`), "forward_auth.policies[a]", "at least one scope or role"},
		{policies(`[{"name":"a","roles":["x y"]}]`), "forward_auth.policies[a]", "roles of 1 to 64"},
		{policies(`[{"name":"a","scopes":["x y"]}]`), "forward_auth.policies[a]", "RFC 6749"},
		{client(`"scopes":["x y"]`), "clients[gw]", "RFC 6749"},
		{client(`"scopes":[""]`), "clients[gw]", "RFC 6749"},
		{client(`"activity":"no"`), "clients", "activity is of another type"},
	} {
		t.Run(test.variable, func(t *testing.T) {
			t.Parallel()
			_, err := Load(reference, complete("SESSIONGATE_"+test.variable))
			problems := problemsOf(t, err)
			if len(problems) != 1 || problems[0].Key != test.key || !strings.Contains(problems[0].Want, test.want) {
				t.Errorf("got %+v", problems)
			}
		})
	}
	for _, u := range []string{"login.example", "/login", "javascript:alert(1)", "https://u@login.example/", "https://x/#a"} {
		_, err := Load(reference, complete("SESSIONGATE_FORWARD_AUTH_LOGIN_URL="+u))
		if problems := problemsOf(t, err); len(problems) != 2 { // and there are no hosts to come back to
			t.Errorf("%s: %+v", u, problems)
		}
	}
}
