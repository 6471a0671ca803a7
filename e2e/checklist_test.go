package e2e

import (
	"net/http"
	"strings"
	"testing"
)

// line is a line of the security checklist (SECURITY.md): its number, and
// what it says.
type line struct {
	name string
	test func(*testing.T)
}

// check runs the lines one after the other, so that a line may count what its
// gateway does meanwhile, and break it.
func check(t *testing.T, lines []line) {
	t.Helper()
	for _, l := range lines {
		t.Run(l.name, l.test)
	}
}

// refuses fails the test unless everybody who takes a token refuses this one.
func (g *gateway) refuses(t *testing.T, name, token string) {
	t.Helper()
	g.inactive(t, token)
	if strings.ContainsAny(token, "\x00\r\n") {
		return // there is no header that has it
	}
	for _, c := range []call{
		refreshCall(token), logoutCall(token), logoutAllCall(token),
		get("/sessions/my-sessions", token), get("/sessions/my-session-logs", token), get("/forward-auth", token),
	} {
		g.refusesAt(t, name, c)
	}
	g.refusesAt(t, name, statusCall(token))
}

// refusesAt fails the test unless the call's token is refused as no token of ours.
func (g *gateway) refusesAt(t *testing.T, name string, c call) {
	t.Helper()
	if err := g.do(t, c).checkProblem(http.StatusUnauthorized, "unauthenticated", "invalid"); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

// passes fails the test unless all who take a token take this one.
func (g *gateway) passes(t *testing.T, name, token string) {
	t.Helper()
	for _, c := range []call{statusCall(token), get("/forward-auth", token)} {
		if a := g.do(t, c); a.status != http.StatusOK {
			t.Errorf("%s: %s, want 200", name, a)
		}
	}
	if !decode[introspection](t, g.do(t, introspectCall(token)), http.StatusOK).Active {
		t.Errorf("%s: inactive", name)
	}
}
