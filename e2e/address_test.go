package e2e

import (
	"net/http"
	"testing"
)

// forwarded are all ways in which a client could claim to be somebody else.
func forwarded(addresses ...string) http.Header {
	return http.Header{
		"X-Forwarded-For": addresses, "X-Real-Ip": {"6.6.6.6"}, "Forwarded": {"for=6.6.6.6"}, "True-Client-Ip": {"6.6.6.6"},
		"Cf-Connecting-Ip": {"6.6.6.6"}, "X-Client-Ip": {"6.6.6.6"},
	}
}

// origin logs in with these headers and returns the address that the answer, the
// log and the session's row agree on.
func origin(t *testing.T, g *gateway, header http.Header) string {
	t.Helper()
	u := g.stack.user(t)
	c := loginCall(u.identifier, password)
	c.header = header
	s := decode[grant](t, g.do(t, c), http.StatusCreated).Session
	r := one(t, g.stack.logged(t, u.id, "login"), "login")
	row := scalar[string](t, g.stack, "SELECT host(ip_address) FROM user_sessions WHERE id = $1", s.ID)
	if r.ip != s.IPAddress || row != s.IPAddress {
		t.Errorf("the answer has %s, session_logs %s, user_sessions %s", s.IPAddress, r.ip, row)
	}
	return s.IPAddress
}

func testForwardedIsIgnored(t *testing.T, g *gateway) {
	if got := origin(t, g, forwarded("6.6.6.6")); got != "127.0.0.1" {
		t.Errorf("address is %s, want the connection's", got)
	}
}

func TestTrustedProxies(t *testing.T) {
	t.Parallel()
	g := newStack(t).start(t, "SESSIONGATE_HTTP_TRUSTED_PROXIES=127.0.0.1, 10.0.0.0/8, 2001:db8::/32")
	for name, tt := range map[string]struct {
		header http.Header
		want   string
	}{
		"the right-most that is not trusted": {forwarded("6.6.6.6, 203.0.113.7, 10.1.2.3"), "203.0.113.7"},
		"over several lines":                 {forwarded("6.6.6.6", "203.0.113.7", "10.1.2.3, 10.1.2.4"), "203.0.113.7"},
		"IPv6":                               {forwarded("2001:DB9::1, 2001:db8::2"), "2001:db9::1"},
		"IPv6 with a port":                   {forwarded("[2001:db9::1]:4711"), "2001:db9::1"},
		"IPv4 within IPv6":                   {forwarded("::ffff:203.0.113.7"), "203.0.113.7"},
		"all trusted":                        {forwarded("10.0.0.1, 10.0.0.2"), "10.0.0.1"},
		"garbage":                            {forwarded("203.0.113.7, nonsense"), "127.0.0.1"},
		"garbage left of it":                 {forwarded("<script>, 203.0.113.7"), "203.0.113.7"},
		"none":                               {forwarded(), "127.0.0.1"},
		"other headers only":                 {http.Header{"X-Real-Ip": {"6.6.6.6"}}, "127.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := origin(t, g, tt.header); got != tt.want {
				t.Errorf("address is %s, want %s", got, tt.want)
			}
		})
	}
}
