package sessiongate

import (
	"io"
	"net/http"
)

// Transport returns an http.RoundTripper for the program's own requests: those to
// the gateway's origin and to APIOrigins carry the token, unless they have an
// Authorization of their own. On a 401 it refreshes, once a minute at most, and
// sends the request again if its body can be sent twice (http.NewRequest sees to
// that for buffers and strings). What comes then is the caller's.
//
// base sends the requests; nil: http.DefaultTransport.
func (c *Client) Transport(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	return &transport{client: c, base: base}
}

type transport struct {
	client *Client
	base   http.RoundTripper
}

func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if !t.client.origins[originOf(req.URL)] || req.Header.Get("Authorization") != "" {
		return t.base.RoundTrip(req)
	}
	core := t.client.core
	_, err := t.client.Token(req.Context())
	core.mu.Lock()
	token, rotation := core.token(), core.rotation
	core.mu.Unlock()
	if err != nil {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, err
	}
	res, err := t.base.RoundTrip(signed(req, token))
	if err != nil || res.StatusCode != http.StatusUnauthorized || token == "" || !repeatable(req) {
		return res, err
	}
	next, err := t.client.replaced(req, rotation)
	if err != nil || next == "" {
		return res, nil // which is the caller's then
	}
	again := signed(req, next)
	if req.GetBody != nil {
		if again.Body, err = req.GetBody(); err != nil {
			return res, nil
		}
	}
	// What is short is read, so that the connection can be used again.
	_, _ = io.CopyN(io.Discard, res.Body, 4096)
	_ = res.Body.Close()
	return t.base.RoundTrip(again)
}

// replaced returns the token in the place of the one of that rotation, after a
// refresh if need be; "" if there is none.
func (c *Client) replaced(req *http.Request, rotation int) (string, error) {
	core := c.core
	core.mu.Lock()
	defer core.mu.Unlock()
	if core.rotation == rotation && core.clock.Now()-core.obtained >= fresh {
		refreshed := core.sync(wantRefresh)
		core.mu.Unlock()
		err := wait(req.Context(), refreshed)
		core.mu.Lock()
		if err != nil {
			return "", err
		}
	}
	if core.rotation == rotation {
		return "", nil
	}
	return core.token(), nil
}

// signed returns a copy with the token: a RoundTripper must not change what it is given.
func signed(req *http.Request, token string) *http.Request {
	out := req.Clone(req.Context())
	if token != "" {
		out.Header.Set("Authorization", "Bearer "+token)
	}
	return out
}

// repeatable says whether the request can be sent a second time.
func repeatable(req *http.Request) bool {
	return req.Body == nil || req.Body == http.NoBody || req.GetBody != nil
}
