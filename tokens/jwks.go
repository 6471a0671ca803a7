package tokens

import "time"

// JWKS is a JSON Web Key Set (RFC 7517 §5), ready for encoding/json.
type JWKS struct {
	Keys []JWK `json:"keys"` // never nil: an empty set is "[]"
}

// A JWK is the public part of a key (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2). It has no field
// that a private member could be put into by mistake.
type JWK struct {
	KeyType   string `json:"kty"`
	Use       string `json:"use"`
	Algorithm string `json:"alg"`
	ID        string `json:"kid"`
	Curve     string `json:"crv,omitempty"`
	X         string `json:"x,omitempty"`
	Y         string `json:"y,omitempty"`
	N         string `json:"n,omitempty"`
	E         string `json:"e,omitempty"`
}

// JWKS returns what may be published of the keyring at the given moment: the keys
// that sign, will sign, or still verify, the active one first. A symmetric key
// has no public part: with HS256 alone the set is empty.
func (k *Keyring) JWKS(now time.Time) JWKS {
	set := JWKS{Keys: []JWK{}}
	active := k.Active(now)
	if active != nil && active.jwk != nil {
		set.Keys = append(set.Keys, *active.jwk)
	}
	r := k.now.Load()
	if r == nil {
		return set
	}
	for i := range r.ordered {
		if s := &r.ordered[i]; s.Key != active && s.Key.jwk != nil && s.verifies(now) {
			set.Keys = append(set.Keys, *s.Key.jwk)
		}
	}
	return set
}
