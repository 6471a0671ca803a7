package e2e

import (
	"maps"
	"net/http"
	"strings"
	"testing"
)

// The tests named after numbers hold the gateway to the security checklist, see
// SECURITY.md.

const (
	sessionCookie = "__Host-session"
	evilOrigin    = "https://evil.example"
)

// cookieCall is a sign-in of a page of ours.
func cookieCall(u user) call {
	c := loginCall(u.identifier, password)
	c.json.(object)["cookie"] = true
	return c
}

// with returns the call with one more header.
func (c call) with(name, value string) call {
	c.header = maps.Clone(c.header)
	if c.header == nil {
		c.header = http.Header{}
	}
	c.header.Add(name, value)
	return c
}

// cookie returns the call as a browser makes it that has this token.
func (c call) cookie(token string) call { return c.with("Cookie", sessionCookie+"="+token) }

// cookies returns those that the answer sets, by name.
func (a answer) cookies(t testing.TB) map[string]*http.Cookie {
	t.Helper()
	set := map[string]*http.Cookie{}
	for _, line := range a.header["Set-Cookie"] {
		c, err := http.ParseSetCookie(line)
		if err != nil {
			t.Fatalf("%s: Set-Cookie %q: %v", a.call, line, err)
		}
		set[c.Name] = c
	}
	return set
}

// token returns the token in the cookie that the answer sets.
func (a answer) token(t testing.TB) string {
	t.Helper()
	c := a.cookies(t)[sessionCookie]
	if c == nil || c.Value == "" {
		t.Fatalf("%s sets no session: %q", a, a.header["Set-Cookie"])
	}
	return c.Value
}

// cleared says whether the answer has the browser forget its session.
func (a answer) cleared(t testing.TB) bool {
	t.Helper()
	c := a.cookies(t)[sessionCookie]
	return c != nil && c.MaxAge < 0 && c.Value == ""
}

// signIn signs the user in as a page of ours does, and returns the cookie's token.
func (g *gateway) signIn(t testing.TB, u user) (token string, s sess) {
	t.Helper()
	a := g.do(t, cookieCall(u))
	return a.token(t), decode[grant](t, a, http.StatusCreated).Session
}

func testE54Cookies(t *testing.T, g *gateway) {
	u := g.stack.user(t)
	a := g.do(t, cookieCall(u))
	got := decode[grant](t, a, http.StatusCreated)
	if got.AccessToken != "" || got.TokenType != "" || strings.Contains(a.body, "eyJ") {
		t.Errorf("the token is in the body as well: %s", a)
	}
	c := a.cookies(t)[sessionCookie]
	if c == nil || !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" ||
		c.MaxAge < 1700 || c.MaxAge > 1801 {
		t.Fatalf("the cookie is %v", c)
	}
	first := c.Value

	t.Run("every endpoint takes it", func(t *testing.T) {
		for _, path := range []string{"/sessions/status", "/sessions/my-sessions", "/sessions/my-session-logs", "/forward-auth"} {
			g.do(t, get(path, "").cookie(first)).want(t, http.StatusOK)
		}
	})
	t.Run("a refresh renews it, a logout takes it back", func(t *testing.T) {
		a := g.do(t, call{path: "/sessions/refresh"}.cookie(first)).want(t, http.StatusOK)
		second := a.token(t)
		if second == first || strings.Contains(a.body, "eyJ") {
			t.Errorf("refreshed to the token %s…, answer %s", second[:10], a.body)
		}
		g.do(t, statusCall("").cookie(second)).want(t, http.StatusOK)
		if a := g.do(t, call{path: "/sessions/logout"}.cookie(second)).want(t, http.StatusNoContent); !a.cleared(t) {
			t.Errorf("logout sets %q", a.header["Set-Cookie"])
		}
		a = g.do(t, statusCall("").cookie(second))
		a.problem(t, http.StatusUnauthorized, "unauthenticated", "logged_out_or_revoked")
		if !a.cleared(t) {
			t.Error("a definite 401 leaves the cookie")
		}
	})
	t.Run("a 401 that is none of the session's end leaves it", func(t *testing.T) {
		old, _ := g.signIn(t, u)
		next := g.do(t, call{path: "/sessions/refresh"}.cookie(old)).token(t)
		g.do(t, statusCall("").cookie(next)).want(t, http.StatusOK)
		g.do(t, loginCall(u.identifier, wrongPassword).cookie(next)).want(t, http.StatusUnauthorized)
		a := g.do(t, loginCall(u.identifier, wrongPassword).cookie(next))
		if len(a.cookies(t)) > 0 {
			t.Errorf("a failed sign-in sets %q", a.header["Set-Cookie"])
		}
		g.do(t, statusCall("").cookie(next)).want(t, http.StatusOK)
	})
	t.Run("garbage is cleared", func(t *testing.T) {
		a := g.do(t, statusCall("").cookie("garbage"))
		a.problem(t, http.StatusUnauthorized, "unauthenticated", "invalid")
		if !a.cleared(t) {
			t.Error("the cookie stays")
		}
	})
	t.Run("the header counts before it, good or bad", func(t *testing.T) {
		mine, _ := g.signIn(t, u)
		other := g.open(t, newID())
		s := decode[object](t, g.do(t, statusCall(other.AccessToken).cookie(mine)), http.StatusOK)["session"].(object)
		if s["id"] != other.Session.ID {
			t.Errorf("the session is %v, want that of the header", s)
		}
		for _, bad := range []string{"Bearer x", "Bearer", "Basic dTpw", "Bearer\t" + mine, ""} {
			a := g.do(t, statusCall("").cookie(mine).with("Authorization", bad))
			if a.want(t, http.StatusUnauthorized); len(a.cookies(t)) > 0 {
				t.Errorf("Authorization %q sets %q", bad, a.header["Set-Cookie"])
			}
		}
		if a := g.do(t, logoutCall(other.AccessToken).cookie(mine)).want(t, http.StatusNoContent); len(a.cookies(t)) > 0 {
			t.Error("the logout of another session takes the browser's cookie")
		}
		g.do(t, statusCall("").cookie(mine)).want(t, http.StatusOK)
	})
	t.Run("there is only one", func(t *testing.T) {
		mine, _ := g.signIn(t, u)
		twice := statusCall("").with("Cookie", sessionCookie+"="+mine+"; a=b; "+sessionCookie+"="+mine)
		g.do(t, twice).problem(t, http.StatusBadRequest, "invalid_request", "")
		// Another name is another cookie.
		g.do(t, statusCall("").with("Cookie", "session="+mine)).problem(t, http.StatusUnauthorized, "unauthenticated", "")
		g.do(t, statusCall("").with("Cookie", "__host-session="+mine)).problem(t, http.StatusUnauthorized, "unauthenticated", "")
	})
}

func testB17NewSessionAtEveryLogin(t *testing.T, g *gateway) {
	u := g.stack.user(t)
	attacker := g.stack.user(t)
	planted, theirs := g.signIn(t, attacker)
	mine, first := g.signIn(t, u)
	chosen := "01890000-0000-7000-8000-000000000000"
	for name, c := range map[string]call{
		"a header":              cookieCall(u).with("X-Session-Id", chosen),
		"an unsigned cookie":    cookieCall(u).cookie(chosen),
		"a cookie of my own":    cookieCall(u).cookie(mine),
		"a cookie of attackers": cookieCall(u).cookie(planted),
	} {
		a := g.do(t, c)
		s := decode[grant](t, a, http.StatusCreated).Session
		if s.ID == chosen || s.ID == first.ID || s.ID == theirs.ID || s.UserID != u.id {
			t.Errorf("%s: the session is %+v", name, s)
		}
		if token := a.token(t); token == mine || token == planted {
			t.Errorf("%s: the token is one of before", name)
		}
	}
	// The cookie stays with whoever knew it; it is nobody's session any more.
	g.over(t, planted, "logged_out_or_revoked")
	body := cookieCall(u)
	body.json.(object)["sid"] = chosen
	g.do(t, body).problem(t, http.StatusBadRequest, "invalid_request", "")
}

func testB18LoginEndsTheBrowsersOldSession(t *testing.T, g *gateway) {
	u := g.stack.user(t)
	elsewhere, _ := g.signIn(t, u)
	old, _ := g.signIn(t, u)
	failed := cookieCall(u).cookie(old)
	failed.json.(object)["password"] = wrongPassword
	g.do(t, failed).want(t, http.StatusUnauthorized)
	g.alive(t, old) // who does not get in ends nothing
	next := g.do(t, cookieCall(u).cookie(old)).token(t)
	g.over(t, old, "logged_out_or_revoked")
	g.alive(t, next)
	g.alive(t, elsewhere)
	g.do(t, loginCall(u.identifier, password).cookie(next)).want(t, http.StatusCreated)
	g.alive(t, next) // a program's login is none of the browser's
	rows := g.stack.logged(t, u.id, "login", "login", "login! wrong password", "login", "login", "logout (signed in again)")
	one(t, rows, "logout (signed in again)")
}

func testB31OnlyPostChangesAnything(t *testing.T, g *gateway) {
	token, _ := g.signIn(t, g.stack.user(t))
	for _, path := range []string{"/sessions/login", "/sessions", "/sessions/refresh", "/sessions/logout", "/sessions/logout-all"} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			a := g.do(t, call{method: method, path: path}.cookie(token)).want(t, http.StatusMethodNotAllowed)
			if a.header.Get("Allow") != http.MethodPost {
				t.Errorf("%s: Allow is %q", a.call, a.header.Get("Allow"))
			}
		}
	}
	g.alive(t, token)
}

func testE55ForgedRequests(t *testing.T, g *gateway) {
	u := g.stack.user(t)
	token, s := g.signIn(t, u)
	host := strings.TrimPrefix(g.url, "http://")
	forged := []http.Header{
		{"Origin": {evilOrigin}},
		{"Origin": {"null"}},
		{"Origin": {"http://" + host + ".evil.example"}},
		{"Sec-Fetch-Site": {"cross-site"}},
		{"Sec-Fetch-Site": {"same-site"}, "Origin": {"http://app." + host}},
		{"Sec-Fetch-Site": {"cross-site"}, "Origin": {g.url}},
	}
	targets := []call{
		{path: "/sessions/refresh"},
		{path: "/sessions/logout"},
		{path: "/sessions/logout-all"},
		{method: http.MethodDelete, path: "/sessions/my-sessions/" + s.ID},
		{path: "/sessions/logout", body: "{}", header: http.Header{"Content-Type": {"text/plain"}}},
	}
	for _, from := range forged {
		for _, c := range targets {
			c = c.cookie(token)
			maps.Copy(c.header, from)
			a := g.do(t, c)
			if a.problem(t, http.StatusForbidden, "csrf_failed", ""); len(a.cookies(t)) > 0 {
				t.Errorf("%s sets %q", a.call, a.header["Set-Cookie"])
			}
		}
		// Into an attacker's account.
		c := cookieCall(u)
		c.header = maps.Clone(from)
		if a := g.do(t, c); len(a.cookies(t)) > 0 {
			t.Errorf("a sign-in for %v sets a cookie", from)
		} else {
			a.problem(t, http.StatusForbidden, "csrf_failed", "")
		}
		// A bearer token is nothing that a browser sends by itself.
		c = statusCall(g.open(t, newID()).AccessToken)
		c.method, c.path, c.header = http.MethodPost, "/sessions/refresh", maps.Clone(from)
		g.do(t, c).want(t, http.StatusOK)
	}
	g.alive(t, token)
	for _, ours := range []http.Header{
		{"Sec-Fetch-Site": {"same-origin"}, "Origin": {g.url}}, {"Origin": {g.url}}, {"Sec-Fetch-Site": {"none"}}, {},
	} {
		c := call{path: "/sessions/refresh"}.cookie(token)
		maps.Copy(c.header, ours)
		token = g.do(t, c).want(t, http.StatusOK).token(t)
		g.do(t, statusCall("").cookie(token)).want(t, http.StatusOK)
	}
}

func TestE56CORS(t *testing.T) {
	t.Parallel()
	const good = "https://good.example"
	g := newStack(t).start(t, "SESSIONGATE_BROWSER_CORS_ORIGINS="+good+",http://localhost:3000",
		"SESSIONGATE_BROWSER_SAME_SITE=strict")
	u := g.stack.user(t)
	a := g.do(t, cookieCall(u).with("Origin", good).with("Sec-Fetch-Site", "same-site"))
	token := a.token(t)
	if c := a.cookies(t)[sessionCookie]; c.SameSite != http.SameSiteStrictMode {
		t.Errorf("the cookie is %v, want strict as configured", c)
	}
	ask := func(method, path, origin string) answer {
		c := call{method: method, path: path}.cookie(token)
		if origin != "" {
			c = c.with("Origin", origin)
		}
		if method == http.MethodOptions {
			c = c.with("Access-Control-Request-Method", "POST")
		}
		return g.do(t, c)
	}
	for _, origin := range []string{
		"null", "", evilOrigin, good + ".evil.example", "https://evilgood.example", "http://good.example", good + ":8443",
		good + "/", "HTTPS://GOOD.EXAMPLE", "*", good + "," + evilOrigin,
	} {
		for _, a := range []answer{
			ask(http.MethodGet, "/sessions/status", origin).want(t, http.StatusOK), // no page may read it
			ask(http.MethodOptions, "/sessions/refresh", origin).want(t, http.StatusMethodNotAllowed),
		} {
			for name := range a.header {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("origin %q: %s has %s", origin, a.call, name)
				}
			}
			if a.header.Get("Vary") != "Origin" {
				t.Errorf("%s: Vary is %q", a.call, a.header.Get("Vary"))
			}
		}
	}
	for _, origin := range []string{good, "http://localhost:3000"} {
		for _, a := range []answer{
			ask(http.MethodGet, "/sessions/status", origin).want(t, http.StatusOK),
			ask(http.MethodOptions, "/sessions/login", origin).want(t, http.StatusNoContent),
			ask(http.MethodDelete, "/sessions/my-sessions/x", origin).want(t, http.StatusNotFound),
		} {
			h := a.header
			if h.Get("Access-Control-Allow-Origin") != origin || h.Get("Access-Control-Allow-Credentials") != "true" || h.Get("Vary") != "Origin" {
				t.Errorf("%s: %v", a.call, h)
			}
		}
	}
	if a := ask(http.MethodOptions, "/sessions/login", good); !strings.Contains(a.header.Get("Access-Control-Allow-Headers"), "Content-Type") ||
		!strings.Contains(a.header.Get("Access-Control-Allow-Methods"), "POST") || a.body != "" {
		t.Errorf("the preflight's answer is %v", a.header)
	}
	// Only what browsers are for: no page has to do with a program's credentials.
	for _, path := range []string{"/oauth2/introspect", "/metrics", "/revocations", "/sessionsx"} {
		if a := ask(http.MethodOptions, path, good); a.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s allows %s", a.call, good)
		}
	}
}
