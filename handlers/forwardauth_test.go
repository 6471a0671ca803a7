package handlers_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/internal/config"
)

var ownHeaders = []string{
	"X-Auth-Subject", "X-Auth-Session-Id", "X-Auth-Client-Id", "X-Auth-Scopes",
	"X-Auth-Amr", "X-Auth-Roles", "X-Auth-Username", "X-Auth-Expires",
}

// forward asks as a gateway in front does; below is what follows /forward-auth.
func (g *gateway) forward(token, cookie, below string, header ...string) answer {
	g.t.Helper()
	r := g.forwardRequest(http.MethodGet, below)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if cookie != "" {
		r.Header.Set("Cookie", cookie)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return g.send(r)
}

func (g *gateway) forwardRequest(method, below string) *http.Request {
	g.t.Helper()
	r, err := http.NewRequestWithContext(g.t.Context(), method, g.url+"/forward-auth"+below, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	return r
}

func (g *gateway) wantPass(a answer, want map[string]string) {
	g.t.Helper()
	if a.status != http.StatusOK || a.raw != "" {
		g.t.Fatalf("%d %q, want 200 and nothing", a.status, a.raw)
	}
	if a.header["Set-Cookie"] != nil || a.header.Get("Vary") != "Authorization, Cookie" {
		g.t.Errorf("header %v", a.header)
	}
	for name, v := range want {
		if got, there := a.header[http.CanonicalHeaderKey(name)]; !there || len(got) != 1 || got[0] != v {
			g.t.Errorf("%s is %q, want %q", name, got, v)
		}
	}
}

// E58: all identity headers, always, and nothing of what the client sent.
func TestE58IdentityHeaders(t *testing.T) {
	t.Parallel()
	spoofed := []string{
		"X-Auth-Subject", "root", "X-Auth-Roles", "admin", "X-Auth-Username", "root", "X_Auth_Roles", "admin",
		"X-Auth-Request-User", "root", "X-Auth-Request-Email", "root@example.com", "Remote-User", "root", "Remote-Groups", "admin",
		"X-Auth-Request-Access-Token", "t", "X-Forwarded-User", "root",
	}
	rich := `,"scope":"read write","amr":["pwd","otp"],"username":" Ana Ümit, 100% ","roles":["admin","ops:eu"]`
	for preset, tt := range map[string]struct{ names, rich, poor []string }{
		config.HeadersOwn: {
			ownHeaders,
			[]string{"u1", "SID", "shop", "read write", "pwd otp", "admin ops:eu", "%20Ana %C3%9Cmit, 100%25%20", "EXP"},
			[]string{"u1", "SID", "shop", "", "", "", "", "EXP"},
		},
		config.HeadersOAuth2Proxy: {
			[]string{"X-Auth-Request-User", "X-Auth-Request-Email", "X-Auth-Request-Groups", "X-Auth-Request-Preferred-Username"},
			[]string{"u1", "", "admin,ops:eu", "%20Ana %C3%9Cmit, 100%25%20"},
			[]string{"u1", "", "", ""},
		},
		config.HeadersAuthelia: {
			[]string{"Remote-User", "Remote-Groups", "Remote-Name", "Remote-Email"},
			[]string{"u1", "admin,ops:eu", "%20Ana %C3%9Cmit, 100%25%20", ""},
			[]string{"u1", "", "", ""},
		},
	} {
		t.Run(preset, func(t *testing.T) {
			t.Parallel()
			g := start(t, func(c *config.Config) { c.ForwardAuth.Headers = preset })
			for fields, values := range map[string][]string{rich: tt.rich, "": tt.poor} {
				token, sid := g.openAs("shop", fields)
				want := map[string]string{}
				for i, name := range tt.names {
					want[name] = strings.NewReplacer("SID", sid, "EXP", fmt.Sprint(g.read(token).ExpiresAt.Unix())).Replace(values[i])
				}
				a := g.forward(token, "", "/anything", spoofed...)
				g.wantPass(a, want)
				for name := range a.header {
					if (strings.HasPrefix(name, "X-Auth-") || strings.HasPrefix(name, "Remote-")) && !slices.Contains(tt.names, name) {
						t.Errorf("%s: %q is in the answer", name, a.header[name])
					}
				}
			}
		})
	}
}

// E59, E60: the answer depends on the credential, and on nothing that a client could
// say beside it; and it is one of 200, 401, 403, 503.
func TestE59NothingElseCounts(t *testing.T) {
	t.Parallel()
	g := start(t, func(c *config.Config) { c.HTTP.TrustedProxies = []string{"127.0.0.0/8"} })
	token, _ := g.open("u1")
	ended, _ := g.open("u1")
	g.want(g.do(http.MethodPost, "/sessions/logout", ended, ""), http.StatusNoContent)

	methods := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "VERSION-CONTROL", "FOO"}
	paths := []string{"", "/", "/a/b", "/policies", "//policy/x", "/%2e%2e/x", "/a%2Fb", "?token=x", "/x?access_token=" + ended, "/sessions/login"}
	for _, method := range methods {
		for _, path := range paths {
			for _, bearer := range []string{token, ended, "garbage", ""} {
				r := g.forwardRequest(method, path)
				if bearer != "" {
					r.Header.Set("Authorization", "bearer "+bearer)
				}
				if want := map[bool]int{true: 200, false: 401}[bearer == token]; g.send(r).status != want {
					t.Errorf("%s %s: %d, want %d", method, path, g.send(r).status, want)
				}
			}
		}
	}
	headers := [][]string{
		{"X-Forwarded-Method", "OPTIONS"},
		{"X-Forwarded-Uri", "/livez"},
		{"X-Original-Uri", "/.well-known/jwks.json"},
		{"X-Forwarded-Prefix", "/forward-auth/policy/x"},
		{"X-Original-Url", "/livez"},
		{"X-Forwarded-Host", "localhost"},
		{"User-Agent", "kube-probe/1.30"},
		{"User-Agent", "GoogleHC/1.0"},
		{"Connection", "X-Forwarded-For, Authorization"},
		{"Content-Type", "application/x-www-form-urlencoded"},
		{"Content-Type", "nonsense;;"},
		{"X-Http-Method-Override", "DELETE"},
		{"Content-Encoding", "gzip"},
		{"Origin", "https://evil.example"},
		{"X-Session-Token", token},
		{"X-Forwarded-Access-Token", token},
	}
	for _, h := range headers {
		g.wantPass(g.forward(token, "", "", h...), nil)
		if a := g.forward("", "", "", h...); a.status != 401 || strings.Contains(a.header.Get("WWW-Authenticate"), "error=") { // D47
			t.Errorf("%v without a credential: %d %v", h, a.status, a.header)
		}
		if a := g.forward(ended, "", "", h...); a.status != 401 || !strings.Contains(a.header.Get("WWW-Authenticate"), `error="invalid_token"`) {
			t.Errorf("%v with a dead one: %d %v", h, a.status, a.header)
		}
	}
}

// E61: a body is not read, however long it says it is.
func TestForwardAuthReadsNoBody(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	token, _ := g.open("u1")
	for _, body := range []string{
		"Content-Length: 1048576\r\nContent-Type: application/json\r\n\r\n{",
		"Content-Length: 7\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\ntoken=x",
		"Transfer-Encoding: chunked\r\n\r\n5\r\n",
		"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(g.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(8 * time.Second)) // less than the server waits for a body
		_, _ = io.WriteString(conn, "POST /forward-auth HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+token+"\r\n"+body)
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		if res.StatusCode != 200 || res.Header.Get("X-Auth-Subject") != "u1" {
			t.Errorf("%q: %d", body, res.StatusCode)
		}
		_ = res.Body.Close()
		_ = conn.Close()
	}
}

func TestForwardAuthCredentials(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	one, _ := g.open("one")
	two, _ := g.open("two")
	const name = "__Host-session="
	tests := []struct {
		what          string
		authorization []string
		cookies       []string
		want          string // "" for 401
	}{
		{"cookie", nil, []string{name + one}, "one"},
		{"cookie among others", nil, []string{"a=b; " + name + one + "; c=" + two}, "one"},
		{"cookie in quotes", nil, []string{name + `"` + one + `"`}, "one"},
		{"cookie in a line of its own", nil, []string{"a=b", name + one}, "one"},
		{"the same cookie twice", nil, []string{name + one + "; " + name + one}, "one"},
		{"two cookies of that name", nil, []string{name + one + "; " + name + two}, ""},
		{"two cookies in two lines", nil, []string{name + one, name + two}, ""},
		{"another cookie", nil, []string{"session=" + one}, ""},
		{"a longer name", nil, []string{"x" + name + one}, ""},
		{"the header wins", []string{"Bearer " + one}, []string{name + two}, "one"},
		{"a bad header wins too", []string{"Bearer x"}, []string{name + two}, ""},
		{"an empty header wins too", []string{"Bearer "}, []string{name + two}, ""},
		{"another scheme is not ours", []string{"Basic YTpi"}, []string{name + two}, "two"},
		{"another scheme alone", []string{"Basic YTpi"}, nil, ""},
		{"two headers", []string{"Bearer " + one, "Bearer " + one}, nil, ""},
		{"two headers and a cookie", []string{"Bearer " + one, "Basic YTpi"}, []string{name + two}, ""},
		{"joined headers", []string{"Bearer " + one + ", Bearer " + two}, nil, ""},
		{"nothing", nil, nil, ""},
	}
	for _, tt := range tests {
		r := g.forwardRequest(http.MethodGet, "")
		r.Header["Authorization"], r.Header["Cookie"] = tt.authorization, tt.cookies
		a := g.send(r)
		if tt.want == "" {
			if a.status != http.StatusUnauthorized {
				t.Errorf("%s: %d for %q", tt.what, a.status, a.header.Get("X-Auth-Subject"))
			}
			continue
		}
		if a.status != http.StatusOK || a.header.Get("X-Auth-Subject") != tt.want {
			t.Errorf("%s: %d for %q, want %q", tt.what, a.status, a.header.Get("X-Auth-Subject"), tt.want)
		}
	}
	off := start(t, func(c *config.Config) { c.ForwardAuth.Cookie = "" })
	token, _ := off.open("u1")
	off.want(off.forward("", name+token, ""), http.StatusUnauthorized)
	off.want(off.forward("", "="+token, ""), http.StatusUnauthorized)
}

func TestForwardAuthPolicies(t *testing.T) {
	t.Parallel()
	g := start(t, func(c *config.Config) {
		c.ForwardAuth.Policies = []config.RoutePolicy{
			{Name: "admin", Roles: []string{"admin"}},
			{Name: "both", Roles: []string{"admin", "ops"}},
			{Name: "billing", Scopes: []string{"billing:read"}, Roles: []string{"ops"}},
		}
	})
	admin, _ := g.openAs("shop", `,"roles":["admin"]`)
	both, _ := g.openAs("shop", `,"roles":["ops","admin"],"scope":"x billing:read"`)
	none, _ := g.openAs("shop", `,"scope":"billing:read admin","username":"admin"`)
	tests := []struct {
		path              string
		admin, both, none int
	}{
		{"", 200, 200, 200},
		{"/policy/admin", 200, 200, 403},
		{"/policy/admin/", 200, 200, 403},
		{"/policy/admin/policy/both", 200, 200, 403}, // Envoy adds the path that was asked for
		{"/policy/admin/../none", 200, 200, 403},
		{"/policy/both", 403, 200, 403},
		{"/policy/billing/x?policy=admin", 403, 200, 403},
		{"/policy/unknown", 403, 403, 403},
		{"/policy/Admin", 403, 403, 403},
		{"/policy/a%64min", 403, 403, 403},
		{"/policy/", 403, 403, 403},
		{"/policy", 403, 403, 403},
		{"/policy//admin", 403, 403, 403},
		{"/-/policy/both", 200, 200, 200}, // what Envoy needs not to name a policy
	}
	for _, tt := range tests {
		for token, want := range map[string]int{admin: tt.admin, both: tt.both, none: tt.none} {
			a := g.forward(token, "", tt.path)
			if a.status != want {
				t.Errorf("%s: %d for %s, want %d", tt.path, a.status, g.introspect(token).raw, want)
			}
			if want == 403 {
				g.wantProblem(a, 403, "insufficient_scope", "")
				if got := a.header.Get("WWW-Authenticate"); got != `Bearer realm="sessiongate", error="insufficient_scope"` {
					t.Errorf("WWW-Authenticate %q", got)
				}
			}
		}
		g.want(g.forward("", "", tt.path), http.StatusUnauthorized)
	}
}

// E62: a browser is sent to the login page with nowhere but an allowed place to
// come back to.
func TestE62Redirect(t *testing.T) {
	t.Parallel()
	change := func(c *config.Config) {
		c.ForwardAuth.LoginURL = "https://login.example/start?app=1"
		c.ForwardAuth.RedirectHosts = []string{"app.example", "dev.example:8443"}
		c.HTTP.TrustedProxies = []string{"127.0.0.1"}
	}
	g := start(t, change)
	untrusting := start(t, func(c *config.Config) {
		change(c)
		c.HTTP.TrustedProxies = nil
	})
	off := start(t, func(c *config.Config) { c.HTTP.TrustedProxies = []string{"127.0.0.1"} })

	behind := func(proto, host, uri string, more ...string) []string {
		return append([]string{"Accept", "text/html,*/*;q=0.8", "X-Forwarded-Proto", proto, "X-Forwarded-Host", host, "X-Forwarded-Uri", uri}, more...)
	}
	original := func(u string) []string { return []string{"Accept", "text/html", "X-Original-Url", u} }
	for what, tt := range map[string]struct {
		headers []string
		back    string // "" for 401
	}{
		"a page":                     {behind("https", "app.example", "/a?b=c&d=%2F"), "https://app.example/a?b=c&d=%2F"},
		"the root":                   {behind("http", "app.example", "/"), "http://app.example/"},
		"the scheme's own port":      {behind("https", "app.example:443", "/"), "https://app.example:443/"},
		"a port that is listed":      {behind("https", "dev.example:8443", "/"), "https://dev.example:8443/"},
		"upper case":                 {behind("HTTPS", "App.Example", "/A"), "https://app.example/A"},
		"nginx's way":                {original("https://app.example/x?y=1"), "https://app.example/x?y=1"},
		"HEAD by X-Forwarded-Method": {behind("https", "app.example", "/", "X-Forwarded-Method", "HEAD"), "https://app.example/"},
		"navigation":                 {behind("https", "app.example", "/", "Sec-Fetch-Mode", "navigate"), "https://app.example/"},

		"fetch()":                 {behind("https", "app.example", "/", "Sec-Fetch-Mode", "cors"), ""},
		"POST":                    {behind("https", "app.example", "/", "X-Forwarded-Method", "POST"), ""},
		"POST by nginx":           {behind("https", "app.example", "/", "X-Original-Method", "POST"), ""},
		"no HTML":                 {append(behind("https", "app.example", "/")[2:], "Accept", "application/json"), ""},
		"another host":            {behind("https", "evil.example", "/"), ""},
		"a suffix":                {behind("https", "app.example.evil.example", "/"), ""},
		"a prefix":                {behind("https", "evilapp.example", "/"), ""},
		"another port":            {behind("https", "app.example:8443", "/"), ""},
		"no port where one is":    {behind("https", "dev.example", "/"), ""},
		"a port of http":          {behind("https", "app.example:80", "/"), ""},
		"userinfo":                {behind("https", "app.example@evil.example", "/"), ""},
		"userinfo before":         {behind("https", "evil.example@app.example", "/"), ""},
		"userinfo in the URI":     {behind("https", "app.example", "@evil.example/"), ""},
		"two hosts":               {behind("https", "app.example, evil.example", "/"), ""},
		"host in two lines":       {behind("https", "app.example", "/", "X-Forwarded-Host", "evil.example"), ""},
		"trailing dot":            {behind("https", "app.example.", "/"), ""},
		"another scheme":          {behind("javascript", "app.example", "/"), ""},
		"scheme with more":        {behind("https://evil.example/?", "app.example", "/"), ""},
		"//evil":                  {behind("https", "app.example", "//evil.example/"), ""},
		`/\evil`:                  {behind("https", "app.example", `/\evil.example/`), ""},
		`\/evil`:                  {behind("https", "app.example", `\/evil.example/`), ""},
		"https:evil":              {behind("https", "app.example", "https:evil.example"), ""},
		"https://evil":            {behind("https", "app.example", "https://evil.example/"), ""},
		"/%2f%2f":                 {behind("https", "app.example", "/%2f%2fevil.example"), ""},
		"/%2Fevil":                {behind("https", "app.example", "/%2Fevil.example"), ""},
		"%2f%2f":                  {behind("https", "app.example", "%2f%2fevil.example"), ""},
		"/%5cevil":                {behind("https", "app.example", "/%5cevil.example"), ""},
		"/%252fevil":              {behind("https", "app.example", "/%252fevil.example"), ""},
		"/%25252fevil":            {behind("https", "app.example", "/%25252fevil.example"), ""},
		"tab":                     {behind("https", "app.example", "/\t/evil.example"), ""},
		"encoded tab":             {behind("https", "app.example", "/%09/evil.example"), ""},
		"encoded newline":         {behind("https", "app.example", "/a%0d%0aSet-Cookie:x=1"), ""},
		"NUL":                     {behind("https", "app.example", "/%00"), ""},
		"space":                   {behind("https", "app.example", "/a b"), ""},
		"not ASCII":               {behind("https", "app.example", "/é"), ""},
		"fragment":                {behind("https", "app.example", "/#@evil.example"), ""},
		"bad encoding":            {behind("https", "app.example", "/%zz"), ""},
		"too long":                {behind("https", "app.example", "/"+strings.Repeat("a", 2048)), ""},
		"no host":                 {behind("https", "", "/"), ""},
		"nothing said":            {[]string{"Accept", "text/html"}, ""},
		"nginx, another host":     {original("https://evil.example/"), ""},
		"nginx, userinfo":         {original("https://app.example@evil.example/"), ""},
		"nginx, no host":          {original("https:///evil.example"), ""},
		"nginx, //":               {original("//evil.example/"), ""},
		"nginx, https:evil":       {original("https:evil.example/"), ""},
		"nginx, backslash":        {original(`https://app.example\.evil.example/`), ""},
		"nginx, query for a path": {original("https://app.example?@evil.example/"), ""},
	} {
		for _, token := range []string{"", "garbage"} {
			a := g.forward(token, "", "/policy/x", tt.headers...)
			if tt.back == "" {
				if a.status != http.StatusUnauthorized || a.header.Get("Location") != "" {
					t.Errorf("%s: %d to %q, want 401", what, a.status, a.header.Get("Location"))
				}
				continue
			}
			want := "https://login.example/start?app=1&rd=" + url.QueryEscape(tt.back)
			if got := a.header.Get("Location"); a.status != http.StatusFound || got != want || a.raw != "" {
				t.Errorf("%s: %d to %q, want %q", what, a.status, got, want)
			}
		}
		for name, g := range map[string]*gateway{"a peer that is not trusted": untrusting, "no login page": off} {
			if a := g.forward("", "", "", tt.headers...); a.status != http.StatusUnauthorized {
				t.Errorf("%s, %s: %d", what, name, a.status)
			}
		}
	}
	// Who is signed in and may not is not sent to sign in again.
	token, _ := g.open("u1")
	g.want(g.forward(token, "", "/policy/x", behind("https", "app.example", "/")...), http.StatusForbidden)
}

// D48: a token in the query is not looked at, and what was asked is not logged.
func TestD48ForwardAuthLogsNoToken(t *testing.T) {
	t.Parallel()
	g := start(t, nil) // which looks for tokens in its log when it stops
	token, _ := g.open("u1")
	for _, query := range []string{"?access_token=", "?token=", "/x?authorization=Bearer%20"} {
		g.want(g.forward("", "", query+token), http.StatusUnauthorized)
		g.wantPass(g.forward(token, "", query+token), nil)
	}
}
