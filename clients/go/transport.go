package sessiongate

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// baseURL checks the gateway's address and takes the slash off its end.
func baseURL(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "", fmt.Errorf("sessiongate: BaseURL is %q, want one such as https://login.example.com", redact(s))
	}
	return strings.TrimSuffix(s, "/"), nil
}

// redact keeps a password in a mistaken address out of an error.
func redact(s string) string {
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		return "…" + s[i:]
	}
	return s
}

func orDuration(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// pooled returns a client that keeps enough connections for a busy server: the
// default transport's two would be opened and closed all the time.
func pooled() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 256, 256
	return &http.Client{Transport: t}
}

// noRedirects returns the client without following redirects: a credential goes
// to the address that was configured and to no other.
func noRedirects(c *http.Client) *http.Client {
	own := *c
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &own
}

// maxToken is the gateway's own bound, in bytes.
const maxToken = 4096

// tokenLike says whether it is worth asking: RFC 6750 §2.1's characters.
func tokenLike(s string) bool {
	if s == "" || len(s) > maxToken {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}

// flights lets those who want the same answer at the same moment share it. An
// answer may then be older than the question, by a request at most: only for who
// accepts remembered ones.
type flights struct {
	mu    sync.Mutex
	calls map[digest]*flight
}

type flight struct {
	done    chan struct{}
	session *Session
	err     error
}

func (f *flights) do(ctx context.Context, key digest, ask func() (*Session, error)) (*Session, error) {
	f.mu.Lock()
	call := f.calls[key]
	if call == nil {
		call = &flight{done: make(chan struct{})}
		f.calls[key] = call
		go f.fly(key, call, ask)
	}
	f.mu.Unlock()
	select {
	case <-call.done:
		return call.session, call.err
	case <-ctx.Done():
		return nil, fmt.Errorf("sessiongate: introspect: %w", context.Cause(ctx))
	}
}

func (f *flights) fly(key digest, call *flight, ask func() (*Session, error)) {
	defer func() {
		f.mu.Lock()
		delete(f.calls, key)
		f.mu.Unlock()
		close(call.done)
	}()
	call.session, call.err = ask()
}
