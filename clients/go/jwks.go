package sessiongate

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"sync"
	"time"
)

// keySet is the gateway's public keys (RFC 7517), fetched when they are needed.
type keySet struct {
	url    string
	client *http.Client
	now    func() time.Time
	wait   time.Duration // for one fetch

	mu       sync.Mutex
	keys     map[string]publicKey
	fetched  time.Time     // when keys were last read; zero: never
	tried    time.Time     // when that was last tried
	err      error         // of the last try
	fetching chan struct{} // closed when the try that is under way is over
}

const (
	keysFresh  = 10 * time.Minute // then they are read again
	keysUsable = time.Hour        // without an answer; a key that was withdrawn is believed no longer than this
	keysPause  = 5 * time.Second  // between two tries, whatever strangers put into a kid
)

// find returns the key by that id, or nil if there is none. The error says that
// the keys could not be read. Only a kid that is not known waits for them: keys
// that have become old are read again meanwhile.
func (k *keySet) find(ctx context.Context, kid string) (publicKey, error) {
	key, known, flight := k.look(kid)
	if known {
		return key, nil
	}
	if flight != nil {
		select {
		case <-flight:
		case <-ctx.Done():
			return nil, fmt.Errorf("sessiongate: read the gateway's keys: %w", context.Cause(ctx))
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	key, known = k.keys[kid]
	if !k.usable() || k.err != nil && !known { // it may be the newest
		return nil, fmt.Errorf("sessiongate: read the gateway's keys: %w", k.err)
	}
	return key, nil
}

// look returns the key if it may be used as it is, and begins to read the keys
// where that is due.
func (k *keySet) look(kid string) (_ publicKey, known bool, flight <-chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	key, known := k.keys[kid]
	due := k.tried.IsZero() || now.Sub(k.tried) >= keysPause
	if due && k.fetching == nil && (!known || now.Sub(k.fetched) > keysFresh) {
		k.tried, k.fetching = now, make(chan struct{})
		go k.refresh(k.fetching)
	}
	return key, known && k.usable(), k.fetching
}

// usable says whether the keys were read recently enough to be believed.
func (k *keySet) usable() bool { return !k.fetched.IsZero() && k.now().Sub(k.fetched) <= keysUsable }

func (k *keySet) refresh(done chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), k.wait)
	defer cancel()
	keys, err := k.fetch(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err == nil {
		k.keys, k.fetched = keys, k.now()
	}
	k.err, k.fetching = err, nil
	close(done)
}

func (k *keySet) fetch(ctx context.Context) (map[string]publicKey, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url, nil)
	if err != nil {
		return nil, err
	}
	res, err := k.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, readError(res)
	}
	var set struct{ Keys []jwk }
	if err := json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(&set); err != nil {
		return nil, err
	}
	keys := make(map[string]publicKey, len(set.Keys))
	for _, j := range set.Keys {
		if key := j.public(); key != nil && j.ID != "" {
			keys[j.ID] = key
		}
	}
	return keys, nil
}

// publicKey checks signatures of the one algorithm that it is for.
type publicKey interface {
	algorithm() string
	verify(signed, signature []byte) bool
}

type jwk struct {
	ID    string `json:"kid"`
	Type  string `json:"kty"`
	Use   string `json:"use"`
	Curve string `json:"crv"`
	X     string `json:"x"`
	Y     string `json:"y"`
	N     string `json:"n"`
	E     string `json:"e"`
}

// public returns the key, or nil for one that is not for signatures, or not of a
// kind that gateways sign with.
func (j *jwk) public() publicKey {
	if j.Use != "" && j.Use != "sig" {
		return nil
	}
	switch {
	case j.Type == "OKP" && j.Curve == "Ed25519":
		if x := decode64(j.X); len(x) == ed25519.PublicKeySize {
			return edKey(x)
		}
	case j.Type == "EC" && j.Curve == "P-256":
		x, y := decode64(j.X), decode64(j.Y)
		if len(x) != 32 || len(y) != 32 {
			return nil
		}
		key := &ecdsa.PublicKey{Curve: elliptic.P256(), X: new(big.Int).SetBytes(x), Y: new(big.Int).SetBytes(y)}
		if _, err := key.ECDH(); err == nil { // it is on the curve
			return (*ecKey)(key)
		}
	case j.Type == "RSA":
		n, e := new(big.Int).SetBytes(decode64(j.N)), new(big.Int).SetBytes(decode64(j.E))
		if n.BitLen() >= 2048 && n.BitLen() <= 8192 && e.IsInt64() && e.Int64() > 1 && e.Int64() < 1<<31 {
			return (*rsaKey)(&rsa.PublicKey{N: n, E: int(e.Int64())})
		}
	}
	return nil
}

func decode64(s string) []byte {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil
	}
	return b
}

type edKey ed25519.PublicKey

func (edKey) algorithm() string { return "EdDSA" }
func (k edKey) verify(signed, signature []byte) bool {
	return ed25519.Verify(ed25519.PublicKey(k), signed, signature)
}

type ecKey ecdsa.PublicKey

func (*ecKey) algorithm() string { return "ES256" }
func (k *ecKey) verify(signed, signature []byte) bool {
	if len(signature) != 64 { // RFC 7518 §3.4
		return false
	}
	sum := sha256.Sum256(signed)
	r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
	return ecdsa.Verify((*ecdsa.PublicKey)(k), sum[:], r, s)
}

type rsaKey rsa.PublicKey

func (*rsaKey) algorithm() string { return "RS256" }
func (k *rsaKey) verify(signed, signature []byte) bool {
	sum := sha256.Sum256(signed)
	return rsa.VerifyPKCS1v15((*rsa.PublicKey)(k), crypto.SHA256, sum[:], signature) == nil
}
