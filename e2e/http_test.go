package e2e

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// call is a request.
type call struct {
	method string // "": POST
	path   string
	token  string      // bearer
	client *client     // HTTP Basic
	json   any         // body, as JSON
	form   url.Values  // body, as a form
	body   string      // body, as it is
	header http.Header // wins over all of the above
}

// client is a program with credentials of its own.
type client struct{ id, secret string }

// answer is what came back.
type answer struct {
	call   string // for messages
	status int
	header http.Header
	body   string
	took   time.Duration

	byCookie bool // the request had a cookie
}

func (c call) String() string { return cmp.Or(c.method, http.MethodPost) + " " + c.path }

func (c call) request(ctx context.Context, base string) (*http.Request, error) {
	body, kind := c.body, ""
	switch {
	case c.json != nil:
		b, err := json.Marshal(c.json)
		if err != nil {
			return nil, err
		}
		body, kind = string(b), "application/json"
	case c.form != nil:
		body, kind = c.form.Encode(), "application/x-www-form-urlencoded"
	}
	r, err := http.NewRequestWithContext(ctx, cmp.Or(c.method, http.MethodPost), base+c.path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	if c.client != nil { // form-encoded first (RFC 6749 §2.3.1)
		r.SetBasicAuth(url.QueryEscape(c.client.id), url.QueryEscape(c.client.secret))
	}
	maps.Copy(r.Header, c.header)
	return r, nil
}

// send makes the call; the error is of the connection.
func (g *gateway) send(ctx context.Context, c call) (answer, error) {
	r, err := c.request(ctx, g.url)
	if err != nil {
		return answer{}, err
	}
	start := time.Now()
	resp, err := g.http.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{
		call: c.String(), status: resp.StatusCode, header: resp.Header, body: string(body), took: time.Since(start),
		byCookie: r.Header.Get("Cookie") != "",
	}, err
}

// do makes the call and fails the test if no answer comes.
func (g *gateway) do(t testing.TB, c call) answer {
	t.Helper()
	a, err := g.send(t.Context(), c)
	if err != nil {
		t.Fatalf("%s: %v", c, err)
	}
	return a
}

func (a answer) String() string { return fmt.Sprintf("%s: %d %s", a.call, a.status, a.body) }

// want fails the test unless the status is this one.
func (a answer) want(t testing.TB, status int) answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("%s, want %d", a, status)
	}
	return a
}

// decode reads an answer of the given status. It knows every member that there
// may be: one more is a mistake.
func decode[T any](t testing.TB, a answer, status int) (v T) {
	t.Helper()
	a.want(t, status)
	if got := a.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("%s: Content-Type %q, want application/json", a.call, got)
	}
	caching := "no-store"
	if strings.Contains(a.call, "/.well-known/") { // what is about nobody may be kept
		caching = "public, max-age=900"
	}
	if got := a.header.Get("Cache-Control"); got != caching {
		t.Errorf("%s: Cache-Control %q, want %s", a.call, got, caching)
	}
	dec := json.NewDecoder(strings.NewReader(a.body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%s: %v", a, err)
	}
	return v
}

// problem is RFC 9457's.
type problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail"`
	Code      string `json:"code"`
	Reason    string `json:"reason"`
	RequestID string `json:"request_id"`
}

// problem fails the test unless the answer is this problem, and whole.
func (a answer) problem(t testing.TB, status int, code, reason string) problem {
	t.Helper()
	if err := a.checkProblem(status, code, reason); err != nil {
		t.Fatal(err)
	}
	var p problem
	_ = json.Unmarshal([]byte(a.body), &p)
	return p
}

func (a answer) checkProblem(status int, code, reason string) error {
	var p problem
	if err := json.Unmarshal([]byte(a.body), &p); err != nil || a.status != status {
		return fmt.Errorf("%s (%w), want %d %s", a, err, status, code)
	}
	if p.Code != code || p.Reason != reason || p.Status != status {
		return fmt.Errorf("%s, want %d, code %q, reason %q", a, status, code, reason)
	}
	if p.Title == "" || !strings.HasSuffix(p.Type, "/"+code) || p.RequestID == "" {
		return fmt.Errorf("%s: want a title, a type that ends in the code, and a request_id", a)
	}
	if got := a.header.Get("X-Request-Id"); got != p.RequestID {
		return fmt.Errorf("%s: X-Request-Id is %q", a, got)
	}
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		return fmt.Errorf("%s: Content-Type is %q", a, got)
	}
	return a.checkErrorHeaders()
}

// checkErrorHeaders holds an error to what every error of its status has.
func (a answer) checkErrorHeaders() error {
	h := a.header
	switch {
	case !strings.Contains(h.Get("Cache-Control"), "no-store"):
		return fmt.Errorf("%s: Cache-Control is %q, want no-store", a, h.Get("Cache-Control"))
	case slices.Contains([]int{http.StatusServiceUnavailable, http.StatusTooManyRequests}, a.status) != (h.Get("Retry-After") != ""):
		return fmt.Errorf("%s: Retry-After is %q", a, h.Get("Retry-After"))
	case (a.status == http.StatusUnauthorized) != (h.Get("WWW-Authenticate") != ""):
		return fmt.Errorf("%s: WWW-Authenticate is %q", a, h.Get("WWW-Authenticate"))
	case (a.status == http.StatusMethodNotAllowed) != (h.Get("Allow") != ""):
		return fmt.Errorf("%s: Allow is %q", a, h.Get("Allow"))
	case h.Get("Set-Cookie") != "" && (a.status != http.StatusUnauthorized || !a.byCookie):
		return fmt.Errorf("%s: sets a cookie", a)
	}
	return nil
}

// oauth fails the test unless the answer is this error of RFC 6749 §5.2.
func (a answer) oauth(t testing.TB, status int, code string) {
	t.Helper()
	var e struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if err := json.Unmarshal([]byte(a.body), &e); err != nil || a.status != status || e.Error != code {
		t.Fatalf("%s (%v), want %d, error %q", a, err, status, code)
	}
	if err := a.checkErrorHeaders(); err != nil {
		t.Fatal(err)
	}
}

// stamp is a time as every answer writes it.
type stamp struct{ time.Time }

const stampFormat = "2006-01-02T15:04:05.000Z"

func (s *stamp) UnmarshalJSON(b []byte) error {
	text := string(bytes.Trim(b, `"`))
	at, err := time.Parse(stampFormat, text)
	if err != nil || at.Format(stampFormat) != text {
		return fmt.Errorf("time is %s, want RFC 3339 in UTC with milliseconds", b)
	}
	s.Time = at
	return nil
}

// between returns what follows start, up to the next quote.
func between(s, start string) string {
	_, after, _ := strings.Cut(s, start)
	text, _, _ := strings.Cut(after, `"`)
	return text
}
