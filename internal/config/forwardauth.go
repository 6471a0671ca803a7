package config

import (
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// The forms of what forward_auth names. A scope is RFC 6749 §3.3's, the name of a
// cookie RFC 6265 §4.1.1's, a role what session.CheckRoles lets pass.
var (
	cookieName = regexp.MustCompile("^[-!#$%&'*+.^_`|~0-9A-Za-z]+$")
	policyName = regexp.MustCompile(`^[-_.0-9A-Za-z]{1,64}$`)
	scopeToken = regexp.MustCompile(`^[!#-\[\]-~]+$`)
	roleName   = regexp.MustCompile(`^[-._:/@+0-9A-Za-z]{1,64}$`)
	hostName   = regexp.MustCompile(`^[-.0-9a-z]+$|^\[[0-9a-f:.]+\]$`)
)

func (v *validator) forwardAuth(f ForwardAuth) {
	v.oneOf("forward_auth.headers", f.Headers, HeadersOwn, HeadersOAuth2Proxy, HeadersAuthelia)
	v.check(f.Cookie == "" || cookieName.MatchString(f.Cookie), "forward_auth.cookie", f.Cookie,
		`the name of a cookie, or "" for none`)
	if f.LoginURL != "" {
		u, err := url.Parse(f.LoginURL)
		ok := err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil && u.Fragment == ""
		v.check(ok, "forward_auth.login_url", f.LoginURL, "a URL such as https://login.example.com/, or \"\" for no redirects")
		v.check(len(f.RedirectHosts) > 0, "forward_auth.redirect_hosts", "[]",
			"the hosts to which people may come back: forward_auth.login_url is set")
	}
	for _, host := range f.RedirectHosts {
		v.check(isHost(host), "forward_auth.redirect_hosts", host,
			"host or host:port in lower case, such as app.example.com")
	}
	v.policies(f.Policies)
	if f.GRPCAddr != "" {
		v.address("forward_auth.grpc_addr", f.GRPCAddr)
	}
}

func (v *validator) policies(policies []RoutePolicy) {
	seen := map[string]bool{}
	for _, p := range policies {
		key := "forward_auth.policies[" + clip(p.Name) + "]"
		v.check(policyName.MatchString(p.Name), "forward_auth.policies", p.Name,
			"a name of 1 to 64 letters, digits, '-', '_' and '.'")
		v.check(!seen[p.Name], "forward_auth.policies", p.Name, "every name once")
		seen[p.Name] = true
		v.checkHidden(len(p.Scopes)+len(p.Roles) > 0, key, "at least one scope or role")
		v.scopes(key, p.Scopes)
		for _, role := range p.Roles {
			v.check(roleName.MatchString(role), key, role,
				"roles of 1 to 64 letters, digits, '.', '_', ':', '/', '@', '+' and '-' each")
		}
	}
}

func (v *validator) scopes(key string, scopes []string) {
	for _, s := range scopes {
		v.check(scopeToken.MatchString(s), key, s, "scopes as in RFC 6749 section 3.3, one an element")
	}
}

// isHost says whether s is what a URL may have as its host, with or without a port.
func isHost(s string) bool {
	host := s
	if at := strings.LastIndexByte(s, ':'); at >= 0 && !strings.HasSuffix(s, "]") {
		name, port, err := net.SplitHostPort(s)
		if _, errPort := strconv.ParseUint(port, 10, 16); err != nil || errPort != nil {
			return false
		}
		if host = name; strings.Contains(name, ":") {
			host = "[" + name + "]"
		}
	}
	return hostName.MatchString(host)
}
