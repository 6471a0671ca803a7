package tokens

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
)

// A Sealer keeps secrets for others to store. It has the shape of a key
// management service (Encrypt and Decrypt with an encryption context), so that
// one can take the place of AESSealer.
type Sealer interface {
	// Seal returns the plaintext in a form that only Open can read, and only
	// together with the same additional data.
	Seal(ctx context.Context, plaintext, additional []byte) (sealed []byte, err error)
	// Open returns ErrSealed where sealed was made with another key, for other
	// additional data, or is damaged; which of them, nobody can tell.
	Open(ctx context.Context, sealed, additional []byte) (plaintext []byte, err error)
}

// ErrSealed says that what is sealed can't be opened with this sealing key.
var ErrSealed = errors.New("the sealing key does not fit: it is not the one that this was sealed with, or the data has been changed")

// AESSealer seals with AES-256-GCM under a key that it derives from a secret of
// the configuration.
type AESSealer struct{ aead cipher.AEAD }

// sealVersion is the first byte of everything sealed.
const sealVersion = 1

// NewAESSealer returns a sealer for a secret of at least MinSecretBytes random
// bytes.
func NewAESSealer(secret []byte) (*AESSealer, error) {
	if len(secret) < MinSecretBytes {
		return nil, fmt.Errorf("tokens: the sealing key has %d bytes, want at least %d random ones", len(secret), MinSecretBytes)
	}
	key, err := hkdf.Key(sha256.New, secret, nil, "sessiongate sealing key", 32)
	if err != nil {
		return nil, fmt.Errorf("tokens: derive sealing key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("tokens: sealing key: %w", err)
	}
	// A random nonce of 96 bits is good for 2^32 keys; there is one a month.
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("tokens: sealing key: %w", err)
	}
	return &AESSealer{aead: aead}, nil
}

// Seal needs no context: it asks nobody.
func (s *AESSealer) Seal(_ context.Context, plaintext, additional []byte) ([]byte, error) {
	sealed := make([]byte, 1+s.aead.NonceSize(), 1+s.aead.NonceSize()+len(plaintext)+s.aead.Overhead())
	sealed[0] = sealVersion
	if _, err := rand.Read(sealed[1:]); err != nil {
		return nil, fmt.Errorf("tokens: seal: %w", err)
	}
	return s.aead.Seal(sealed, sealed[1:], plaintext, additional), nil
}

// Open needs no context: it asks nobody.
func (s *AESSealer) Open(_ context.Context, sealed, additional []byte) ([]byte, error) {
	head := 1 + s.aead.NonceSize()
	if len(sealed) < head || sealed[0] != sealVersion {
		return nil, ErrSealed
	}
	plaintext, err := s.aead.Open(nil, sealed[1:head], sealed[head:], additional)
	if err != nil {
		return nil, ErrSealed
	}
	return plaintext, nil
}

// String keeps the key from being printed.
func (*AESSealer) String() string { return "AES-256-GCM sealer" }

// GoString keeps the key from being printed with %#v.
func (s *AESSealer) GoString() string { return s.String() }
