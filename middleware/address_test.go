package middleware

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

func prefixes(list ...string) (p []netip.Prefix) {
	for _, s := range list {
		p = append(p, netip.MustParsePrefix(s))
	}
	return p
}

func TestClientAddress(t *testing.T) {
	trusted := prefixes("10.0.0.0/8", "2001:db8::/32", "::ffff:192.168.0.0/112")
	tests := []struct {
		name      string
		remote    string
		forwarded []string
		want      string
	}{
		{"the peer", "203.0.113.9:1", nil, "203.0.113.9"},
		{"a stranger's header", "203.0.113.9:1", []string{"1.1.1.1"}, "203.0.113.9"},
		{"a proxy's header", "10.0.0.1:1", []string{"198.51.100.7"}, "198.51.100.7"},
		{"what the client wrote in front", "10.0.0.1:1", []string{"6.6.6.6, 198.51.100.7"}, "198.51.100.7"},
		{"two proxies", "10.0.0.1:1", []string{"6.6.6.6, 198.51.100.7 ,10.2.3.4"}, "198.51.100.7"},
		{"header twice", "10.0.0.1:1", []string{"6.6.6.6, 198.51.100.7", "10.2.3.4"}, "198.51.100.7"},
		{"all trusted", "10.0.0.1:1", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"a proxy without a header", "10.0.0.1:1", nil, "10.0.0.1"},
		{"garbage", "10.0.0.1:1", []string{"unknown"}, "10.0.0.1"},
		{"garbage behind a proxy", "10.0.0.1:1", []string{"1.1.1.1, <script>, 10.0.0.2"}, "10.0.0.2"},
		{"empty header", "10.0.0.1:1", []string{""}, "10.0.0.1"},
		{"comma at the end", "10.0.0.1:1", []string{"1.1.1.1,"}, "10.0.0.1"},
		{"with a port", "10.0.0.1:1", []string{"198.51.100.7:4711"}, "198.51.100.7"},
		{"IPv6 in brackets", "10.0.0.1:1", []string{"[2001:db9::1]"}, "2001:db9::1"},
		{"IPv6 with a port", "10.0.0.1:1", []string{"[2001:db9::1]:443"}, "2001:db9::1"},
		{"IPv4 in brackets", "10.0.0.1:1", []string{"[1.2.3.4]"}, "10.0.0.1"},
		{"IPv6 peer with a zone", "[fe80::1%eth0]:1", nil, "fe80::1"},
		{"mapped peer", "[::ffff:203.0.113.9]:1", nil, "203.0.113.9"},
		{"mapped peer that is trusted", "[::ffff:10.0.0.1]:1", []string{"::ffff:1.2.3.4"}, "1.2.3.4"},
		{"network written as mapped", "192.168.4.5:1", []string{"1.2.3.4"}, "1.2.3.4"},
		{"zone does not hide a proxy", "[2001:db8::1%eth0]:1", []string{"1.2.3.4"}, "1.2.3.4"},
		{"no address at all", "@", []string{"1.2.3.4"}, "invalid IP"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr = tt.remote
			for _, v := range tt.forwarded {
				r.Header.Add("X-Forwarded-For", v)
			}
			for _, name := range []string{"X-Real-Ip", "Forwarded", "True-Client-Ip", "Cf-Connecting-Ip", "X-Client-Ip"} {
				r.Header.Set(name, "6.6.6.6")
			}
			if got := NewAddresses(trusted).Client(r).String(); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

func TestOrigin(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = "[::ffff:203.0.113.9]:1"
	r.Header.Set("User-Agent", "  App\x1b[31m/1\r\n ")
	if got := NewAddresses(nil).Origin(r); got.IP != "203.0.113.9" || got.UserAgent != "App[31m/1" {
		t.Errorf("%+v", got)
	}
	r.RemoteAddr = "@"
	if got := NewAddresses(nil).Origin(r); got.IP != "" {
		t.Errorf("a peer without an address has %q", got.IP)
	}
}

// FuzzClientAddress holds clientAddress against the rule as one would say it:
// write all hops in a row, the peer last, and take the last one whose right
// neighbors are all trusted.
func FuzzClientAddress(f *testing.F) {
	f.Add("10.0.0.1:1", "1.2.3.4, 10.0.0.2", "5.6.7.8:90")
	f.Add("[::ffff:10.0.0.1]:1", "[2001:db8::1]:2,x", "")
	f.Add("203.0.113.9:1", "::1%lo", "10.0.0.1")
	f.Add("10.0.0.1:1", ",", "fe80::1%25eth0, ::ffff:10.1.1.1")
	f.Fuzz(func(t *testing.T, remote, first, second string) {
		forwarded := []string{first, second}
		got := clientAddress(remote, forwarded, prefixes("10.0.0.0/8", "fe80::/10"))
		if want := slowClientAddress(remote, forwarded, "10.0.0.0/8", "fe80::/10"); ipText(got) != want {
			t.Fatalf("%q %q: %v, want %s", remote, forwarded, got, want)
		}
		if got.Zone() != "" || got.Is4In6() {
			t.Fatalf("%q %q: %v has a zone or is mapped", remote, forwarded, got)
		}
	})
}

// slowClientAddress is the reference, on net.IP instead of net/netip.
func slowClientAddress(remote string, forwarded []string, trusted ...string) string {
	peer, _, err := net.SplitHostPort(remote)
	if _, portErr := netip.ParseAddrPort(remote); err != nil || portErr != nil {
		return ""
	}
	hops := append(strings.Split(strings.Join(forwarded, ","), ","), peer)
	client := ""
	for i := len(hops) - 1; i >= 0; i-- {
		ip := slowHop(hops[i])
		if ip == nil {
			break
		}
		client = ip.String()
		if !slowTrusted(ip, trusted) {
			break
		}
	}
	return client
}

func slowHop(s string) net.IP {
	s = strings.Trim(s, " \t")
	bracketed := strings.HasPrefix(s, "[")
	if ap, err := netip.ParseAddrPort(s); err == nil {
		s = ap.Addr().String()
	} else if bracketed && strings.HasSuffix(s, "]") {
		s = s[1 : len(s)-1]
		if !strings.Contains(s, ":") {
			return nil
		}
	}
	if addr, zone, ok := strings.Cut(s, "%"); ok {
		if zone == "" || !strings.Contains(addr, ":") {
			return nil
		}
		// net/netip takes no zone on an IPv4-mapped address.
		if net.ParseIP(addr).To4() != nil {
			return nil
		}
		s = addr
	}
	return net.ParseIP(s)
}

func slowTrusted(ip net.IP, networks []string) bool {
	for _, s := range networks {
		if _, n, err := net.ParseCIDR(s); err == nil && n.Contains(ip) {
			return true
		}
	}
	return false
}

func ipText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func TestTrusts(t *testing.T) {
	a := NewAddresses([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")})
	for remote, want := range map[string]bool{
		"10.1.2.3:80": true, "[::ffff:10.1.2.3]:80": true, "[::1]:80": true, "192.0.2.1:80": false, "@": false, "": false,
	} {
		r := &http.Request{RemoteAddr: remote, Header: http.Header{"X-Forwarded-For": {"10.0.0.1"}}}
		if got := a.Trusts(r); got != want {
			t.Errorf("%s: %v", remote, got)
		}
	}
	if NewAddresses(nil).Trusts(&http.Request{RemoteAddr: "127.0.0.1:80"}) {
		t.Error("by default somebody is trusted")
	}
}
