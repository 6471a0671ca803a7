package tokens

import (
	"bytes"
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
	// Now is the clock by which tokens are judged and keys take turns; nil:
	// time.Now.
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

func (o *Options) clock() func() time.Time {
	if o.Now == nil {
		return time.Now
	}
	return o.Now
}

// An Issuer signs tokens with the active key of its keyring. It is safe for
// concurrent use.
type Issuer struct {
	keys     *Keyring
	issuer   string
	audience string
	now      func() time.Time
}

// NewIssuer returns an issuer. It uses Issuer, Audience and Now of the options.
func NewIssuer(keys *Keyring, o Options) (*Issuer, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	return &Issuer{keys: keys, issuer: o.Issuer, audience: o.Audience, now: o.clock()}, nil
}

// Sign returns t as a JWT. For HS256, EdDSA and RS256 the same Token under the
// same key gives the same bytes, on whichever gateway; for ES256 the same claims.
// Parts of a second are dropped.
//
// It fails for a Token that Verify would refuse (no or malformed ids, a text
// that is not UTF-8, longer than MaxBytes when signed): a fault of the caller,
// not of the client.
func (i *Issuer) Sign(t session.Token) (string, error) {
	if why := malformed(&t); why != "" {
		return "", errors.New("tokens: sign token: " + why)
	}
	payload, err := encodeJSON(i.claims(&t))
	if err != nil {
		return "", fmt.Errorf("tokens: encode claims: %w", err)
	}
	key := i.keys.Active(i.now())
	if key == nil {
		return "", errNoKey
	}
	raw, err := key.jws(key.header, payload)
	if err != nil {
		return "", fmt.Errorf("tokens: sign token: %w", err)
	}
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

// errNoKey is a fault of whoever put the gateway together: it does not begin to
// serve without a key.
var errNoKey = errors.New("tokens: there is no key to sign with")

// ErrSymmetric says that the key that signs is a shared secret, with which nobody
// else can check an answer.
var ErrSymmetric = errors.New("tokens: the active key has no public half")

// SignIntrospection returns what an introspection found as a JWT for the given
// audience, the client that asked (RFC 9701 §5). It can't be taken for an access
// token: its typ is another. The error is ErrSymmetric while tokens are signed
// with HS256.
func (i *Issuer) SignIntrospection(audience string, claims any, now time.Time) (string, error) {
	key := i.keys.Active(i.now())
	switch {
	case key == nil:
		return "", errNoKey
	case key.jwk == nil:
		return "", ErrSymmetric
	case audience == "" || !utf8.ValidString(audience):
		return "", errors.New("tokens: sign introspection: the audience must be a non-empty text")
	}
	payload, err := encodeJSON(struct {
		Issuer   string `json:"iss"`
		Audience string `json:"aud"`
		IssuedAt int64  `json:"iat"`
		Claims   any    `json:"token_introspection"`
	}{i.issuer, audience, now.Unix(), claims})
	if err != nil {
		return "", fmt.Errorf("tokens: encode introspection: %w", err)
	}
	raw, err := key.jws(key.answer, payload)
	if err != nil {
		return "", fmt.Errorf("tokens: sign introspection: %w", err)
	}
	return raw, nil
}

// SignEvent returns claims as a security event token (RFC 8417). It can't be taken
// for an access token: its typ is another. The error is ErrSymmetric while tokens
// are signed with HS256.
func (i *Issuer) SignEvent(claims any) (string, error) {
	key := i.keys.Active(i.now())
	switch {
	case key == nil:
		return "", errNoKey
	case key.jwk == nil:
		return "", ErrSymmetric
	}
	payload, err := encodeJSON(claims)
	if err != nil {
		return "", fmt.Errorf("tokens: encode security event: %w", err)
	}
	raw, err := key.jws(key.event, payload)
	if err != nil {
		return "", fmt.Errorf("tokens: sign security event: %w", err)
	}
	return raw, nil
}

// jws returns the payload, signed, in the compact form (RFC 7515 §7.1).
func (k *Key) jws(header string, payload []byte) (string, error) {
	signed := header + "." + encodeBytes(payload)
	signature, err := k.sign(signed)
	if err != nil {
		return "", err
	}
	return signed + "." + encodeBytes(signature), nil
}

// encodeJSON returns v as JSON. A token is no page: "<" in a user id stays as it
// is, or it would grow sixfold.
func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
