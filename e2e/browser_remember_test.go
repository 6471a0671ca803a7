package e2e

import (
	"maps"
	"net/http"
	"strings"
	"testing"
)

const rememberCookie = "__Host-remember"

// rememberedBrowser signs the user in as a page of ours does that asks to be
// remembered, and returns what its browser then has.
func (g *gateway) rememberedBrowser(t testing.TB, u user) (session, remember *http.Cookie) {
	t.Helper()
	c := cookieCall(u)
	c.json.(object)["remember"] = true
	a := g.do(t, c).want(t, http.StatusCreated)
	set := a.cookies(t)
	if set[sessionCookie] == nil || set[rememberCookie] == nil || strings.Contains(a.body, "sgr_") || strings.Contains(a.body, "eyJ") {
		t.Fatalf("%s sets %q", a, a.header["Set-Cookie"])
	}
	return set[sessionCookie], set[rememberCookie]
}

// resumeHere is a page's wish to come back with what its browser remembers.
func resumeHere(remember string) call {
	c := call{path: "/sessions/resume", json: object{"cookie": true}}
	if remember == "" {
		return c
	}
	return c.with("Cookie", rememberCookie+"="+remember)
}

// forgets says whether the answer has the browser forget how to come back.
func (a answer) forgets(t testing.TB) bool {
	t.Helper()
	c := a.cookies(t)[rememberCookie]
	return c != nil && c.MaxAge < 0 && c.Value == ""
}

// testC34RememberedBrowsers: a browser that is remembered never shows its refresh
// token to a page, and no other site's page has it come back.
func testC34RememberedBrowsers(t *testing.T, g *gateway) {
	u := g.stack.user(t)
	first, remember := g.rememberedBrowser(t, u)
	if c := remember; !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" ||
		c.MaxAge < 3600*24 {
		t.Errorf("the cookie is %v", c)
	}
	t.Run("it comes back by its cookie alone, and gets the next", func(t *testing.T) {
		a := g.do(t, resumeHere(remember.Value)).want(t, http.StatusCreated)
		next := a.cookies(t)[rememberCookie]
		if next == nil || next.Value == remember.Value || strings.Contains(a.body, "sgr_") || strings.Contains(a.body, "eyJ") {
			t.Fatalf("%s sets %q", a, a.header["Set-Cookie"])
		}
		g.alive(t, a.token(t))
		g.over(t, first.Value, "logged_out_or_revoked")
		again := g.do(t, resumeHere(remember.Value).with("Cookie", sessionCookie+"="+a.token(t))).want(t, http.StatusCreated)
		if again.cookies(t)[rememberCookie].Value != next.Value {
			t.Error("after a lost answer it gets another token")
		}
		g.alive(t, again.token(t))
	})
	t.Run("a session that it still has gives way", func(t *testing.T) {
		_, mine := g.rememberedBrowser(t, u)
		other, _ := g.signIn(t, g.stack.user(t))
		a := g.do(t, resumeHere(mine.Value).cookie(other)).want(t, http.StatusCreated)
		g.alive(t, a.token(t))
		g.over(t, other, "logged_out_or_revoked")
	})
	t.Run("no other site has it come back", func(t *testing.T) {
		session, mine := g.rememberedBrowser(t, u)
		for _, from := range []http.Header{
			{"Origin": {evilOrigin}}, {"Origin": {"null"}}, {"Sec-Fetch-Site": {"cross-site"}}, {"Sec-Fetch-Site": {"same-site"}},
		} {
			c := resumeHere(mine.Value)
			maps.Copy(c.header, from)
			a := g.do(t, c)
			if a.problem(t, http.StatusForbidden, "csrf_failed", ""); len(a.cookies(t)) > 0 {
				t.Errorf("%v: %s sets %q", from, a.call, a.header["Set-Cookie"])
			}
		}
		g.alive(t, session.Value)
		g.do(t, resumeHere(mine.Value).with("Sec-Fetch-Site", "same-origin")).want(t, http.StatusCreated)
	})
	t.Run("a token is in the body or in the cookie", func(t *testing.T) {
		_, mine := g.rememberedBrowser(t, u)
		both := resumeHere(mine.Value)
		both.json.(object)["refresh_token"] = mine.Value
		g.do(t, both).problem(t, http.StatusBadRequest, "invalid_request", "")
		unasked := resumeHere(mine.Value)
		unasked.json = object{}
		g.do(t, unasked).problem(t, http.StatusBadRequest, "invalid_request", "")
		twice := resumeHere(mine.Value + "; " + rememberCookie + "=" + mine.Value)
		g.do(t, twice).problem(t, http.StatusBadRequest, "invalid_request", "")
		g.do(t, resumeHere(mine.Value)).want(t, http.StatusCreated)
	})
	t.Run("what is no good is cleared", func(t *testing.T) {
		for _, bad := range []string{"x", remember.Value[:40], first.Value} {
			a := g.do(t, resumeHere(bad))
			if a.problem(t, http.StatusUnauthorized, "unauthenticated", "not_remembered"); !a.forgets(t) {
				t.Errorf("%q: the cookie stays", bad)
			}
		}
		g.do(t, resumeHere("")).problem(t, http.StatusUnauthorized, "unauthenticated", "not_remembered")
		// A program has no cookie to be cleared.
		if a := g.do(t, resumeCall("x").with("Cookie", rememberCookie+"=x")); len(a.cookies(t)) > 0 {
			t.Errorf("%s sets %q", a.call, a.header["Set-Cookie"])
		}
	})
	t.Run("a logout takes both back", func(t *testing.T) {
		session, mine := g.rememberedBrowser(t, u)
		a := g.do(t, call{path: "/sessions/logout"}.cookie(session.Value)).want(t, http.StatusNoContent)
		if !a.cleared(t) || !a.forgets(t) {
			t.Errorf("logout sets %q", a.header["Set-Cookie"])
		}
		g.do(t, resumeHere(mine.Value)).problem(t, http.StatusUnauthorized, "unauthenticated", "not_remembered")
	})
	t.Run("the next to sign in is not taken for the one before", func(t *testing.T) {
		_, mine := g.rememberedBrowser(t, u)
		next := cookieCall(g.stack.user(t)).with("Cookie", rememberCookie+"="+mine.Value)
		if a := g.do(t, next).want(t, http.StatusCreated); !a.forgets(t) {
			t.Errorf("the sign-in sets %q", a.header["Set-Cookie"])
		}
	})
}

// TestF63PasswordChangesAreRationed: who holds somebody's session can't find out the
// password by it.
func TestF63PasswordChangesAreRationed(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.limited(t, 3, 3, 30, 100)
	u := s.user(t)
	in := g.login(t, u)
	change := func(current string) answer {
		return g.do(t, call{path: "/sessions/password", token: in.AccessToken, json: object{
			"current_password": current, "new_password": "another " + password,
		}}.with("X-Forwarded-For", "198.51.100.9"))
	}
	for range 3 {
		change(wrongPassword).problem(t, http.StatusForbidden, "wrong_password", "")
	}
	for _, current := range []string{wrongPassword, password} {
		wantLimited(t, change(current))
	}
	g.alive(t, in.AccessToken) // and may look at what is theirs
	s.logged(t, u.id, "login", "login! wrong password", "login! wrong password", "login! wrong password")
}
