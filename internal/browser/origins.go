package browser

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/sessiongate/sessiongate/internal/problem"
)

// Origins knows which origins' pages may speak for a browser.
type Origins struct {
	protection *http.CrossOriginProtection
	allowed    map[string]bool
}

// NewOrigins returns the origins that are allowed by name, such as
// https://app.example.com: no patterns, no "null". publicURL is our own address as
// browsers see it, "" if nobody knows: where a proxy in front changes Host, an old
// browser's Origin can't be told to be ours without it.
func NewOrigins(allowed []string, publicURL string) (*Origins, error) {
	o := &Origins{protection: http.NewCrossOriginProtection(), allowed: make(map[string]bool, len(allowed))}
	for _, origin := range allowed {
		if err := o.protection.AddTrustedOrigin(origin); err != nil {
			return nil, fmt.Errorf("browser: origin %q: %w", origin, err)
		}
		o.allowed[origin] = true
	}
	if u, err := url.Parse(publicURL); err == nil && u.Host != "" {
		if err := o.protection.AddTrustedOrigin(u.Scheme + "://" + u.Host); err != nil {
			return nil, fmt.Errorf("browser: public URL %q: %w", publicURL, err)
		}
	}
	return o, nil
}

// Any says whether any other origin is allowed at all. nil allows none.
func (o *Origins) Any() bool { return o != nil && len(o.allowed) > 0 }

// Allows says whether pages of that origin may read our answers.
func (o *Origins) Allows(origin string) bool { return o.allowed[origin] }

// Check refuses a request that changes something and that a browser made for a page
// of neither our own nor an allowed origin, as it says in Sec-Fetch-Site or, if it
// is an old one, in Origin. Who is no browser says neither, and passes.
func (o *Origins) Check(r *http.Request) error {
	if err := o.protection.Check(r); err != nil {
		return fmt.Errorf("%w: %w", problem.ErrCrossOrigin, err)
	}
	return nil
}
