package sessiongate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// LocalOptions says whose tokens to accept. BaseURL, Issuer and Audience have to
// be set.
type LocalOptions struct {
	BaseURL  string // of the gateway; its keys are at /.well-known/jwks.json below it
	Issuer   string // the gateway's tokens.issuer, exactly
	Audience string // the gateway's tokens.audience

	HTTPClient *http.Client     // nil: one of its own
	Timeout    time.Duration    // for reading the keys; 0: two seconds
	Leeway     time.Duration    // how far clocks may be apart; 0: five seconds
	Now        func() time.Time // nil: time.Now
}

// Local checks tokens by their signature, with keys that it reads from the
// gateway now and then. It is a Verifier, safe for concurrent use.
//
// It does not ask whether the session lives: a token passes until its time is up,
// half an hour after a logout in the worst case. Use an Introspector where that
// matters. Gateways that sign with HS256 have no public keys.
type Local struct {
	o    LocalOptions
	keys keySet
}

// NewLocal returns a verifier. It reads no keys yet. The error says which option
// is wrong.
func NewLocal(o LocalOptions) (*Local, error) {
	base, err := baseURL(o.BaseURL)
	if err != nil {
		return nil, err
	}
	if o.Issuer == "" || o.Audience == "" {
		return nil, errors.New("sessiongate: Issuer and Audience must be set")
	}
	o.Timeout = orDuration(o.Timeout, 2*time.Second)
	o.Leeway = orDuration(o.Leeway, 5*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	client := o.HTTPClient
	if client == nil {
		client = pooled()
	}
	l := &Local{o: o}
	l.keys.url, l.keys.client, l.keys.now, l.keys.wait = base+"/.well-known/jwks.json", noRedirects(client), o.Now, o.Timeout
	return l, nil
}

// Verify returns whom the token speaks for. It makes a request only for keys that
// are old or not known.
func (l *Local) Verify(ctx context.Context, token string) (*Session, error) {
	if !tokenLike(token) {
		return nil, ErrInactive
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, ErrInactive
	}
	var h header
	if json.Unmarshal(decode64(parts[0]), &h) != nil || h.Critical != nil || !isAccessToken(h.Type) {
		return nil, ErrInactive
	}
	key, err := l.keys.find(ctx, h.KeyID)
	if err != nil {
		return nil, err
	}
	signature := decode64(parts[2])
	if key == nil || key.algorithm() != h.Algorithm || !key.verify([]byte(parts[0]+"."+parts[1]), signature) {
		return nil, ErrInactive
	}
	var c claims
	if err := json.Unmarshal(decode64(parts[1]), &c); err != nil {
		return nil, fmt.Errorf("%w: its claims can't be read", ErrInactive)
	}
	return l.judge(&c)
}

// judge holds the claims to what is expected (RFC 9068 §4).
func (l *Local) judge(c *claims) (*Session, error) {
	now := l.o.Now()
	latest := now.Add(l.o.Leeway)
	switch {
	case c.Issuer != l.o.Issuer, !slices.Contains(c.Audience, l.o.Audience), c.Subject == "", c.Session == "":
		return nil, ErrInactive
	case !now.Add(-l.o.Leeway).Before(unix(c.Expires)), unix(c.Issued).After(latest), unix(c.NotBefore).After(latest):
		return nil, ErrInactive
	}
	s := c.session()
	s.Username = c.PreferredUsername
	return s, nil
}

type header struct {
	Algorithm string          `json:"alg"`
	KeyID     string          `json:"kid"`
	Type      string          `json:"typ"`
	Critical  json.RawMessage `json:"crit"`
}

// isAccessToken compares media types as RFC 9068 §4 says, so that no other JWT of
// the same keys passes.
func isAccessToken(typ string) bool {
	typ = strings.ToLower(typ)
	return typ == "at+jwt" || typ == "application/at+jwt"
}

type claims struct {
	introspection
	NotBefore         int64  `json:"nbf"`
	PreferredUsername string `json:"preferred_username"`
}
