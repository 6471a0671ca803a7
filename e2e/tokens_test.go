package e2e

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var b64 = base64.RawURLEncoding

// parts reads a token without checking anything.
func parts(t *testing.T, token string) (header, claims object) {
	t.Helper()
	segments := strings.Split(token, ".")
	if len(segments) != 3 {
		t.Fatalf("a token has %d segments, want 3", len(segments))
	}
	for i, v := range []*object{&header, &claims} {
		raw, err := b64.DecodeString(segments[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, v); err != nil {
			t.Fatal(err)
		}
	}
	return header, claims
}

// forge writes a token with these members, signed by sign.
func forge(t *testing.T, header, claims any, sign func(signed string) []byte) string {
	t.Helper()
	segment := func(v any) string {
		if text, ok := v.(string); ok {
			return b64.EncodeToString([]byte(text))
		}
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b64.EncodeToString(b)
	}
	signed := segment(header) + "." + segment(claims)
	return signed + "." + b64.EncodeToString(sign(signed))
}

func hs256(secret []byte) func(string) []byte {
	return func(signed string) []byte {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(signed))
		return mac.Sum(nil)
	}
}

func unsigned(string) []byte { return nil }

// with returns a copy of m with some members changed; nil removes.
func with(m object, changes object) object {
	m = maps.Clone(m)
	for name, v := range changes {
		if v == nil {
			delete(m, name)
		} else {
			m[name] = v
		}
	}
	return m
}

// mangled are tokens that differ from a good one in how they are written.
func mangled(token string) map[string]string {
	header, rest, _ := strings.Cut(token, ".")
	claims, mac, _ := strings.Cut(rest, ".")
	flip := func(s string, i int) string {
		c := byte('A')
		if s[i] == c {
			c = 'B'
		}
		return s[:i] + string(c) + s[i+1:]
	}
	return map[string]string{
		"another header":      flip(header, 5) + "." + claims + "." + mac,
		"other claims":        header + "." + flip(claims, len(claims)/2) + "." + mac,
		"another signature":   header + "." + claims + "." + flip(mac, len(mac)/2),
		"no signature":        header + "." + claims + ".",
		"two segments":        header + "." + claims,
		"four segments":       token + "." + mac,
		"five segments":       token + ".x.y",
		"a cut signature":     token[:len(token)-1],
		"a longer signature":  token + "A",
		"padding":             token + "=",
		"another spelling":    token[:len(token)-1] + string(nextBase64(token[len(token)-1])),
		"dots":                strings.Repeat(".", 4000),
		"oversize":            header + "." + strings.Repeat("A", 8000) + "." + mac,
		"nothing but a dot":   ".",
		"empty header":        "." + claims + "." + mac,
		"percent":             "%65" + token[1:],
		"a space in it":       header + ". " + claims + "." + mac,
		"somebody's own text": "null",
	}
}

// nextBase64 is the character after c in base64url's alphabet: in the last place
// of a signature it stands for the same bytes, or for others.
func nextBase64(c byte) byte {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return alphabet[(strings.IndexByte(alphabet, c)+1)%len(alphabet)]
}

// refuseAll fails the test for each token that is not refused by everybody who
// takes one.
func refuseAll(t *testing.T, g *gateway, tokens map[string]string) {
	t.Helper()
	for name, token := range tokens {
		t.Run(name, func(t *testing.T) {
			calls := []call{statusCall(token), refreshCall(token), logoutCall(token), logoutAllCall(token), get("/sessions/my-sessions", token)}
			for _, c := range calls {
				g.do(t, c).problem(t, http.StatusUnauthorized, "unauthenticated", "invalid")
			}
			g.inactive(t, token)
		})
	}
}

func testForgedHS256(t *testing.T, g *gateway) {
	granted := g.open(t, newID())
	victim := g.open(t, newID())
	token := granted.AccessToken
	header, claims := parts(t, token)
	ours := hs256([]byte(tokensSecret))
	if forge(t, `{"alg":"HS256","kid":"`+header["kid"].(string)+`","typ":"at+jwt"}`, payload(t, token), ours) != token {
		t.Fatal("a token is not signed with the configured secret: the cases below would prove nothing")
	}
	signed := func(changes object) string { return forge(t, header, with(claims, changes), ours) }
	past, future := time.Now().Add(-time.Hour).Unix(), time.Now().Add(time.Hour).Unix()

	tokens := mangled(token)
	for _, alg := range []any{"none", "None", "NONE", "nOnE", "", "HS512", "RS256", "EdDSA", nil, 1} {
		tokens["alg "+jsonText(alg)] = forge(t, with(header, object{"alg": alg}), claims, unsigned)
		tokens["alg "+jsonText(alg)+", signed"] = forge(t, with(header, object{"alg": alg}), claims, ours)
	}
	for _, kid := range []any{"../../dev/null", "' OR 1=1--", strings.Repeat("k", 1000), "a\x00b", nil, 1, []any{}, object{}} {
		tokens["kid "+jsonText(kid)] = forge(t, with(header, object{"kid": kid}), claims, ours)
	}
	maps.Copy(tokens, map[string]string{
		"another secret":    forge(t, header, claims, hs256([]byte(fingerprintKey))),
		"an empty secret":   forge(t, header, claims, hs256(nil)),
		"another type":      forge(t, with(header, object{"typ": "JWT"}), claims, ours),
		"crit":              forge(t, with(header, object{"crit": []string{"b64"}}), claims, ours),
		"jku":               forge(t, with(header, object{"jku": g.url}), claims, ours),
		"iss":               signed(object{"iss": "sessiongate/"}),
		"iss, a list":       signed(object{"iss": []string{"sessiongate"}}),
		"aud":               signed(object{"aud": "another"}),
		"aud, empty":        signed(object{"aud": ""}),
		"exp, a text":       signed(object{"exp": jsonText(future)}),
		"exp, huge":         signed(object{"exp": 1e300}),
		"exp, negative":     signed(object{"exp": -future}),
		"iat in the future": signed(object{"iat": future}),
		"nbf in the future": signed(object{"nbf": future}),
		"sid, malformed":    signed(object{"sid": "*"}),
		"sid, upper case":   signed(object{"sid": strings.ToUpper(granted.Session.ID)}),
		"sub, malformed":    signed(object{"sub": " 42"}),
		"gen, negative":     signed(object{"gen": -1}),
		"gen, a text":       signed(object{"gen": "0"}),
		"two subjects":      forge(t, header, strings.Replace(payload(t, token), "{", `{"sub":"`+victim.Session.UserID+`",`, 1), ours),
		"claims, a list":    forge(t, header, []any{claims}, ours),
		"claims, no JSON":   forge(t, header, "x", ours),
	})
	for _, name := range []string{"iss", "sub", "aud", "exp", "iat", "jti", "sid", "client_id"} {
		tokens["without "+name] = signed(object{name: nil})
	}
	refuseAll(t, g, tokens)

	// Signed by us, but of no session that lives.
	for name, token := range map[string]string{
		"another's session": signed(object{"sub": victim.Session.UserID}),
		"another's name":    signed(object{"sid": victim.Session.ID}),
		"nobody's session":  signed(object{"sid": "019ab1f4-0000-7000-8000-000000000000"}),
	} {
		t.Run(name, func(t *testing.T) { g.over(t, token, "logged_out_or_revoked") })
	}
	g.over(t, signed(object{"exp": past}), "expired")
	g.alive(t, victim.AccessToken)
	g.alive(t, token)
}

func jsonText(v any) string {
	b, _ := json.Marshal(v)
	if len(b) > 20 {
		b = b[:20]
	}
	return string(b)
}

// payload is the text of a token's claims.
func payload(t *testing.T, token string) string {
	t.Helper()
	raw, err := b64.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// TestEdDSA: resource servers can check a token with nothing but the public key
// set, and the key set is of no other use to anybody.
func TestEdDSA(t *testing.T) {
	t.Parallel()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	keyFile := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newStack(t)
	g := s.start(t, "SESSIONGATE_TOKENS_ALGORITHM=EdDSA", "SESSIONGATE_TOKENS_SECRET=",
		"SESSIONGATE_TOKENS_PRIVATE_KEY_FILE="+keyFile, "SESSIONGATE_TOKENS_ISSUER=https://login.example.com")
	granted := g.login(t, s.user(t))
	header, claims := parts(t, granted.AccessToken)
	if header["alg"] != "EdDSA" || header["typ"] != "at+jwt" || claims["iss"] != "https://login.example.com" {
		t.Errorf("header %v, claims %v", header, claims)
	}
	public := publicKey(t, g, header["kid"])
	signed, mac, _ := cutLast(granted.AccessToken, ".")
	signature, err := b64.DecodeString(mac)
	if err != nil {
		t.Fatal(err)
	}
	if !ed25519.Verify(public, []byte(signed), signature) {
		t.Error("the key set does not verify the token")
	}
	if again := g.refresh(t, granted.AccessToken); again.AccessToken != g.refresh(t, granted.AccessToken).AccessToken {
		t.Error("the same successor is another text")
	}
	g.alive(t, granted.AccessToken)
	refuseAll(t, g, forgedEdDSA(t, granted.AccessToken, public))
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// keys fetches the key set (RFC 7517 §5).
func (g *gateway) keys(t *testing.T) []object {
	t.Helper()
	a := g.do(t, call{method: "GET", path: "/.well-known/jwks.json"})
	return decode[struct {
		Keys []object `json:"keys"`
	}](t, a, http.StatusOK).Keys
}

// publicKey wants one key in the set, with this id and public members only, and
// returns it.
func publicKey(t *testing.T, g *gateway, kid any) ed25519.PublicKey {
	t.Helper()
	keys := g.keys(t)
	if len(keys) != 1 {
		t.Fatalf("the key set is %v, want one key", keys)
	}
	key := keys[0]
	want := object{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": kid, "x": key["x"]}
	if !maps.Equal(key, want) {
		t.Errorf("key is %v, want the members of %v and no others", key, want)
	}
	x, _ := key["x"].(string)
	public, err := b64.DecodeString(x)
	if err != nil || len(public) != ed25519.PublicKeySize {
		t.Fatalf("x is %q: %v", x, err)
	}
	return public
}

// forgedEdDSA are tokens by those who have the public key only, or another one.
func forgedEdDSA(t *testing.T, token string, public ed25519.PublicKey) map[string]string {
	t.Helper()
	header, claims := parts(t, token)
	_, stranger, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	theirs := func(signed string) []byte { return ed25519.Sign(stranger, []byte(signed)) }
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	asPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})
	confused := with(header, object{"alg": "HS256"})
	jwk := object{"kty": "OKP", "crv": "Ed25519", "x": b64.EncodeToString(stranger.Public().(ed25519.PublicKey))}
	tokens := mangled(token)
	maps.Copy(tokens, map[string]string{
		"none":                     forge(t, with(header, object{"alg": "none"}), claims, unsigned),
		"another key":              forge(t, header, claims, theirs),
		"another key, by its kid":  forge(t, with(header, object{"kid": "theirs"}), claims, theirs),
		"another key, brought":     forge(t, with(header, object{"jwk": jwk}), claims, theirs),
		"HS256 with the x":         forge(t, confused, claims, hs256([]byte(b64.EncodeToString(public)))),
		"HS256 with the key":       forge(t, confused, claims, hs256(public)),
		"HS256 with the key's DER": forge(t, confused, claims, hs256(spki)),
		"HS256 with the key's PEM": forge(t, confused, claims, hs256(asPEM)),
		"HS256 by another gateway": forge(t, confused, claims, hs256([]byte(tokensSecret))),
		"an all-zero signature":    forge(t, header, claims, func(string) []byte { return make([]byte, ed25519.SignatureSize) }),
	})
	return tokens
}
