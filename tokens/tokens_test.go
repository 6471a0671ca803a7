package tokens

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sessiongate/sessiongate/session"
)

const (
	testIssuer   = "https://login.example.com"
	testAudience = "https://api.example.com"
)

// born is the moment at which the tests' tokens were issued.
var born = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// The tests' keys, the same in every run.
var (
	testSecret  = []byte("0123456789abcdef0123456789abcdef")
	testPrivate = ed25519.NewKeyFromSeed([]byte("fedcba9876543210fedcba9876543210"))
	testES256   = must(parsePKCS8(must(os.ReadFile("testdata/es256.pem")))).(*ecdsa.PrivateKey)
	testRS256   = must(parsePKCS8(must(os.ReadFile("testdata/rs256.pem")))).(*rsa.PrivateKey)

	testKeys = map[string]*Key{
		HS256: must(NewHS256Key(testSecret)),
		EdDSA: must(NewEdDSAKey(testPrivate)),
		ES256: must(NewES256Key(testES256)),
		RS256: must(NewRS256Key(testRS256)),
	}

	// testPublics are the public halves, as golang-jwt wants them.
	testPublics = map[string]crypto.PublicKey{
		EdDSA: testPrivate.Public(), ES256: testES256.Public(), RS256: testRS256.Public(),
	}
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// clock is a settable clock.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func testOptions(c *clock) Options {
	return Options{Issuer: testIssuer, Audience: testAudience, CacheSize: 1024, Now: c.now}
}

func testToken() session.Token {
	return session.Token{
		ID:         "YmFzZTY0dXJsIG9mIDE2IGI",
		SessionID:  "019ca9b0-c800-7abc-8def-0123456789ab",
		UserID:     "user-42",
		ClientID:   "sessiongate",
		Scope:      "openid profile",
		AMR:        []string{"pwd", "otp"},
		Username:   "ana@example.com",
		Roles:      []string{"admin", "billing:read"},
		Generation: 3,
		IssuedAt:   born,
		ExpiresAt:  born.Add(30 * time.Minute),
		AuthTime:   born.Add(-time.Hour),
	}
}

// pair returns an issuer and a verifier on the key, the clock a minute after
// the tokens were born.
func pair(tb testing.TB, key *Key) (*Issuer, *Verifier, *clock) {
	tb.Helper()
	c := &clock{born.Add(time.Minute)}
	ring := must(NewKeyring(key))
	return must(NewIssuer(ring, testOptions(c))), must(NewVerifier(ring, testOptions(c))), c
}

// eachKey runs the test once for every algorithm.
func eachKey(t *testing.T, test func(t *testing.T, key *Key)) {
	t.Helper()
	for alg, key := range testKeys {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			test(t, key)
		})
	}
}

// forge signs any header and payload with the key, as only its holder could.
func forge(tb testing.TB, key *Key, header, payload string) string {
	tb.Helper()
	return forgeSegments(tb, key, encode(header), encode(payload))
}

func forgeSegments(tb testing.TB, key *Key, header, payload string) string {
	tb.Helper()
	signature, err := key.sign(header + "." + payload)
	if err != nil {
		tb.Fatal(err)
	}
	return header + "." + payload + "." + encode(string(signature))
}

func encode(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func decodeSegment(tb testing.TB, s string) string {
	tb.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

// ownHeader is the header of every token that the key signs.
func ownHeader(tb testing.TB, key *Key) string { return decodeSegment(tb, key.header) }

// goodClaims are the claims of testToken, as a foreign library would hold them.
func goodClaims() map[string]any {
	return map[string]any{
		"iss": testIssuer, "sub": "user-42", "aud": testAudience,
		"exp": born.Add(30 * time.Minute).Unix(), "iat": born.Unix(),
		"jti": "YmFzZTY0dXJsIG9mIDE2IGI", "sid": "019ca9b0-c800-7abc-8def-0123456789ab",
		"client_id": "sessiongate", "scope": "openid profile", "gen": 3,
		"auth_time": born.Add(-time.Hour).Unix(), "amr": []string{"pwd", "otp"},
		"preferred_username": "ana@example.com", "roles": []string{"admin", "billing:read"},
	}
}

// with returns the good claims with some replaced.
func with(changes map[string]any) map[string]any {
	c := goodClaims()
	maps.Copy(c, changes)
	return c
}

func toJSON(tb testing.TB, v any) string {
	tb.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

// wantInvalid fails unless raw is refused as session.ErrInvalidToken, with no
// Token, and for a reason that quotes nothing.
func wantInvalid(tb testing.TB, v *Verifier, raw string) {
	tb.Helper()
	token, err := v.Verify(raw)
	if !errors.Is(err, session.ErrInvalidToken) || errors.Is(err, session.ErrTokenExpired) {
		tb.Errorf("error is %v, want ErrInvalidToken", err)
		return
	}
	if token.UserID != "" || token.ID != "" {
		tb.Errorf("a refused token was returned: %+v", token)
	}
	if len(err.Error()) > 120 || strings.ContainsAny(err.Error(), "\r\n\x00") {
		tb.Errorf("the reason is not fit for a log: %q", err)
	}
	for part := range strings.SplitSeq(raw, ".") {
		if len(part) > 12 && strings.Contains(err.Error(), part) {
			tb.Errorf("the reason quotes the token: %q", err)
		}
	}
}

// accepted says why golang-jwt's own parser refuses a token of one of testKeys.
func accepted(key *Key, raw string, at time.Time) error {
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{key.Algorithm()}), jwt.WithStrictDecoding(),
		jwt.WithIssuer(testIssuer), jwt.WithAudience(testAudience), jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(), jwt.WithTimeFunc(func() time.Time { return at }),
	)
	_, err := parser.Parse(raw, func(*jwt.Token) (any, error) {
		if key.Algorithm() == HS256 {
			return testSecret, nil
		}
		return testPublics[key.Algorithm()], nil
	})
	return err
}

func pemOf(tb testing.TB, kind string, der []byte, err error) []byte {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func pkcs8(tb testing.TB, key any) []byte {
	tb.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pemOf(tb, "PRIVATE KEY", der, err)
}

// spki returns the public key as DER (RFC 5280 §4.1.2.7).
func spki(tb testing.TB, public any) []byte {
	tb.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		tb.Fatal(err)
	}
	return der
}
