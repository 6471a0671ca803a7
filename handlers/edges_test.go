package handlers_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/internal/config"
)

func TestRouting(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	token, sid := g.open("u1")
	allowed := map[string]string{
		"/sessions/login": "POST", "/sessions": "POST", "/sessions/status": "GET, HEAD", "/sessions/my-sessions": "GET, HEAD",
		"/sessions/my-sessions/" + sid: "DELETE", "/sessions/my-session-logs": "GET, HEAD", "/sessions/refresh": "POST",
		"/sessions/logout": "POST", "/sessions/logout-all": "POST", "/oauth2/introspect": "POST",
		"/.well-known/jwks.json": "GET, HEAD", "/.well-known/oauth-authorization-server": "GET, HEAD",
		"/.well-known/openid-configuration": "GET, HEAD", "/livez": "GET, HEAD", "/readyz": "GET, HEAD", "/metrics": "GET, HEAD",
	}
	for path, want := range allowed {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"} {
			if slices.Contains(strings.Split(want, ", "), method) {
				continue
			}
			a := g.do(method, path, token, "")
			allow := strings.Split(a.header.Get("Allow"), ", ")
			slices.Sort(allow)
			if a.status != http.StatusMethodNotAllowed || strings.Join(allow, ", ") != want {
				t.Errorf("%s %s: %d, Allow %q, want 405, %q", method, path, a.status, a.header.Get("Allow"), want)
			}
			switch {
			case method == "HEAD":
			case strings.HasPrefix(path, "/oauth2/"):
				if a.body["error"] != "invalid_request" {
					t.Errorf("%s %s: %s", method, path, a.raw)
				}
			default:
				g.wantProblem(a, http.StatusMethodNotAllowed, "method_not_allowed", "")
			}
		}
		if strings.HasPrefix(want, "GET") {
			if a := g.do(http.MethodHead, path, token, ""); a.status != http.StatusOK || a.raw != "" {
				t.Errorf("HEAD %s: %d %q", path, a.status, a.raw)
			}
		}
	}
	// No second spelling of a path, and no redirect to the first.
	for _, path := range []string{
		"/", "/x", "/sessions/status/", "//sessions/status", "/sessions//status", "/Sessions/Status", "/sessions/%73tatus",
		"/sessions/./status", "/x/../sessions/status", "/sessions%2Fstatus", "/sessions/my-sessions/", "/livez/x",
	} {
		g.wantProblem(g.do(http.MethodGet, path, token, ""), http.StatusNotFound, "not_found", "")
	}
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	token, _ := g.open("u1")
	send := func(values ...string) answer {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.url+"/sessions/status", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header["Authorization"] = values
		r.Header.Set("Cookie", "access_token="+token)
		return g.send(r)
	}
	g.want(send("bearer "+token), http.StatusOK)
	g.wantProblem(send("Bearer "+token, "Bearer "+token), 400, "invalid_request", "")
	g.wantProblem(send("Basic "+token), 401, "unauthenticated", "")
	g.wantProblem(send(), 401, "unauthenticated", "")
}

func TestClientAddressReachesTheSession(t *testing.T) {
	t.Parallel()
	g := start(t, func(c *config.Config) { c.HTTP.TrustedProxies = []string{"127.0.0.1", "10.0.0.0/8"} })
	g.addUser("ana")
	body, _ := json.Marshal(map[string]string{"identifier": "ana", "password": password})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.url+"/sessions/login", strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Forwarded-For", "6.6.6.6, 198.51.100.7, 10.1.1.1")
	a := g.want(g.send(r), http.StatusCreated)
	if ip := a.session()["ip_address"]; ip != "198.51.100.7" {
		t.Errorf("ip_address is %v", ip)
	}
	if row := g.logs(a.text("access_token"), 1)[0]; row["ip_address"] != "198.51.100.7" {
		t.Errorf("logged as %v", row)
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	token, _ := g.open("u1")
	g.introspect(token)
	a := g.want(g.do(http.MethodGet, "/metrics", "", ""), http.StatusOK)
	for _, line := range []string{
		`sessiongate_http_requests_total{code="200",method="POST",route="/oauth2/introspect"} 1`,
		`sessiongate_http_requests_total{code="201",method="POST",route="/sessions"} 1`,
		`sessiongate_http_requests_in_flight 1`,
		`sessiongate_build_info{`,
		`sessiongate_clock_skew_seconds `,
	} {
		if !strings.Contains(a.raw, line) {
			t.Errorf("no %s", line)
		}
	}
}

// TestSlowAndHugeRequests speaks to the listener itself.
func TestSlowAndHugeRequests(t *testing.T) {
	t.Parallel()
	g := start(t, func(c *config.Config) {
		c.HTTP.ReadHeaderTimeout, c.HTTP.RequestTimeout = 200*time.Millisecond, 200*time.Millisecond
	})
	tests := []struct{ name, send, want string }{
		{"a header without an end", "GET /livez HTTP/1.1\r\nHost: x\r\nX: ", ""},
		{"a body without an end", "POST /sessions/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", "HTTP/1.1 400"},
		{"an endless header", "GET /livez HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 32<<10) + "\r\n\r\n", "HTTP/1.1 431"},
		{"two lengths", "POST /sessions/login HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 400"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", strings.TrimPrefix(g.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Write([]byte(tt.send)); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(conn)
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				t.Fatalf("still open after 10 s: %q", got)
			}
			if !strings.HasPrefix(string(got), tt.want) {
				t.Errorf("%q, want %s", got, tt.want)
			}
		})
	}
}
