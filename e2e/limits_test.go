package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// The defaults of http.max_body_bytes and http.max_header_bytes.
const (
	maxBody   = 65536
	maxHeader = 16384
)

func testBodies(t *testing.T, g *gateway) {
	u := g.stack.user(t)
	token := g.open(t, newID()).AccessToken
	long := `{"identifier":"` + u.identifier + `","password":"` + strings.Repeat("x", maxBody) + `"}`
	asJSON, asForm := contentType("application/json"), contentType("application/x-www-form-urlencoded")
	for _, tt := range []struct {
		name   string
		c      call
		status int
		code   string
	}{
		{"login, too large", call{path: "/sessions/login", body: long, header: asJSON}, 413, "body_too_large"},
		{"open, too large", call{path: "/sessions", client: &backend, body: long, header: asJSON}, 413, "body_too_large"},
		{"logout, too large", call{path: "/sessions/logout", token: token, body: long, header: asJSON}, 413, "body_too_large"},
		{"login, a form", call{path: "/sessions/login", body: "identifier=a&password=b", header: asForm}, 415, "unsupported_media_type"},
		{"login, no type", call{path: "/sessions/login", body: `{"identifier":"a","password":"b"}`}, 415, "unsupported_media_type"},
		{"login, text", call{path: "/sessions/login", body: `{}`, header: contentType("text/plain")}, 415, "unsupported_media_type"},
		{"open, a form", call{path: "/sessions", client: &backend, body: "user_id=1", header: asForm}, 415, "unsupported_media_type"},
		{"logout, a form", call{path: "/sessions/logout", token: token, body: "reason=x", header: asForm}, 415, "unsupported_media_type"},
		{"logout-all, broken", call{path: "/sessions/logout-all", token: token, body: `{"reason":`, header: asJSON}, 400, "invalid_request"},
		{"refresh, broken", call{path: "/sessions/refresh", token: token, body: `}`, header: asJSON}, 400, "invalid_request"},
	} {
		t.Run(tt.name, func(t *testing.T) { g.do(t, tt.c).problem(t, tt.status, tt.code, "") })
	}
	g.do(t, call{path: "/oauth2/introspect", client: &introspector, body: "token=" + strings.Repeat("x", maxBody), header: asForm}).
		oauth(t, http.StatusRequestEntityTooLarge, "invalid_request")
	g.do(t, call{
		path: "/sessions/login", body: `{"identifier":"` + u.identifier + `","password":"` + password + `"}`,
		header: contentType("application/json; charset=utf-8"),
	}).want(t, http.StatusCreated)

	// A length that is not announced is cut off all the same.
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.url+"/sessions/login", io.MultiReader(strings.NewReader(long)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = asJSON
	resp, err := g.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("a long body of unknown length gets %d, want 413", resp.StatusCode)
	}
	g.alive(t, token)
}

func testHeaders(t *testing.T, g *gateway) {
	for name, header := range map[string]http.Header{
		"one long": {"X-Long": {strings.Repeat("x", 2*maxHeader)}},
		"many":     {"Cookie": repeat("a=b", 5000)},
		"a token":  {"Authorization": {"Bearer " + strings.Repeat("x", 2*maxHeader)}},
		"an agent": {"User-Agent": {strings.Repeat("x", 2*maxHeader)}},
	} {
		a := g.do(t, call{method: "GET", path: "/sessions/status", header: header})
		if a.status != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%s: %s, want 431", name, a)
		}
	}
	for name, request := range map[string]string{
		"two lengths":         "POST /sessions/login HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
		"length and chunks":   "POST /sessions/login HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked, x\r\n\r\n{}",
		"no host":             "GET /sessions/status HTTP/1.1\r\n\r\n",
		"a space in the name": "GET /sessions/status HTTP/1.1\r\nHost: x\r\nX-A : b\r\n\r\n",
		"no HTTP":             "hello\r\n\r\n",
		"another version":     "GET /sessions/status HTTP/3.7\r\nHost: x\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			conn := dial(t, g)
			if _, err := io.WriteString(conn, request); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(conn).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			var status int
			if _, err := fmt.Sscanf(line, "HTTP/1.1 %d", &status); err != nil || (status/100 != 4 && status != 501 && status != 505) {
				t.Errorf("the answer is %q, want a 4xx", line)
			}
		})
	}
}

func repeat(s string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = s
	}
	return list
}

// dial opens a connection that lasts no longer than the test has patience.
func dial(t *testing.T, g *gateway) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(g.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// TestSlowClients: who sends too slowly is hung up on, and holds up nobody else.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.start(t, "SESSIONGATE_HTTP_READ_HEADER_TIMEOUT=500ms", "SESSIONGATE_HTTP_REQUEST_TIMEOUT=1s", "SESSIONGATE_REDIS_TIMEOUT=900ms",
		"SESSIONGATE_HTTP_IDLE_TIMEOUT=1s")
	token := g.open(t, newID()).AccessToken
	for name, sent := range map[string]string{
		"nothing":       "",
		"half a line":   "GET /sessions/sta",
		"half a header": "GET /sessions/status HTTP/1.1\r\nHost: x\r\nAuthoriz",
		"half a body":   "POST /sessions/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"identifier\":",
		"half a form":   "POST /oauth2/introspect HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\ntoken=",
		"idle":          "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := dial(t, g)
			if _, err := io.WriteString(conn, sent); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			g.alive(t, token)
			answer, err := io.ReadAll(conn) // until they hang up
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("the connection is still open after %v", time.Since(start))
			}
			if strings.Contains(string(answer), " 500 ") || strings.Contains(string(answer), " 503 ") {
				t.Errorf("answer is %q, want a 4xx or none", answer)
			}
		})
	}
}
