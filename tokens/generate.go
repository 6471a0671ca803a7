package tokens

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
)

// GenerateKey makes a new key of the given algorithm. material is what ParseKey
// reads.
func GenerateKey(algorithm string) (_ *Key, material []byte, err error) {
	var private any
	switch algorithm {
	case HS256:
		material = make([]byte, 2*MinSecretBytes)
		_, err = rand.Read(material)
	case EdDSA:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	case ES256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case RS256:
		private, err = rsa.GenerateKey(rand.Reader, MinRSABits)
	default:
		return nil, nil, unknownAlgorithm(algorithm)
	}
	if err == nil && private != nil {
		var der []byte
		der, err = x509.MarshalPKCS8PrivateKey(private)
		material = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	}
	if err != nil {
		return nil, nil, fmt.Errorf("tokens: generate %s key: %w", algorithm, err)
	}
	key, err := ParseKey(algorithm, material)
	return key, material, err
}
