package sessiongate

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// signer is a key pair of the test's own.
type signer struct {
	kid, alg string
	key      crypto.Signer
}

func (s signer) jwk() map[string]string {
	j := map[string]string{"kid": s.kid, "use": "sig", "alg": s.alg}
	text := func(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
	switch k := s.key.Public().(type) {
	case ed25519.PublicKey:
		maps.Copy(j, map[string]string{"kty": "OKP", "crv": "Ed25519", "x": text(k)})
	case *ecdsa.PublicKey:
		x, y := make([]byte, 32), make([]byte, 32)
		maps.Copy(j, map[string]string{"kty": "EC", "crv": "P-256", "x": text(k.X.FillBytes(x)), "y": text(k.Y.FillBytes(y))})
	case *rsa.PublicKey:
		maps.Copy(j, map[string]string{"kty": "RSA", "n": text(k.N.Bytes()), "e": text(big.NewInt(int64(k.E)).Bytes())})
	}
	return j
}

func (s signer) sign(t *testing.T, header, claims map[string]any) string {
	t.Helper()
	h := map[string]any{"alg": s.alg, "kid": s.kid, "typ": "at+jwt"}
	maps.Copy(h, header)
	signed := segmentOf(t, h) + "." + segmentOf(t, claims)
	var sig []byte
	var err error
	sum := sha256.Sum256([]byte(signed))
	switch k := s.key.(type) {
	case ed25519.PrivateKey:
		sig = ed25519.Sign(k, []byte(signed))
	case *ecdsa.PrivateKey:
		var r, v *big.Int
		r, v, err = ecdsa.Sign(rand.Reader, k, sum[:])
		sig = append(r.FillBytes(make([]byte, 32)), v.FillBytes(make([]byte, 32))...)
	case *rsa.PrivateKey:
		sig, err = rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, sum[:])
	}
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func segmentOf(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func newSigners(t *testing.T) (ed, ec, rs signer) {
	t.Helper()
	_, edKey, err1 := ed25519.GenerateKey(rand.Reader)
	ecKey, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	rsKey, err3 := rsa.GenerateKey(rand.Reader, 2048)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	return signer{"ed", "EdDSA", edKey}, signer{"ec", "ES256", ecKey}, signer{"rs", "RS256", rsKey}
}

// keyServer publishes keys.
type keyServer struct {
	*httptest.Server
	mu      sync.Mutex
	keys    []map[string]string
	down    bool
	fetched int
}

func newKeyServer(t *testing.T, keys ...signer) *keyServer {
	t.Helper()
	s := &keyServer{}
	s.publish(keys...)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.fetched++
		if s.down {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": s.keys})
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *keyServer) publish(keys ...signer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = nil
	for _, k := range keys {
		s.keys = append(s.keys, k.jwk())
	}
}

func (s *keyServer) fail(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

func (s *keyServer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fetched
}

func (s *keyServer) local(t *testing.T, now func() time.Time) *Local {
	t.Helper()
	l, err := NewLocal(LocalOptions{BaseURL: s.URL, Issuer: "https://i", Audience: "api", Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func goodClaims(now time.Time) map[string]any {
	return map[string]any{
		"iss": "https://i", "aud": "api", "sub": "42", "sid": "s1", "jti": "j", "scope": "read", "client_id": "app",
		"iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "roles": []string{"admin"}, "preferred_username": "ana",
	}
}

func with(claims map[string]any, name string, value any) map[string]any {
	c := maps.Clone(claims)
	if c[name] = value; value == nil {
		delete(c, name)
	}
	return c
}

func TestLocal(t *testing.T) {
	t.Parallel()
	ed, ec, rs := newSigners(t)
	server := newKeyServer(t, ed, ec, rs)
	now := time.Now()
	local := server.local(t, nil)
	claims := goodClaims(now)

	t.Run("accepts", func(t *testing.T) {
		t.Parallel()
		for name, token := range map[string]string{
			"EdDSA":              ed.sign(t, nil, claims),
			"ES256":              ec.sign(t, nil, claims),
			"RS256":              rs.sign(t, nil, claims),
			"one of several aud": ed.sign(t, nil, with(claims, "aud", []string{"other", "api"})),
			"the long typ":       ed.sign(t, map[string]any{"typ": "application/at+jwt"}, claims),
			"within the leeway":  ed.sign(t, nil, with(claims, "exp", now.Add(-2*time.Second).Unix())),
		} {
			s, err := local.Verify(t.Context(), token)
			if err != nil || s.ID != "s1" || s.Subject != "42" || s.Username != "ana" || !s.HasScopes("read") || !s.HasRoles("admin") {
				t.Errorf("%s: %+v, %v", name, s, err)
			}
		}
	})
	t.Run("refuses", func(t *testing.T) {
		t.Parallel()
		_, stranger, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		mac := hmac.New(sha256.New, ed.key.Public().(ed25519.PublicKey))
		confused := segmentOf(t, map[string]any{"alg": "HS256", "kid": "ed", "typ": "at+jwt"}) + "." + segmentOf(t, claims)
		mac.Write([]byte(confused))
		for name, token := range map[string]string{
			"not a JWT":               "abc",
			"alg none":                segmentOf(t, map[string]any{"alg": "none", "kid": "ed", "typ": "at+jwt"}) + "." + segmentOf(t, claims) + ".",
			"the public key as HMAC":  confused + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)),
			"another's signature":     signer{"ed", "EdDSA", stranger}.sign(t, nil, claims),
			"another algorithm's kid": ed.sign(t, map[string]any{"kid": "ec"}, claims),
			"another alg's name":      ed.sign(t, map[string]any{"alg": "ES256"}, claims),
			"an unknown kid":          ed.sign(t, map[string]any{"kid": "x"}, claims),
			"crit":                    ed.sign(t, map[string]any{"crit": []string{"b64"}}, claims),
			"an id token's typ":       ed.sign(t, map[string]any{"typ": "JWT"}, claims),
			"another issuer":          ed.sign(t, nil, with(claims, "iss", "https://i/")),
			"another audience":        ed.sign(t, nil, with(claims, "aud", "apis")),
			"no subject":              ed.sign(t, nil, with(claims, "sub", nil)),
			"no sid":                  ed.sign(t, nil, with(claims, "sid", nil)),
			"no exp":                  ed.sign(t, nil, with(claims, "exp", nil)),
			"expired":                 ed.sign(t, nil, with(claims, "exp", now.Add(-time.Minute).Unix())),
			"from the future":         ed.sign(t, nil, with(claims, "iat", now.Add(time.Minute).Unix())),
			"not yet":                 ed.sign(t, nil, with(claims, "nbf", now.Add(time.Minute).Unix())),
			"claims of other types":   ed.sign(t, nil, with(claims, "exp", "soon")),
			"four segments":           ed.sign(t, nil, claims) + ".x",
		} {
			if s, err := local.Verify(t.Context(), token); !errors.Is(err, ErrInactive) {
				t.Errorf("%s: %+v, %v", name, s, err)
			}
		}
	})
}

func TestKeysAreReadAgain(t *testing.T) {
	t.Parallel()
	ed, ec, _ := newSigners(t)

	t.Run("a new key is found at once", func(t *testing.T) {
		t.Parallel()
		c := newClock()
		server := newKeyServer(t, ed)
		local := server.local(t, c.now)
		verify(t, local, ed.sign(t, nil, goodClaims(c.now())), nil)
		server.publish(ed, ec)
		c.advance(keysPause)
		verify(t, local, ec.sign(t, nil, goodClaims(c.now())), nil)
	})
	t.Run("unknown kids don't flood the gateway", func(t *testing.T) {
		t.Parallel()
		c := newClock()
		server := newKeyServer(t, ed)
		local := server.local(t, c.now)
		for i := range 100 {
			verify(t, local, ed.sign(t, map[string]any{"kid": fmt.Sprint(i)}, goodClaims(c.now())), ErrInactive)
		}
		if server.count() != 1 {
			t.Errorf("%d requests, want 1", server.count())
		}
	})
	t.Run("a withdrawn key is forgotten", func(t *testing.T) {
		t.Parallel()
		c := newClock()
		server := newKeyServer(t, ed, ec)
		local := server.local(t, c.now)
		token := ed.sign(t, nil, with(goodClaims(c.now()), "exp", c.now().Add(2*time.Hour).Unix()))
		verify(t, local, token, nil)
		server.publish(ec)
		c.advance(keysFresh + time.Second)
		eventually(t, "the key is forgotten", func() bool {
			_, err := local.Verify(t.Context(), token)
			return errors.Is(err, ErrInactive)
		})
	})
	t.Run("an outage is bridged for an hour, and then doubt", func(t *testing.T) {
		t.Parallel()
		c := newClock()
		server := newKeyServer(t, ed)
		local := server.local(t, c.now)
		token := ed.sign(t, nil, with(goodClaims(c.now()), "exp", c.now().Add(3*time.Hour).Unix()))
		verify(t, local, token, nil)
		server.fail(true)
		c.advance(keysUsable - time.Second)
		verify(t, local, token, nil)
		eventually(t, "the try is over", func() bool { return server.count() == 2 })
		c.advance(10 * time.Second)
		if _, err := local.Verify(t.Context(), token); err == nil || errors.Is(err, ErrInactive) {
			t.Errorf("verify: %v, want doubt", err)
		}
		server.fail(false)
		c.advance(keysPause)
		verify(t, local, token, nil)
	})
}

func TestKeysThatAreNone(t *testing.T) {
	t.Parallel()
	for name, j := range map[string]jwk{
		"for encryption":  {Type: "OKP", Curve: "Ed25519", Use: "enc", X: base64.RawURLEncoding.EncodeToString(make([]byte, 32))},
		"a short Ed25519": {Type: "OKP", Curve: "Ed25519", X: "AAAA"},
		"off the curve": {
			Type: "EC", Curve: "P-256",
			X: base64.RawURLEncoding.EncodeToString(make([]byte, 32)), Y: base64.RawURLEncoding.EncodeToString(make([]byte, 32)),
		},
		"a short RSA":     {Type: "RSA", N: "AQAB", E: "AQAB"},
		"a shared secret": {Type: "oct"},
	} {
		if j.public() != nil {
			t.Errorf("%s is taken for a key", name)
		}
	}
}

func TestNewLocalRefuses(t *testing.T) {
	t.Parallel()
	for _, o := range []LocalOptions{
		{Issuer: "i", Audience: "a"}, {BaseURL: "http://h", Audience: "a"}, {BaseURL: "http://h", Issuer: "i"},
	} {
		if _, err := NewLocal(o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}
