package gateways

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// situation is what there is to be said of a request's token. status is what the
// client must get.
type situation struct {
	name   string
	status int
	path   string
	of     session // "" for its token: none is sent
	bare   session // instead of it where headers are to be absent upstream
	away   bool    // sessiongate is not there to be asked, be it about nothing
}

// request is one of the matrix.
type request struct {
	method, path, body string
	header             http.Header
	of                 session
	nothing            bool // no credential that counts
	status             int
}

// variant is what else the client does.
type variant struct {
	name  string
	apply func(r *request, s *situation, by *recipe)
}

var variants = []variant{
	{"plain", func(*request, *situation, *recipe) {}},
	{"spoofed", func(r *request, _ *situation, _ *recipe) { spoof(r, identityHeaders) }},
	{"alias", func(r *request, _ *situation, _ *recipe) { spoof(r, aliases()) }},
	{"absent", func(r *request, s *situation, _ *recipe) {
		if s.bare.Token != "" {
			r.bear(s.bare)
		}
		spoof(r, identityHeaders)
		spoof(r, aliases())
	}},
	{"query", func(r *request, _ *situation, _ *recipe) {
		r.path += "?access_token=" + r.of.Token + "&token=" + r.of.Token
		r.withhold()
	}},
	{"body", func(r *request, _ *situation, _ *recipe) {
		r.method, r.body = http.MethodPost, "access_token=mine&text="+strings.Repeat("x", 5000)
		r.header.Set("Content-Type", "application/x-www-form-urlencoded")
	}},
	{"cookie", func(r *request, _ *situation, by *recipe) {
		r.header.Set("Cookie", "theme=dark; __Host-session="+r.of.Token)
		if by.introspects {
			r.withhold()
		}
		r.header.Del("Authorization")
	}},
}

// identityHeaders are what only sessiongate may say.
var identityHeaders = []string{
	"X-Auth-Subject", "X-Auth-Session-Id", "X-Auth-Client-Id", "X-Auth-Scopes",
	"X-Auth-Amr", "X-Auth-Roles", "X-Auth-Username", "X-Auth-Expires",
}

// signs are what may be in the name of a header and becomes "_" in that of a CGI
// variable, beside "-".
const signs = "_.!#$%&'*+^`|~"

// aliases are other names that look the same to a CGI program: the likely ones of all
// headers, the others of two, since servers refuse more than a hundred headers.
func aliases() (names []string) {
	for _, h := range identityHeaders {
		names = append(names,
			strings.ReplaceAll(h, "-", "_"),
			strings.ReplaceAll(h, "-", "."),
			strings.ToLower(strings.Replace(h, "-", "_", 1)), // x_auth-subject
			strings.ToUpper(h[:6])+"."+h[7:])                 // X-AUTH.Subject
	}
	for _, h := range []string{"X-Auth-Subject", "X-Auth-Roles"} {
		for _, sign := range signs[2:] {
			names = append(names, strings.ReplaceAll(h, "-", string(sign)))
		}
	}
	return names
}

func spoof(r *request, names []string) {
	for _, name := range names {
		r.header[name] = []string{"spoofed"}
	}
}

// withhold sends no credential where one would count.
func (r *request) withhold() {
	r.header.Del("Authorization")
	r.nothing = true
}

func (r *request) bear(s session) {
	r.of = s
	r.header.Set("Authorization", "Bearer "+s.Token)
}

// request makes the variant's request for the situation.
func (s *situation) request(v variant, by *recipe) request {
	r := request{method: http.MethodGet, path: s.path, header: http.Header{}, status: s.status, of: s.of, nothing: s.of.Token == ""}
	if s.of.Token != "" {
		r.bear(s.of)
	}
	if r.status == http.StatusServiceUnavailable {
		r.status = by.unknown
	}
	v.apply(&r, s, by)
	// Nothing to be found out; but only some find that out by themselves.
	if r.nothing && !(s.away && !by.introspects) {
		r.status = http.StatusUnauthorized
	}
	return r
}

// answer is what the client got.
type answer struct {
	status int
	header http.Header
}

func (r *request) send(ctx context.Context, gateway, id string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, r.method, gateway+r.path, strings.NewReader(r.body))
	if err != nil {
		return answer{}, err
	}
	req.Header = r.header.Clone()
	req.Header.Set("Case", id)
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return answer{resp.StatusCode, resp.Header}, err
}

// check compares what the client got and what the application saw with what has to
// be.
func (r *request) check(a answer, got seen, passed bool) error {
	switch {
	case a.status != r.status:
		return fmt.Errorf("status %d, want %d", a.status, r.status)
	case passed != (r.status == http.StatusOK):
		return fmt.Errorf("status %d, and the application saw the request: %v", a.status, passed)
	case passed:
		return r.checkUpstream(got)
	case a.status == http.StatusUnauthorized:
		return r.checkChallenge(a.header.Values("WWW-Authenticate"))
	}
	return nil
}

// checkChallenge: RFC 6750 §3.
func (r *request) checkChallenge(challenges []string) error {
	if len(challenges) != 1 || !strings.HasPrefix(challenges[0], "Bearer") {
		return fmt.Errorf("WWW-Authenticate is %q, want one Bearer challenge", challenges)
	}
	if r.header.Get("Authorization") != "" && !strings.Contains(challenges[0], `error="invalid_token"`) {
		return fmt.Errorf("WWW-Authenticate is %q, want invalid_token", challenges)
	}
	return nil
}

func (r *request) checkUpstream(got seen) error {
	if got.Method != r.method || got.URL != r.path || got.Body != r.body {
		return fmt.Errorf("the application saw %s %s with %d bytes, want %s %s with %d",
			got.Method, got.URL, len(got.Body), r.method, r.path, len(r.body))
	}
	want := r.identity()
	for name, values := range got.Header {
		if strings.Contains(strings.Join(values, " "), r.of.Token) {
			return fmt.Errorf("the application saw the token in %s", name)
		}
		if !slices.Contains(identityHeaders, name) && strings.HasPrefix(folded(name), "X_AUTH_") {
			return fmt.Errorf("the application saw %s: %q", name, values)
		}
	}
	for name, words := range want {
		if values := got.Header.Values(name); len(values) > 1 || !slices.Equal(fields(strings.Join(values, " ")), words) {
			return fmt.Errorf("the application saw %s: %q, want %q", name, values, words)
		}
	}
	return checkExpires(got.Header)
}

// identity is what the application must see, as words.
func (r *request) identity() map[string][]string {
	return map[string][]string{
		"X-Auth-Subject":    {r.of.Session.UserID},
		"X-Auth-Session-Id": {r.of.Session.ID},
		"X-Auth-Client-Id":  {clientID},
		"X-Auth-Scopes":     fields(r.of.Scope),
		"X-Auth-Amr":        r.of.AMR,
		"X-Auth-Roles":      r.of.Roles,
		"X-Auth-Username":   fields(r.of.Username),
	}
}

func checkExpires(h http.Header) error {
	values := h["X-Auth-Expires"]
	if len(values) != 1 {
		return fmt.Errorf("the application saw X-Auth-Expires: %q", values)
	}
	if _, err := strconv.ParseInt(values[0], 10, 64); err != nil {
		return fmt.Errorf("the application saw X-Auth-Expires: %q", values)
	}
	return nil
}

func fields(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == ',' })
}

// folded is the name of the variable that CGI makes of a header, without HTTP_.
func folded(name string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("-"+signs, r) {
			return '_'
		}
		return r
	}, strings.ToUpper(name))
}
