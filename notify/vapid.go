package notify

import (
	"crypto/ecdh"
	"encoding/base64"
	"errors"
)

// VAPIDPublicKey returns what browsers subscribe with (applicationServerKey) for a
// private key: 32 bytes in base64url.
func VAPIDPublicKey(private string) (string, error) {
	raw, err := base64.RawURLEncoding.DecodeString(private)
	if err != nil {
		return "", errors.New("notify: the VAPID key is not base64url")
	}
	key, err := ecdh.P256().NewPrivateKey(raw)
	if err != nil {
		return "", errors.New("notify: the VAPID key is not a P-256 private key")
	}
	return base64.RawURLEncoding.EncodeToString(key.PublicKey().Bytes()), nil
}
