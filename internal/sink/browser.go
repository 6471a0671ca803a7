package sink

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math/big"
	"strings"
)

// A Browser has a push subscription, and the keys to read what comes. It is
// written after RFC 8291 and RFC 8188, and shares no code with who sends.
type Browser struct {
	key  *ecdh.PrivateKey
	auth []byte
}

// NewBrowser makes its keys.
func NewBrowser() (*Browser, error) {
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	b := &Browser{key: key, auth: make([]byte, 16)}
	_, _ = rand.Read(b.auth) // never fails
	return b, err
}

var b64 = base64.RawURLEncoding

// Subscription is what JavaScript's PushSubscription.toJSON gives.
func (b *Browser) Subscription(endpoint string) map[string]any {
	return map[string]any{
		"endpoint": endpoint, "expirationTime": nil,
		"keys": map[string]any{"p256dh": b64.EncodeToString(b.key.PublicKey().Bytes()), "auth": b64.EncodeToString(b.auth)},
	}
}

// Read decrypts a message (RFC 8291 §3.4, RFC 8188 §2.1).
func (b *Browser) Read(body []byte) ([]byte, error) {
	if len(body) < 21 || len(body) < 21+int(body[20]) {
		return nil, errFormat
	}
	salt, size, id := body[:16], binary.BigEndian.Uint32(body[16:20]), body[21:21+int(body[20])]
	record := body[21+len(id):]
	sender, err := ecdh.P256().NewPublicKey(id)
	if err != nil || len(record) > int(size) {
		return nil, errFormat
	}
	shared, err := b.key.ECDH(sender)
	if err != nil {
		return nil, err
	}
	info := "WebPush: info\x00" + string(b.key.PublicKey().Bytes()) + string(id)
	input, err := hkdf.Key(sha256.New, shared, b.auth, info, 32)
	if err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, input, salt, "Content-Encoding: aes128gcm\x00", 16)
	if err != nil {
		return nil, err
	}
	nonce, err := hkdf.Key(sha256.New, input, salt, "Content-Encoding: nonce\x00", 12)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	padded, err := gcm.Open(nil, nonce, record, nil)
	if err != nil {
		return nil, err
	}
	text := strings.TrimRight(string(padded), "\x00")
	if !strings.HasSuffix(text, "\x02") { // the delimiter of the last record
		return nil, errFormat
	}
	return []byte(strings.TrimSuffix(text, "\x02")), nil
}

// VAPID checks who sent a message (RFC 8292 §2 and §3) and returns the claims.
func VAPID(authorization string) (key string, claims map[string]any, err error) {
	rest, ok := strings.CutPrefix(authorization, "vapid ")
	token, key, both := strings.Cut(rest, ", k=")
	token, isToken := strings.CutPrefix(token, "t=")
	parts := strings.Split(token, ".")
	if !ok || !both || !isToken || len(parts) != 3 {
		return "", nil, errFormat
	}
	point, errKey := b64.DecodeString(key)
	signature, errSignature := b64.DecodeString(parts[2])
	payload, errPayload := b64.DecodeString(parts[1])
	if errKey != nil || errSignature != nil || errPayload != nil || len(signature) != 64 {
		return "", nil, errFormat
	}
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return "", nil, err
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
	if !ecdsa.Verify(public, digest[:], r, s) {
		return "", nil, errFormat
	}
	return key, claims, json.Unmarshal(payload, &claims)
}
