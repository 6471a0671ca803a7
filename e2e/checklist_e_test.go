package e2e

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/internal/devstack"
	"github.com/sessiongate/sessiongate/internal/testenv"
)

// checklistE is what the lines on HTTP and proxies share: a gateway that trusts
// nobody, and one behind proxies that it trusts, with a login page.
type checklistE struct {
	plain, behind *gateway
	stack         *stack
	redis         *devstack.Redis
}

func TestChecklistE(t *testing.T) {
	t.Parallel()
	c := checklistE{redis: testenv.OwnRedis(t)}
	c.stack = stackOn(t, c.redis.URL(), testenv.Postgres(t))
	c.plain = c.stack.start(t, "SESSIONGATE_HTTP_READ_HEADER_TIMEOUT=3s")
	c.behind = c.stack.start(t, "SESSIONGATE_HTTP_TRUSTED_PROXIES=127.0.0.0/8,10.0.0.0/8",
		"SESSIONGATE_FORWARD_AUTH_LOGIN_URL=https://login.example.com/", "SESSIONGATE_FORWARD_AUTH_REDIRECT_HOSTS=app.example.com",
		"SESSIONGATE_REDIS_TIMEOUT=1s")
	check(t, []line{
		{"E54 nothing sets a cookie that was not asked for", c.e54},
		{"E56 no origin of another site is let in", c.e56},
		{"E57 the client's address is not the client's word", c.e57},
		{"E58 all identity headers, always, and none of the client's", c.e58},
		{"E59 nothing else counts", c.e59},
		{"E61 headers, bodies and time are bounded", c.e61},
		{"E62 a redirect leads only where the list says", c.e62},
		{"E60 the answers of forward-auth, and what it says without Redis", c.e60}, // the last: it breaks Redis
	})
}

func (c checklistE) e54(t *testing.T) {
	u := c.stack.user(t)
	login := c.plain.do(t, loginCall(u.identifier, password))
	token := decode[grant](t, login, http.StatusCreated).AccessToken
	for _, a := range []answer{
		login, c.plain.do(t, statusCall(token)), c.plain.do(t, refreshCall(token)), c.plain.do(t, get("/forward-auth", token)),
		c.plain.do(t, statusCall("x")), c.plain.do(t, logoutCall(token)), c.plain.do(t, loginCall(u.identifier, wrongPassword)),
	} {
		if cookies := a.header["Set-Cookie"]; cookies != nil {
			t.Errorf("%s sets %q", a.call, cookies)
		}
	}
}

func (c checklistE) e56(t *testing.T) {
	token := c.plain.open(t, newID()).AccessToken
	for _, origin := range []string{
		"null", "https://evil.example", "https://login.example.com.evil.example", "https://evil-login.example.com", "http://127.0.0.1", c.plain.url,
	} {
		for _, ask := range []call{statusCall(token), refreshCall(token), get("/forward-auth", token), {method: "OPTIONS", path: "/sessions/login"}, {method: "GET", path: "/.well-known/jwks.json"}} {
			if ask.path == "/sessions/refresh" {
				ask.token = "x"
			}
			ask.header = http.Header{"Origin": {origin}, "Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"authorization"}}
			a := c.plain.do(t, ask)
			for _, name := range []string{"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials"} {
				if got := a.header.Get(name); got != "" {
					t.Errorf("%s from %s: %s is %q", a.call, origin, name, got)
				}
			}
		}
	}
}

func (c checklistE) e57(t *testing.T) {
	if got := origin(t, c.plain, forwarded("6.6.6.6")); got != "127.0.0.1" {
		t.Errorf("from one who is not trusted: the address is %s, want the connection's", got)
	}
	if got := origin(t, c.behind, forwarded("6.6.6.6, 203.0.113.7, 10.1.2.3")); got != "203.0.113.7" {
		t.Errorf("from a proxy: the address is %s, want the right-most that is not trusted", got)
	}
}

// identity are the headers of forward_auth.headers: own.
var identity = []string{"Subject", "Session-Id", "Client-Id", "Scopes", "Amr", "Roles", "Username", "Expires"}

func (c checklistE) e58(t *testing.T) {
	spoofed := http.Header{"X-Auth-Request-User": {"root"}, "Remote-User": {"root"}, "X-User-Id": {"root"}, "X_User_Id": {"root"}, "X.User.Id": {"root"}}
	for _, name := range identity {
		for _, alias := range []string{"X-Auth-" + name, strings.ReplaceAll("X_Auth_"+name, "-", "_"), "X.Auth." + name, strings.ToLower("x-auth-" + name)} {
			spoofed[alias] = []string{"root"}
		}
	}
	granted := c.plain.open(t, newID())
	for _, g := range []*gateway{c.plain, c.behind} {
		ask := get("/forward-auth", granted.AccessToken)
		ask.header = spoofed
		a := g.do(t, ask).want(t, http.StatusOK)
		for _, name := range identity {
			if values, there := a.header["X-Auth-"+name]; !there || len(values) != 1 {
				t.Errorf("X-Auth-%s is %q, want it once", name, values)
			}
		}
		if a.header.Get("X-Auth-Subject") != granted.Session.UserID || a.header.Get("X-Auth-Roles") != "" {
			t.Errorf("subject %q, roles %q", a.header.Get("X-Auth-Subject"), a.header.Get("X-Auth-Roles"))
		}
		for name, values := range a.header {
			if strings.Contains(fmt.Sprint(values), "root") {
				t.Errorf("%s is %q: the client's", name, values)
			}
		}
	}
}

func (c checklistE) e59(t *testing.T) {
	token := c.plain.open(t, newID()).AccessToken
	for _, g := range []*gateway{c.plain, c.behind} { // trusted or not, they change nothing
		for name, value := range map[string]string{
			"X-Forwarded-Uri": "/livez", "X-Forwarded-Prefix": "/public", "X-Forwarded-Method": "OPTIONS", "X-Original-Uri": "/livez",
			"X-Original-Url": "https://app.example.com/livez", "X-Forwarded-Host": "localhost", "X-Forwarded-Proto": "https",
			"User-Agent": "kube-probe/1.30", "X-Real-Ip": "127.0.0.1", "X-Http-Method-Override": "OPTIONS", "X-Auth-Subject": "root",
			"X-Forwarded-Access-Token": token, "X-Envoy-Internal": "true", "Connection": "Authorization",
		} {
			for _, path := range []string{"/forward-auth", "/forward-auth/livez", "/forward-auth/.well-known/jwks.json"} {
				for _, method := range []string{"GET", "OPTIONS", "POST"} {
					ask := call{method: method, path: path, header: http.Header{name: {value}}}
					if a := g.do(t, ask); a.status != http.StatusUnauthorized {
						t.Errorf("%s with %s: %d without a token", ask, name, a.status)
					}
					ask.header["Authorization"] = []string{"Bearer " + token}
					if a := g.do(t, ask); a.status != http.StatusOK {
						t.Errorf("%s with %s: %d with a token", ask, name, a.status)
					}
				}
			}
		}
	}
}

func (c checklistE) e60(t *testing.T) {
	s := c.plain.open(t, newID())
	ended := c.plain.open(t, newID()).AccessToken
	c.plain.do(t, logoutCall(ended)).want(t, http.StatusNoContent)
	asks := map[string]int{s.AccessToken: 200, ended: 401, "": 401, "x": 401, strings.Repeat("x", 5000): 401}
	ask := func(check func(call, answer, int)) {
		for _, below := range []string{"", "/", "/a/b", "/%2e%2e/a", "//a", "/policy/unknown", "/policy", "/%zz?"} {
			for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PROPFIND"} {
				for token, want := range asks {
					if want == http.StatusOK && strings.HasPrefix(below, "/policy") {
						want = http.StatusForbidden
					}
					q := call{method: method, path: "/forward-auth" + below, token: token}
					if below == "/%zz?" { // no URL: net/http answers before we see it
						continue
					}
					check(q, c.behind.do(t, q), want)
				}
			}
		}
	}
	ask(func(q call, a answer, want int) {
		if a.status != want || len(a.body) > 1024 {
			t.Errorf("%s: %d and %d bytes, want %d", q, a.status, len(a.body), want)
		}
	})
	if err := c.redis.Stop(); err != nil {
		t.Fatal(err)
	}
	for token, want := range map[string]int{s.AccessToken: 503, ended: 503, "": 401, "x": 401} {
		a := c.behind.do(t, get("/forward-auth", token))
		if a.status != want || len(a.body) > 1024 || a.header.Get("X-Auth-Subject") != "" {
			t.Errorf("without Redis: %s, want %d", a, want)
		}
		if (want == 503) != (a.header.Get("Retry-After") != "") {
			t.Errorf("without Redis: %s: Retry-After is %q", a, a.header.Get("Retry-After"))
		}
		tellsNothing(t, a)
	}
	if err := c.redis.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.behind.recovers(t, s.AccessToken)
}

func (c checklistE) e61(t *testing.T) {
	token := c.plain.open(t, newID()).AccessToken
	asJSON := contentType("application/json")
	deep := strings.Repeat("[", 20000) + strings.Repeat("]", 20000)
	for name, tt := range map[string]struct {
		c      call
		status int
	}{
		"64 kB of headers":  {call{method: "GET", path: "/sessions/status", header: http.Header{"X-Long": {strings.Repeat("x", 64<<10)}}}, 431},
		"1 MB of JSON":      {call{path: "/sessions/login", header: asJSON, body: `{"identifier":"` + strings.Repeat("x", 1<<20) + `"}`}, 413},
		"deep JSON":         {call{path: "/sessions/login", header: asJSON, body: `{"identifier":` + deep + `}`}, 400},
		"deep JSON, opened": {call{path: "/sessions", client: &backend, header: asJSON, body: `{"user_id":` + deep + `}`}, 400},
		"a wrong type":      {call{path: "/sessions/login", header: contentType("application/xml"), body: "<x/>"}, 415},
		"not UTF-8":         {call{path: "/sessions/login", header: asJSON, body: "{\"identifier\":\"\xff\",\"password\":\"x\"}"}, 400},
		"a member twice":    {call{path: "/sessions/login", header: asJSON, body: `{"identifier":"a","identifier":"b","password":"x"}`}, 400},
	} {
		if a := c.plain.do(t, tt.c); a.status != tt.status {
			t.Errorf("%s: %d, want %d", name, a.status, tt.status)
		}
	}
	for name, tt := range map[string]struct {
		sent   string
		answer bool // whether there has to be one
	}{
		"a length and chunks": {"POST /sessions/login HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked, x\r\n\r\n{}", true},
		"two lengths":         {"POST /sessions/login HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", true},
		"slow headers":        {"GET /sessions/status HTTP/1.1\r\nHost: x\r\nAuthoriz", false},
		"a slow body":         {"POST /sessions/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := dial(t, c.plain)
			start := time.Now()
			if _, err := io.WriteString(conn, tt.sent); err != nil {
				t.Fatal(err)
			}
			r := bufio.NewReader(conn)
			line, err := r.ReadString('\n')
			if (tt.answer || err == nil) && !strings.HasPrefix(line, "HTTP/1.1 4") && !strings.HasPrefix(line, "HTTP/1.1 501") {
				t.Errorf("the answer is %q (%v), want a 4xx", line, err)
			}
			_, _ = io.Copy(io.Discard, r) // until they hang up
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("the connection was open for %v, want 10s at most", took)
			}
		})
	}
	c.plain.alive(t, token)
}

func (c checklistE) e62(t *testing.T) {
	navigation := http.Header{
		"X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"app.example.com"}, "X-Forwarded-Uri": {"/a?b=c"},
		"X-Forwarded-Method": {"GET"}, "Accept": {"text/html"}, "Sec-Fetch-Mode": {"navigate"},
	}
	const want = "https://login.example.com/?rd=https%3A%2F%2Fapp.example.com%2Fa%3Fb%3Dc"
	ask := func(g *gateway, changes map[string]string) answer {
		h := maps.Clone(navigation)
		for name, v := range changes {
			h[name] = []string{v}
		}
		return g.do(t, call{method: "GET", path: "/forward-auth", header: h})
	}
	if a := ask(c.behind, nil); a.status != http.StatusFound || a.header.Get("Location") != want {
		t.Fatalf("%s to %q, want 302 to %s: the cases below would prove nothing", a, a.header.Get("Location"), want)
	}
	for _, host := range []string{
		"evil.example", "app.example.com.evil.example", "evil-app.example.com", "app.example.com@evil.example", "app.example.com:8443", "app.example.com/", "APP.example.com.",
		"", "//evil.example", `\evil.example`, "app.example.com#", "app.example.com%2eevil.example", "xn--pp-eka.example.com", "app.example.com, evil.example",
	} {
		c.noRedirect(t, ask(c.behind, map[string]string{"X-Forwarded-Host": host}))
	}
	for _, uri := range []string{
		"//evil.example", `/\evil.example`, `\\evil.example`, "https:evil.example", "https://evil.example/", "/%2f%2fevil.example/..", "%2f%2fevil.example", "/%2fevil.example",
		"/%5cevil.example", "/\tevil", "/%09/evil.example", "/%0d%0aSet-Cookie:a=b", "/%250d%250a", "", "a", "@evil.example", ".evil.example", ":80@evil.example/", "/a#b", "/<script>", `/"`, "/" + strings.Repeat("a", 3000),
	} {
		c.noRedirect(t, ask(c.behind, map[string]string{"X-Forwarded-Uri": uri}))
	}
	for _, scheme := range []string{"javascript", "data", "", "https:", "ftp", "//"} {
		c.noRedirect(t, ask(c.behind, map[string]string{"X-Forwarded-Proto": scheme}))
	}
	c.noRedirect(t, ask(c.plain, nil)) // who is not trusted says where to
	a := c.behind.do(t, call{method: "GET", path: "/forward-auth?rd=https://evil.example/", header: navigation})
	if got := a.header.Get("Location"); got != want {
		t.Errorf("with an rd of the client's: to %q, want %s", got, want)
	}
}

func (c checklistE) noRedirect(t *testing.T, a answer) {
	t.Helper()
	if a.status != http.StatusUnauthorized || a.header.Get("Location") != "" {
		t.Errorf("%s to %q, want 401", a, a.header.Get("Location"))
	}
}
