package tokens

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"

	"github.com/golang-jwt/jwt/v5"
)

// The sizes that an RSA key may have: at least what RFC 7518 §3.3 asks for, and
// no more than leaves a token room in a header line.
const (
	MinRSABits = 2048
	MaxRSABits = 4096
)

// newPrivateKey returns the key of an algorithm that has a public half.
func newPrivateKey(algorithm string, private any) (*Key, error) {
	switch key := private.(type) {
	case ed25519.PrivateKey:
		if algorithm == EdDSA {
			return NewEdDSAKey(key)
		}
	case *ecdsa.PrivateKey:
		if algorithm == ES256 {
			return NewES256Key(key)
		}
	case *rsa.PrivateKey:
		if algorithm == RS256 {
			return NewRS256Key(key)
		}
	}
	want := map[string]string{EdDSA: "Ed25519", ES256: "ECDSA on P-256", RS256: "RSA"}[algorithm]
	return nil, fmt.Errorf("tokens: parse %s key: the key is a %T, want %s", algorithm, private, want)
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
	jwk := &JWK{KeyType: "OKP", Use: "sig", Algorithm: EdDSA, Curve: "Ed25519", X: encodeBytes(public)}
	jwk.ID = thumbprint(`{"crv":"Ed25519","kty":"OKP","x":"` + jwk.X + `"}`)
	return newKey(jwk.ID, jwt.SigningMethodEdDSA, private, public, jwk)
}

// NewES256Key returns a key that signs with the given key on P-256 (RFC 7518
// §3.4). Its id is the RFC 7638 thumbprint of the public half.
//
// Every signature differs, so the same Token is another text each time; it says
// the same. Of the two numbers s that fit a signature, only the lower is written
// and taken, or whoever holds a token could make a second text of it.
func NewES256Key(private *ecdsa.PrivateKey) (*Key, error) {
	if private == nil || private.Curve != elliptic.P256() {
		return nil, errors.New("tokens: the ES256 key is on another curve, want P-256")
	}
	point, err := private.PublicKey.Bytes() // 4, x, y; it also checks the point
	if err != nil {
		return nil, fmt.Errorf("tokens: the ES256 key is not valid: %w", err)
	}
	// From the scalar, for the reason given above.
	scalar, err := private.Bytes()
	if err != nil {
		return nil, fmt.Errorf("tokens: the ES256 key is not valid: %w", err)
	}
	if private, err = ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar); err != nil {
		return nil, fmt.Errorf("tokens: the ES256 key is not valid: %w", err)
	}
	if own, err := private.PublicKey.Bytes(); err != nil || !bytes.Equal(own, point) {
		return nil, errors.New("tokens: the public half of the ES256 key does not belong to it")
	}
	jwk := &JWK{
		KeyType: "EC", Use: "sig", Algorithm: ES256, Curve: "P-256",
		X: encodeBytes(point[1:33]), Y: encodeBytes(point[33:]),
	}
	jwk.ID = thumbprint(`{"crv":"P-256","kty":"EC","x":"` + jwk.X + `","y":"` + jwk.Y + `"}`)
	key, err := newKey(jwk.ID, jwt.SigningMethodES256, private, &private.PublicKey, jwk)
	if err != nil {
		return nil, err
	}
	sign, verify := key.sign, key.verify
	key.sign = func(signed string) ([]byte, error) {
		signature, err := sign(signed)
		if err == nil {
			lowerS(signature)
		}
		return signature, err
	}
	key.verify = func(signed string, signature []byte) error {
		if len(signature) == 64 && highS(signature) {
			return errors.New("s is the higher of the two")
		}
		return verify(signed, signature)
	}
	return key, nil
}

var (
	orderP256     = elliptic.P256().Params().N
	halfOrderP256 = new(big.Int).Rsh(orderP256, 1)
)

func highS(signature []byte) bool {
	return new(big.Int).SetBytes(signature[32:]).Cmp(halfOrderP256) > 0
}

// lowerS makes of a signature the other one that fits, if that has the lower s.
func lowerS(signature []byte) {
	if highS(signature) {
		s := new(big.Int).SetBytes(signature[32:])
		s.Sub(orderP256, s).FillBytes(signature[32:])
	}
}

// NewRS256Key returns a key that signs with the given RSA key (RFC 7518 §3.3).
// Its id is the RFC 7638 thumbprint of the public half.
func NewRS256Key(private *rsa.PrivateKey) (*Key, error) {
	if private == nil || private.N == nil {
		return nil, errors.New("tokens: there is no RS256 key")
	}
	if bits := private.N.BitLen(); bits < MinRSABits || bits > MaxRSABits {
		return nil, fmt.Errorf("tokens: the RS256 key has %d bits, want %d to %d", bits, MinRSABits, MaxRSABits)
	}
	if err := private.Validate(); err != nil {
		return nil, fmt.Errorf("tokens: the RS256 key is not valid: %w", err)
	}
	if private.E < 65537 {
		return nil, fmt.Errorf("tokens: the RS256 key has the exponent %d, want at least 65537", private.E)
	}
	jwk := &JWK{
		KeyType: "RSA", Use: "sig", Algorithm: RS256,
		N: encodeBytes(private.N.Bytes()), E: encodeBytes(big.NewInt(int64(private.E)).Bytes()),
	}
	jwk.ID = thumbprint(`{"e":"` + jwk.E + `","kty":"RSA","n":"` + jwk.N + `"}`)
	return newKey(jwk.ID, jwt.SigningMethodRS256, private, &private.PublicKey, jwk)
}

func encodeBytes(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// thumbprint returns the RFC 7638 §3 thumbprint of a JWK that is already in its
// canonical form.
func thumbprint(canonical string) string {
	sum := sha256.Sum256([]byte(canonical))
	return encodeBytes(sum[:])
}

func parsePKCS8(material []byte) (any, error) {
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
	return key, nil
}
