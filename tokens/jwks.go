package tokens

// JWKS is a JSON Web Key Set (RFC 7517 §5), ready for encoding/json.
type JWKS struct {
	Keys []JWK `json:"keys"` // never nil: an empty set is "[]"
}

// A JWK is the public part of a key (RFC 7517 §4, RFC 8037 §2). It has no field
// that a private member could be put into by mistake.
type JWK struct {
	KeyType   string `json:"kty"`
	Use       string `json:"use"`
	Algorithm string `json:"alg"`
	ID        string `json:"kid"`
	Curve     string `json:"crv,omitempty"`
	X         string `json:"x,omitempty"`
}

// JWKS returns what may be published of the keyring, the active key first. A
// symmetric key has no public part: with HS256 alone the set is empty.
func (k *Keyring) JWKS() JWKS {
	set := JWKS{Keys: []JWK{}}
	for _, key := range k.ordered {
		if key.jwk != nil {
			set.Keys = append(set.Keys, *key.jwk)
		}
	}
	return set
}
