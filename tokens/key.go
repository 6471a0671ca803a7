package tokens

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// The algorithms a Key can have: the values of alg (RFC 7518 §3.1, RFC 8037
// §3.1) and of the setting tokens.algorithm.
const (
	HS256 = "HS256"
	EdDSA = "EdDSA"
	ES256 = "ES256"
	RS256 = "RS256"
)

var algorithms = []string{HS256, EdDSA, ES256, RS256}

// MinSecretBytes is the shortest HS256 secret: as long as the hash (RFC 7518
// §3.2).
const MinSecretBytes = 32

// A Key signs tokens and verifies them, by one algorithm only. It is immutable.
//
// What is secret stays inside the two functions, so that no way of printing a
// Key, or anything that holds one, shows it.
type Key struct {
	algorithm string
	id        string
	header    string                                // the first segment of every token it signs
	answer    string                                // and of every introspection response (RFC 9701 §5)
	event     string                                // and of every security event token (RFC 8417 §2.3)
	sign      func(signed string) ([]byte, error)   // nil: it only verifies
	verify    func(signed string, mac []byte) error // nil only in the zero Key
	jwk       *JWK                                  // nil where there is nothing public
}

// ParseKey reads the key of the given algorithm as it stands in the
// configuration: for HS256 the secret itself, at least MinSecretBytes long; for
// the others a private key, PKCS#8 in PEM: Ed25519 for EdDSA, P-256 for ES256, of
// MinRSABits to MaxRSABits for RS256. Errors say what is wrong and never quote
// the material.
func ParseKey(algorithm string, material []byte) (*Key, error) {
	switch algorithm {
	case HS256:
		return NewHS256Key(material)
	case EdDSA, ES256, RS256:
		private, err := parsePKCS8(material)
		if err != nil {
			return nil, fmt.Errorf("tokens: parse %s key: %w", algorithm, err)
		}
		return newPrivateKey(algorithm, private)
	}
	return nil, unknownAlgorithm(algorithm)
}

func unknownAlgorithm(algorithm string) error {
	return fmt.Errorf("tokens: unknown algorithm %q, want %s", algorithm, strings.Join(algorithms, " or "))
}

// NewHS256Key returns a key that signs and verifies with a secret of at least
// MinSecretBytes random bytes. It keeps a copy.
func NewHS256Key(secret []byte) (*Key, error) {
	if len(secret) < MinSecretBytes {
		return nil, fmt.Errorf("tokens: the HS256 secret has %d bytes, want at least %d random ones",
			len(secret), MinSecretBytes)
	}
	secret = bytes.Clone(secret)
	// The id is public, so it is a MAC under the secret, not a plain hash of it.
	// What is signed never has a space in it: no signature can equal this.
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("sessiongate key id"))
	id := base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
	return newKey(id, jwt.SigningMethodHS256, secret, secret, nil)
}

// newKey returns the key of a method, with the two keys as the method wants
// them.
func newKey(id string, method jwt.SigningMethod, private, public any, jwk *JWK) (*Key, error) {
	return &Key{
		algorithm: method.Alg(),
		id:        id,
		header:    encodeHeader(header{method.Alg(), id, "at+jwt"}),
		answer:    encodeHeader(header{method.Alg(), id, "token-introspection+jwt"}),
		event:     encodeHeader(header{method.Alg(), id, "secevent+jwt"}),
		sign:      func(signed string) ([]byte, error) { return method.Sign(signed, private) },
		verify:    func(signed string, mac []byte) error { return method.Verify(signed, mac, public) },
		jwk:       jwk,
	}, nil
}

// header is a JOSE header as Issuer writes it; the order of the fields is part of
// the format.
type header struct {
	Algorithm string `json:"alg"`
	ID        string `json:"kid"`
	Type      string `json:"typ"`
}

func encodeHeader(h header) string {
	b, err := json.Marshal(h)
	if err != nil {
		panic("tokens: " + err.Error()) // three texts always have a form
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// ID returns the kid.
func (k *Key) ID() string { return k.id }

// Algorithm returns the alg.
func (k *Key) Algorithm() string { return k.algorithm }

// String returns the algorithm and the id.
func (k *Key) String() string { return k.algorithm + " key " + k.id }
