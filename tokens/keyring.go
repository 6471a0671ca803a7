package tokens

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/golang-jwt/jwt/v5"
)

// The algorithms a Key can have: the values of alg (RFC 7518 §3.1, RFC 8037
// §3.1) and of the setting tokens.algorithm.
const (
	HS256 = "HS256"
	EdDSA = "EdDSA"
)

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
	sign      func(signed string) ([]byte, error)   // nil: it only verifies
	verify    func(signed string, mac []byte) error // nil only in the zero Key
	jwk       *JWK                                  // nil where there is nothing public
}

// ParseKey reads the key of the given algorithm as it stands in the
// configuration: for HS256 the secret itself, at least MinSecretBytes long; for
// EdDSA an Ed25519 private key, PKCS#8 in PEM. Errors say what is wrong and
// never quote the material.
func ParseKey(algorithm string, material []byte) (*Key, error) {
	switch algorithm {
	case HS256:
		return NewHS256Key(material)
	case EdDSA:
		private, err := parseEd25519(material)
		if err != nil {
			return nil, fmt.Errorf("tokens: parse EdDSA key: %w", err)
		}
		return NewEdDSAKey(private)
	}
	return nil, fmt.Errorf("tokens: parse key: unknown algorithm %q, want %s or %s", algorithm, HS256, EdDSA)
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

// NewEdDSAKey returns a key that signs with the given Ed25519 key. Its id is the
// RFC 7638 thumbprint of the public half (RFC 8037 §2).
func NewEdDSAKey(private ed25519.PrivateKey) (*Key, error) {
	if len(private) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("tokens: the Ed25519 private key has %d bytes, want %d",
			len(private), ed25519.PrivateKeySize)
	}
	// From the seed: a public half that does not belong to it would give the
	// private one away with the first two signatures.
	private = ed25519.NewKeyFromSeed(private.Seed())
	public := private.Public().(ed25519.PublicKey)
	jwk := &JWK{
		KeyType:   "OKP",
		Use:       "sig",
		Algorithm: EdDSA,
		Curve:     "Ed25519",
		X:         base64.RawURLEncoding.EncodeToString(public),
	}
	jwk.ID = thumbprint(`{"crv":"Ed25519","kty":"OKP","x":"` + jwk.X + `"}`)
	return newKey(jwk.ID, jwt.SigningMethodEdDSA, private, public, jwk)
}

// newKey returns the key of a method, with the two keys as the method wants
// them.
func newKey(id string, method jwt.SigningMethod, private, public any, jwk *JWK) (*Key, error) {
	header, err := json.Marshal(struct {
		Algorithm string `json:"alg"`
		ID        string `json:"kid"`
		Type      string `json:"typ"`
	}{method.Alg(), id, "at+jwt"})
	if err != nil {
		return nil, fmt.Errorf("tokens: encode header: %w", err)
	}
	return &Key{
		algorithm: method.Alg(),
		id:        id,
		header:    base64.RawURLEncoding.EncodeToString(header),
		sign:      func(signed string) ([]byte, error) { return method.Sign(signed, private) },
		verify:    func(signed string, mac []byte) error { return method.Verify(signed, mac, public) },
		jwk:       jwk,
	}, nil
}

// ID returns the kid.
func (k *Key) ID() string { return k.id }

// Algorithm returns the alg.
func (k *Key) Algorithm() string { return k.algorithm }

// String returns the algorithm and the id.
func (k *Key) String() string { return k.algorithm + " key " + k.id }

// thumbprint returns the RFC 7638 §3 thumbprint of a JWK that is already in its
// canonical form.
func thumbprint(canonical string) string {
	sum := sha256.Sum256([]byte(canonical))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func parseEd25519(material []byte) (ed25519.PrivateKey, error) {
	block, rest := pem.Decode(material)
	switch {
	case block == nil:
		return nil, errors.New("not PEM")
	case block.Type != "PRIVATE KEY":
		return nil, fmt.Errorf("the PEM block is %q, want an unencrypted PKCS#8 \"PRIVATE KEY\"", block.Type)
	case len(bytes.TrimSpace(rest)) != 0:
		return nil, errors.New("there is more than one PEM block")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("not PKCS#8: %w", err)
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("the key is a %T, want Ed25519", key)
	}
	return private, nil
}

// A Keyring is the key that signs and all keys that verify. It is immutable:
// rotating a key means building another Keyring, and an Issuer and a Verifier
// on it.
type Keyring struct {
	active   *Key
	byHeader map[string]*Key
	ordered  []*Key // active first
}

// NewKeyring returns a keyring that signs with active, and verifies with active
// and the others: keys that signed before, and keys that will sign next and are
// published early. They may be of different algorithms.
func NewKeyring(active *Key, others ...*Key) (*Keyring, error) {
	if active == nil || active.sign == nil {
		return nil, errors.New("tokens: the keyring has no key to sign with")
	}
	k := &Keyring{
		active:   active,
		byHeader: make(map[string]*Key, 1+len(others)),
		ordered:  append([]*Key{active}, others...),
	}
	for _, key := range k.ordered {
		if key == nil || key.verify == nil {
			return nil, errors.New("tokens: the keyring was given an empty key")
		}
		if _, ok := k.byHeader[key.header]; ok {
			return nil, fmt.Errorf("tokens: the keyring was given the %v twice", key)
		}
		k.byHeader[key.header] = key
	}
	return k, nil
}

// Active returns the key that signs.
func (k *Keyring) Active() *Key { return k.active }
