package tokens

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/asn1"
	"errors"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
	"pgregory.net/rapid"

	"github.com/sessiongate/sessiongate/session"
)

// The bytes of a token are a contract between gateways of one deployment: they
// hand out the same successor. This one must not change within a major version.
func TestSignIsStable(t *testing.T) {
	t.Parallel()
	const wantPayload = `{"iss":"https://login.example.com","sub":"user-42","aud":"https://api.example.com",` +
		`"exp":1772368200,"iat":1772366400,"jti":"YmFzZTY0dXJsIG9mIDE2IGI",` +
		`"sid":"019ca9b0-c800-7abc-8def-0123456789ab","client_id":"sessiongate","scope":"openid profile",` +
		`"auth_time":1772362800,"gen":3,"amr":["pwd","otp"],"preferred_username":"ana@example.com","roles":["admin","billing:read"]}`
	eachKey(t, func(t *testing.T, key *Key) {
		issuer, _, _ := pair(t, key)
		raw := must(issuer.Sign(testToken()))
		wantHeader := `{"alg":"` + key.Algorithm() + `","kid":"` + key.ID() + `","typ":"at+jwt"}`
		header, rest, _ := strings.Cut(raw, ".")
		payload, _, _ := strings.Cut(rest, ".")
		if got := decodeSegment(t, header); got != wantHeader {
			t.Errorf("header is\n%s, want\n%s", got, wantHeader)
		}
		if got := decodeSegment(t, payload); got != wantPayload {
			t.Errorf("payload is\n%s, want\n%s", got, wantPayload)
		}

		other, _, _ := pair(t, key)
		for range 3 {
			again := must(other.Sign(testToken()))
			if key.Algorithm() == ES256 { // no two signatures are alike; the claims are
				dot := strings.LastIndexByte(raw, '.')
				again = again[:dot] + raw[dot:]
			}
			if again != raw {
				t.Fatalf("signed again it is\n%s, want\n%s", again, raw)
			}
		}
	})
}

func TestSignLeavesOutWhatIsEmpty(t *testing.T) {
	t.Parallel()
	issuer, verifier, _ := pair(t, testKeys[HS256])
	token := testToken()
	token.Scope, token.AMR, token.AuthTime, token.Generation = "", nil, time.Time{}, 0
	token.Username, token.Roles = "", nil
	raw := must(issuer.Sign(token))
	payload := decodeSegment(t, strings.Split(raw, ".")[1])
	for _, name := range []string{"scope", "amr", "auth_time", "preferred_username", "roles"} {
		if strings.Contains(payload, `"`+name+`"`) {
			t.Errorf("%s is there: %s", name, payload)
		}
	}
	if got, err := verifier.Verify(raw); err != nil || !reflect.DeepEqual(got, token) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestSignRefusesWhatVerifyWould(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(*session.Token)
	}{
		{"no jti", func(t *session.Token) { t.ID = "" }},
		{"no sid", func(t *session.Token) { t.SessionID = "" }},
		{"a sid in upper case", func(t *session.Token) { t.SessionID = "019CA9B0-C800-7ABC-8DEF-0123456789AB" }},
		{"no sub", func(t *session.Token) { t.UserID = "" }},
		{"a sub that is not UTF-8", func(t *session.Token) { t.UserID = "\xff" }},
		{"a sub with a control character", func(t *session.Token) { t.UserID = "a\x00b" }},
		{"no client", func(t *session.Token) { t.ClientID = "" }},
		{"a client that is not UTF-8", func(t *session.Token) { t.ClientID = "\xff" }},
		{"a scope that is not UTF-8", func(t *session.Token) { t.Scope = "\xff" }},
		{"an amr that is not UTF-8", func(t *session.Token) { t.AMR = []string{"\xff"} }},
		{"a username with a line break", func(t *session.Token) { t.Username = "a\nb" }},
		{"a username that is not UTF-8", func(t *session.Token) { t.Username = "\xff" }},
		{"a role with a comma", func(t *session.Token) { t.Roles = []string{"user,admin"} }},
		{"an empty amr value", func(t *session.Token) { t.AMR = []string{""} }},
		{"a negative generation", func(t *session.Token) { t.Generation = -1 }},
		{"no exp", func(t *session.Token) { t.ExpiresAt = time.Time{} }},
		{"no iat", func(t *session.Token) { t.IssuedAt = time.Time{} }},
		{"an exp after the year 9999", func(t *session.Token) { t.ExpiresAt = time.Unix(maxTime+1, 0) }},
		{"an auth_time before 1970", func(t *session.Token) { t.AuthTime = time.Unix(-1, 0) }},
		{"a scope that makes it too long", func(t *session.Token) { t.Scope = strings.Repeat("s", MaxBytes) }},
	}
	issuer, _, _ := pair(t, testKeys[HS256])
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			token := testToken()
			tt.change(&token)
			if raw, err := issuer.Sign(token); err == nil {
				t.Errorf("signed as %s", raw)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	ring := must(NewKeyring(testKeys[HS256]))
	good := Options{Issuer: testIssuer, Audience: testAudience}
	tests := []struct {
		name    string
		change  func(*Options)
		wantErr string
	}{
		{"the least", func(*Options) {}, ""},
		{"no issuer", func(o *Options) { o.Issuer = "" }, "issuer"},
		{"an issuer that is not UTF-8", func(o *Options) { o.Issuer = "\xff" }, "issuer"},
		{"no audience", func(o *Options) { o.Audience = "" }, "audience"},
		{"a negative leeway", func(o *Options) { o.Leeway = -1 }, "leeway"},
		{"a negative cache size", func(o *Options) { o.CacheSize = -1 }, "cache size"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := good
			tt.change(&o)
			_, issuerErr := NewIssuer(ring, o)
			_, verifierErr := NewVerifier(ring, o)
			for _, err := range []error{issuerErr, verifierErr} {
				if tt.wantErr == "" && err != nil {
					t.Error(err)
				}
				if tt.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tt.wantErr)) {
					t.Errorf("error is %v, want one with %q", err, tt.wantErr)
				}
			}
		})
	}
}

// Whatever Sign takes comes back from Verify as it went in, and golang-jwt's
// parser agrees that it is valid.
func TestSignThenVerify(t *testing.T) {
	t.Parallel()
	eachKey(t, func(t *testing.T, key *Key) {
		issuer, verifier, c := pair(t, key)
		rapid.Check(t, func(t *rapid.T) {
			token := drawToken(t, c.t)
			raw, err := issuer.Sign(token)
			if err != nil {
				if len(token.UserID)+len(token.ClientID)+len(token.Scope) < 400 {
					t.Fatal(err)
				}
				return
			}
			for _, try := range []string{"first", "cached"} {
				got, err := verifier.Verify(raw)
				if err != nil {
					t.Fatalf("%s: %v", try, err)
				}
				if !reflect.DeepEqual(got, token) {
					t.Fatalf("%s: got\n%+v, want\n%+v", try, got, token)
				}
			}
			if err := accepted(key, raw, c.t); err != nil {
				t.Fatalf("golang-jwt refuses it: %v", err)
			}
		})
	})
}

func drawToken(t *rapid.T, now time.Time) session.Token {
	text := rapid.StringN(1, 80, 400).Filter(utf8.ValidString)
	seconds := func(label string, from, to time.Time) time.Time {
		return time.Unix(rapid.Int64Range(from.Unix(), to.Unix()).Draw(t, label), 0).UTC()
	}
	token := session.Token{
		ID:         text.Draw(t, "jti"),
		SessionID:  session.NewID(now),
		UserID:     text.Filter(func(s string) bool { return session.CheckUserID(s) == nil }).Draw(t, "sub"),
		ClientID:   text.Draw(t, "client_id"),
		Scope:      rapid.OneOf(rapid.Just(""), text).Draw(t, "scope"),
		Generation: rapid.Int64Min(0).Draw(t, "gen"),
		IssuedAt:   seconds("iat", time.Unix(1, 0), now),
		ExpiresAt:  seconds("exp", now.Add(time.Second), time.Unix(maxTime, 0)),
	}
	if rapid.Bool().Draw(t, "with auth_time") {
		token.AuthTime = seconds("auth_time", time.Unix(1, 0), now)
	}
	if amr := rapid.SliceOfN(text, 0, 3).Draw(t, "amr"); len(amr) > 0 {
		token.AMR = amr
	}
	if rapid.Bool().Draw(t, "with a name") {
		token.Username = text.Filter(func(s string) bool { return session.CheckUsername(s) == nil }).Draw(t, "preferred_username")
	}
	roles := rapid.SliceOfN(rapid.StringMatching("[a-zA-Z0-9._:/@+-]{1,20}"), 0, 3).Draw(t, "roles")
	if len(roles) > 0 {
		token.Roles = roles
	}
	return token
}

// A resource server that checks signatures itself needs the JWKS and nothing
// else of ours.
func TestForeignVerifierWithJWKS(t *testing.T) {
	t.Parallel()
	eachKey(t, func(t *testing.T, key *Key) {
		if key.Algorithm() != HS256 {
			foreignVerifies(t, key)
		}
	})
}

func foreignVerifies(t *testing.T, key *Key) {
	issuer, _, c := pair(t, key)
	set := issuer.keys.JWKS(c.t)
	raw := must(issuer.Sign(testToken()))
	parsed, err := jwt.NewParser(jwt.WithTimeFunc(c.now)).Parse(raw, func(token *jwt.Token) (any, error) {
		if token.Header["kid"] != set.Keys[0].ID || token.Header["alg"] != set.Keys[0].Algorithm {
			t.Errorf("header is %v", token.Header)
		}
		return publicOf(t, set.Keys[0]), nil
	})
	if err != nil || !parsed.Valid {
		t.Errorf("got %v, %v", parsed, err)
	}
}

// publicOf reads a JWK as a stranger would.
func publicOf(tb testing.TB, k JWK) crypto.PublicKey {
	tb.Helper()
	number := func(s string) *big.Int { return new(big.Int).SetBytes([]byte(decodeSegment(tb, s))) }
	switch k.KeyType {
	case "OKP":
		return ed25519.PublicKey(decodeSegment(tb, k.X))
	case "EC":
		point := "\x04" + decodeSegment(tb, k.X) + decodeSegment(tb, k.Y)
		return must(ecdsa.ParseUncompressedPublicKey(elliptic.P256(), []byte(point)))
	case "RSA":
		return &rsa.PublicKey{N: number(k.N), E: int(number(k.E).Int64())}
	}
	tb.Fatalf("a %s key", k.KeyType)
	return nil
}

// RFC 9701 §5: typ, iss, aud, iat and the answer as a member of its own; and
// nobody takes it for an access token.
func TestSignIntrospection(t *testing.T) {
	t.Parallel()
	eachKey(t, func(t *testing.T, key *Key) {
		issuer, verifier, c := pair(t, key)
		answer := map[string]any{"active": true, "sub": "user-42"}
		raw, err := issuer.SignIntrospection("api gateway", answer, c.t)
		if key.Algorithm() == HS256 {
			if !errors.Is(err, ErrSymmetric) || raw != "" {
				t.Errorf("%q, %v", raw, err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		parts := strings.Split(raw, ".")
		wantHeader := `{"alg":"` + key.Algorithm() + `","kid":"` + key.ID() + `","typ":"token-introspection+jwt"}`
		if got := decodeSegment(t, parts[0]); got != wantHeader {
			t.Errorf("header %s, want %s", got, wantHeader)
		}
		want := `{"iss":"https://login.example.com","aud":"api gateway","iat":1772366460,` +
			`"token_introspection":{"active":true,"sub":"user-42"}}`
		if got := decodeSegment(t, parts[1]); got != want {
			t.Errorf("payload %s, want %s", got, want)
		}
		signature := []byte(decodeSegment(t, parts[2]))
		if err := jwt.GetSigningMethod(key.Algorithm()).Verify(parts[0]+"."+parts[1], signature, testPublics[key.Algorithm()]); err != nil {
			t.Error(err)
		}
		wantInvalid(t, verifier, raw)
		// Nor does one pass that says all that a token says.
		sly, err := key.jws(key.answer, []byte(toJSON(t, goodClaims())))
		if err != nil {
			t.Fatal(err)
		}
		wantInvalid(t, verifier, sly)
		if _, err := issuer.SignIntrospection("", answer, c.t); err == nil {
			t.Error("an answer to nobody was signed")
		}
		if _, err := issuer.SignIntrospection("a", func() {}, c.t); err == nil {
			t.Error("something without a form was signed")
		}
	})
}

// ES256 signs the same token otherwise each time; it says the same, and nobody
// can make a second text of one.
func TestES256(t *testing.T) {
	t.Parallel()
	key := testKeys[ES256]
	issuer, verifier, _ := pair(t, key)
	for range 20 {
		raw := must(issuer.Sign(testToken()))
		got, err := verifier.Verify(raw)
		if err != nil || !reflect.DeepEqual(got, testToken()) {
			t.Fatalf("%+v, %v", got, err)
		}
		dot := strings.LastIndexByte(raw, '.')
		signature := []byte(decodeSegment(t, raw[dot+1:]))
		s := new(big.Int).SetBytes(signature[32:])
		s.Sub(orderP256, s).FillBytes(signature[32:])
		other := raw[:dot+1] + encode(string(signature))
		if err := jwt.SigningMethodES256.Verify(raw[:dot], signature, testPublics[ES256]); err != nil {
			t.Fatalf("not the other signature: %v", err)
		}
		wantInvalid(t, verifier, other)
		der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(signature[:32]), s})
		if err != nil {
			t.Fatal(err)
		}
		wantInvalid(t, verifier, raw[:dot+1]+encode(string(der)))
	}
	zero := must(issuer.Sign(testToken()))
	dot := strings.LastIndexByte(zero, '.')
	wantInvalid(t, verifier, zero[:dot+1]+encode(string(make([]byte, 64)))) // CVE-2022-21449
}
