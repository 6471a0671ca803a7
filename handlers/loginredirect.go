package handlers

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// LoginPage sends browsers that are not signed in to a login page, which gets the
// URL they wanted as the parameter rd. That URL is the only thing in an answer
// that a stranger has a say in, so it is held to a form that no reader can take
// for anything else, and to hosts that the configuration names.
type LoginPage struct {
	prefix string   // of Location, up to the value of rd
	hosts  []string // host, or host:port where the port is not the scheme's own
}

// NewLoginPage returns redirects to the login page. The URL is absolute; the hosts
// are in lower case.
func NewLoginPage(loginURL string, hosts []string) *LoginPage {
	separator := "?"
	if strings.Contains(loginURL, "?") {
		separator = "&"
	}
	return &LoginPage{loginURL + separator + "rd=", hosts}
}

// A Navigation is the request behind a question of forward-auth, as a proxy that
// is trusted tells it.
type Navigation struct {
	Method    string
	Accept    string
	FetchMode string // Sec-Fetch-Mode; "" where the browser sends none
	Scheme    string
	Host      string
	URI       string // path and query
}

// maxReturnBytes is the longest URL that is carried along.
const maxReturnBytes = 2048

// Location returns where to send the browser, or "" where the answer has to be a
// 401: it is no browser that goes somewhere, or there is no telling where to.
func (l *LoginPage) Location(n Navigation) string {
	if n.Method != http.MethodGet && n.Method != http.MethodHead ||
		n.FetchMode != "" && n.FetchMode != "navigate" || !strings.Contains(n.Accept, "text/html") {
		return ""
	}
	back := l.returnTo(n)
	if back == "" {
		return ""
	}
	return l.prefix + url.QueryEscape(back)
}

// returnTo returns the URL that was asked for, if people may be sent back there.
func (l *LoginPage) returnTo(n Navigation) string {
	scheme, host := strings.ToLower(n.Scheme), strings.ToLower(n.Host)
	if scheme != "https" && scheme != "http" || !l.allows(scheme, host) || !isLocal(n.URI) {
		return ""
	}
	back := scheme + "://" + host + n.URI
	// All of it has been looked at; this holds it to what net/url makes of it.
	u, err := url.Parse(back)
	if err != nil || u.Host != host || u.User != nil || u.Fragment != "" || len(back) > maxReturnBytes {
		return ""
	}
	return back
}

func (l *LoginPage) allows(scheme, host string) bool {
	if slices.Contains(l.hosts, host) {
		return true
	}
	own := ":443"
	if scheme == "http" {
		own = ":80"
	}
	bare, cut := strings.CutSuffix(host, own)
	return cut && slices.Contains(l.hosts, bare)
}

// isLocal says whether a URI is a path with or without a query, and can't be made
// into anything else by a reader that is sloppy about slashes, decodes once too
// often, or leaves out what it can't see.
func isLocal(uri string) bool {
	if !strings.HasPrefix(uri, "/") {
		return false
	}
	for i := range len(uri) {
		if c := uri[i]; c <= ' ' || c > '~' || c == '\\' || c == '#' || c == '"' || c == '<' || c == '>' {
			return false
		}
	}
	path, _, _ := strings.Cut(uri, "?")
	for range 3 {
		if strings.HasPrefix(path, "//") || strings.HasPrefix(path, `/\`) || strings.ContainsFunc(path, isControl) {
			return false
		}
		decoded, err := url.PathUnescape(path)
		if err != nil {
			return false
		}
		if decoded == path {
			return true
		}
		path = decoded
	}
	return false // nobody encodes a path three times for a good reason
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// requestBehind reads what a trusted proxy tells of the request it asks about:
// X-Forwarded-Proto, -Host and -Uri as most do, or X-Original-URL as nginx's users
// do. Where a header is there twice, one of them is the client's, and none counts.
func requestBehind(r *http.Request) Navigation {
	n := Navigation{Method: r.Method, Accept: only(r.Header, "Accept"), FetchMode: only(r.Header, "Sec-Fetch-Mode")}
	for _, name := range []string{"X-Forwarded-Method", "X-Original-Method"} {
		if method := only(r.Header, name); method != "" {
			n.Method = method
			break
		}
	}
	n.Scheme, n.Host = only(r.Header, "X-Forwarded-Proto"), only(r.Header, "X-Forwarded-Host")
	n.URI = only(r.Header, "X-Forwarded-Uri")
	if n.Scheme != "" && n.Host != "" && n.URI != "" {
		return n
	}
	n.Scheme, n.Host, n.URI = "", "", ""
	scheme, rest, ok := strings.Cut(only(r.Header, "X-Original-Url"), "://")
	if at := strings.IndexByte(rest, '/'); ok && at > 0 {
		n.Scheme, n.Host, n.URI = scheme, rest[:at], rest[at:]
	}
	return n
}

func only(h http.Header, name string) string {
	if lines := h[name]; len(lines) == 1 {
		return lines[0]
	}
	return ""
}
