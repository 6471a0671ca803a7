package tokens

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"
	"unsafe"

	"github.com/sessiongate/sessiongate/session"
)

// A Verifier says which tokens its keyring signed and what is in them. It is
// safe for concurrent use.
//
// It remembers verified tokens by the digest of the whole token. Only the work
// of the signature is saved: the times are judged on every call.
type Verifier struct {
	keys    *Keyring
	options Options
	now     func() time.Time
	cache   *cache
}

// NewVerifier returns a verifier.
func NewVerifier(keys *Keyring, o Options) (*Verifier, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	return &Verifier{keys: keys, options: o, now: o.clock(), cache: newCache(o.CacheSize)}, nil
}

// Verify returns what raw says, if this gateway issued it for its audience.
//
// The error is session.ErrInvalidToken for anything else, wrapped with the
// reason for the log; it holds nothing of the token. It is
// session.ErrTokenExpired, and the Token is returned with it, when everything
// but the time is right: only such a token may be called expired. No other
// error occurs. The Token's AMR and Roles are shared and must not be changed.
//
// It asks no store, but for the keys where they are shared and the token names
// one that is not known yet; that is done once for all who wait, and not more
// often than Shared allows. Whether the session lives is another question.
func (v *Verifier) Verify(raw string) (session.Token, error) {
	// Before anything is spent on it (CVE-2025-30204).
	if len(raw) > MaxBytes {
		return session.Token{}, invalid("it is longer than any token")
	}
	// Before the cache: a key may have been withdrawn since.
	header, rest, _ := strings.Cut(raw, ".")
	now := v.now()
	key := v.keys.find(header, now)
	if key == nil {
		return session.Token{}, errHeader
	}
	// The text is only read: a copy of it would be all that a known token allocates.
	d := digest(sha256.Sum256(unsafe.Slice(unsafe.StringData(raw), len(raw))))
	p := v.cache.get(&d)
	if p == nil {
		var why string
		if p, why = v.verify(key, raw, rest); why != "" {
			return session.Token{}, invalid(why)
		}
		v.cache.put(&d, p)
	}
	return v.judge(p, now)
}

// verify does everything that does not depend on the time; rest is raw without
// the header. Either the payload is nil or why is "".
func (v *Verifier) verify(key *Key, raw, rest string) (_ *payload, why string) {
	// encoding/base64 skips line breaks even when strict.
	if strings.ContainsAny(raw, "\r\n") {
		return nil, "it has a line break"
	}
	body, mac, ok := strings.Cut(rest, ".")
	if !ok || strings.Contains(mac, ".") {
		return nil, "it does not have three segments"
	}
	signature, err := segment.DecodeString(mac)
	if err != nil {
		return nil, "its signature is not base64url"
	}
	if key.verify(raw[:len(key.header)+1+len(body)], signature) != nil {
		return nil, "its signature is wrong"
	}

	decoded, err := segment.DecodeString(body)
	if err != nil {
		return nil, "its payload is not base64url"
	}
	p, why := decode(decoded)
	switch {
	case why != "":
		return nil, why
	case p.issuer != v.options.Issuer:
		return nil, "iss is another"
	case !slices.Contains(p.audiences, v.options.Audience):
		return nil, "aud is another"
	}
	p.issuer, p.audiences = "", nil // held to ours; not worth keeping
	return &p, ""
}

// segment is base64url as RFC 7515 §2 has it: no padding, and no second text for
// the same bytes.
var segment = base64.RawURLEncoding.Strict()

// judge holds the payload to the time. What must never have been valid comes
// before what no longer is.
func (v *Verifier) judge(p *payload, now time.Time) (session.Token, error) {
	latest := now.Add(v.options.Leeway)
	switch t := &p.token; {
	case t.IssuedAt.After(latest):
		return session.Token{}, errFromFuture
	case p.notBefore.After(latest):
		return session.Token{}, errNotYet
	case !now.Add(-v.options.Leeway).Before(t.ExpiresAt): // "on or after" (RFC 7519 §4.1.4)
		return *t, errExpired
	default:
		return *t, nil
	}
}

var (
	errHeader     = invalid("its header is not that of one of our keys")
	errFromFuture = invalid("iat is in the future")
	errNotYet     = invalid("nbf is in the future")
	errExpired    = fmt.Errorf("tokens: verify token: %w", session.ErrTokenExpired)
)

func invalid(why string) error {
	return fmt.Errorf("tokens: verify token: %w: %s", session.ErrInvalidToken, why)
}
