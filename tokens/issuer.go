package tokens

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/sessiongate/sessiongate/session"
)

// MaxBytes is the longest token: Issuer makes none beyond it and Verifier looks
// at none. It leaves room in a header line for everything else.
const MaxBytes = 4096

// Options is what issuer and verifier agree about.
type Options struct {
	Issuer   string // iss, compared exactly (RFC 9068 §4)
	Audience string // aud, compared exactly
	// Leeway is how far this machine's clock may be from the issuer's when exp,
	// iat and nbf are judged. Not negative.
	Leeway time.Duration
	// CacheSize is the number of verified tokens a Verifier remembers, about 600
	// bytes each; 0: none.
	CacheSize int
	// Now is the clock by which tokens are judged; nil: time.Now.
	Now func() time.Time
}

func (o *Options) check() error {
	switch {
	case o.Issuer == "" || !utf8.ValidString(o.Issuer):
		return errors.New("tokens: the issuer must be a non-empty text")
	case o.Audience == "" || !utf8.ValidString(o.Audience):
		return errors.New("tokens: the audience must be a non-empty text")
	case o.Leeway < 0:
		return fmt.Errorf("tokens: the leeway is %v, must not be negative", o.Leeway)
	case o.CacheSize < 0:
		return fmt.Errorf("tokens: the cache size is %d, must not be negative", o.CacheSize)
	}
	return nil
}

// An Issuer signs tokens with the active key of its keyring. It is safe for
// concurrent use.
type Issuer struct {
	keys     *Keyring
	issuer   string
	audience string
}

// NewIssuer returns an issuer. It uses Issuer and Audience of the options.
func NewIssuer(keys *Keyring, o Options) (*Issuer, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	return &Issuer{keys: keys, issuer: o.Issuer, audience: o.Audience}, nil
}

// Sign returns t as a JWT. For HS256 and EdDSA it is a pure function: the same
// Token under the same key gives the same bytes, on whichever gateway. Parts of
// a second are dropped.
//
// It fails for a Token that Verify would refuse (no or malformed ids, a text
// that is not UTF-8, longer than MaxBytes when signed): a fault of the caller,
// not of the client.
func (i *Issuer) Sign(t session.Token) (string, error) {
	if why := malformed(&t); why != "" {
		return "", errors.New("tokens: sign token: " + why)
	}
	var payload bytes.Buffer
	encoder := json.NewEncoder(&payload)
	encoder.SetEscapeHTML(false) // a token is no page, and "<" in a user id would grow sixfold
	if err := encoder.Encode(i.claims(&t)); err != nil {
		return "", fmt.Errorf("tokens: encode claims: %w", err)
	}
	claims := bytes.TrimSuffix(payload.Bytes(), []byte("\n"))
	key := i.keys.active
	signed := key.header + "." + base64.RawURLEncoding.EncodeToString(claims)
	signature, err := key.sign(signed)
	if err != nil {
		return "", fmt.Errorf("tokens: sign token: %w", err)
	}
	raw := signed + "." + base64.RawURLEncoding.EncodeToString(signature)
	if len(raw) > MaxBytes {
		return "", fmt.Errorf("tokens: sign token: it has %d bytes, the most is %d", len(raw), MaxBytes)
	}
	return raw, nil
}

func (i *Issuer) claims(t *session.Token) claims {
	c := claims{
		Issuer:     i.issuer,
		Subject:    t.UserID,
		Audience:   i.audience,
		ExpiresAt:  t.ExpiresAt.Unix(),
		IssuedAt:   t.IssuedAt.Unix(),
		ID:         t.ID,
		SessionID:  string(t.SessionID),
		ClientID:   t.ClientID,
		Scope:      t.Scope,
		Generation: t.Generation,
		AMR:        t.AMR,
		Username:   t.Username,
		Roles:      t.Roles,
	}
	if !t.AuthTime.IsZero() {
		c.AuthTime = t.AuthTime.Unix()
	}
	return c
}
