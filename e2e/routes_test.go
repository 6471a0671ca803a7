package e2e

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

func testRoutes(t *testing.T, g *gateway) {
	token := g.open(t, newID()).AccessToken
	for _, path := range []string{
		"/", "/sessions/", "/sessions/nothing", "/SESSIONS/status", "//sessions/status", "/sessions/status/",
		"/sessions/%73tatus", "/sessions/../sessions/status", "/admin", "/.env", "/oauth2", "/sessions/my-sessions/a/b",
	} {
		for _, method := range []string{"GET", "POST"} {
			g.do(t, call{method: method, path: path, token: token}).problem(t, http.StatusNotFound, "not_found", "")
		}
	}
	const get, post, del = "GET, HEAD", "POST", "DELETE"
	for path, allow := range map[string]string{
		"/sessions/login": post, "/sessions": post, "/sessions/refresh": post, "/sessions/logout": post,
		"/sessions/logout-all": post, "/sessions/resume": post, "/sessions/password": post, "/sessions/my-devices": get,
		"/sessions/my-devices/x": del, "/oauth2/introspect": post, "/sessions/status": get, "/sessions/my-sessions": get,
		"/sessions/my-session-logs": get, "/sessions/events": get, "/sessions/my-sessions/x": del, "/livez": get,
		"/readyz": get, "/metrics": get, "/openapi.yaml": get, "/docs": get,
		"/.well-known/jwks.json": get, "/.well-known/oauth-authorization-server": get, "/.well-known/openid-configuration": get,
	} {
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"} {
			if slices.Contains(strings.Split(allow, ", "), method) {
				continue
			}
			a := g.do(t, call{method: method, path: path, token: token})
			if strings.HasPrefix(path, "/oauth2/") {
				a.oauth(t, http.StatusMethodNotAllowed, "invalid_request")
			} else {
				a.problem(t, http.StatusMethodNotAllowed, "method_not_allowed", "")
			}
			got := strings.Split(a.header.Get("Allow"), ", ")
			slices.Sort(got)
			if strings.Join(got, ", ") != allow {
				t.Errorf("%s: Allow is %v, want %s", a.call, got, allow)
			}
		}
	}
	a := g.do(t, statusCall(token)).want(t, http.StatusOK)
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Pragma": "no-cache"} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"Access-Control-Allow-Origin", "Set-Cookie", "X-Powered-By", "Server"} {
		if got := a.header.Get(name); got != "" {
			t.Errorf("%s is %q", name, got)
		}
	}
	if a.header.Get("X-Request-Id") == g.do(t, statusCall(token)).header.Get("X-Request-Id") {
		t.Error("two answers have the same request id")
	}
}
