package tokens

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sessiongate/sessiongate/session"
)

func TestVerifyRefusesHeaders(t *testing.T) {
	t.Parallel()
	huge := strings.Repeat("k", 2000)
	eachKey(t, func(t *testing.T, key *Key) {
		_, verifier, _ := pair(t, key)
		own := ownHeader(t, key)
		other := testKeys[HS256]
		if key == other {
			other = testKeys[EdDSA]
		}
		foreign := ES256
		if key.Algorithm() == ES256 {
			foreign = "ES384"
		}
		member := func(name, value string) string {
			return strings.Replace(own, "{", `{"`+name+`":`+value+`,`, 1)
		}
		kid := func(value string) string { return strings.Replace(own, `"`+key.ID()+`"`, value, 1) }
		alg := func(value string) string { return strings.Replace(own, `"`+key.Algorithm()+`"`, value, 1) }
		typ := func(value string) string { return strings.Replace(own, `"at+jwt"`, value, 1) }
		tests := map[string]string{
			"alg none": alg(`"none"`), "alg None": alg(`"None"`), "alg NONE": alg(`"NONE"`), "alg empty": alg(`""`),
			"alg in lower case": alg(`"` + strings.ToLower(key.Algorithm()) + `"`), "alg of nobody": alg(`"` + foreign + `"`),
			"alg RS512": alg(`"RS512"`), "alg HS512": alg(`"HS512"`), "alg null": alg(`null`), "alg a number": alg(`1`),
			"alg a list": alg(`["` + key.Algorithm() + `"]`), "alg of the other key": alg(`"` + other.Algorithm() + `"`),
			"no alg":    `{"kid":"` + key.ID() + `","typ":"at+jwt"}`,
			"alg twice": member("alg", `"none"`),

			"a kid of nobody": kid(`"nobody"`), "the kid of the other key": kid(`"` + other.ID() + `"`),
			"a kid that is a path": kid(`"../../dev/null"`), "a kid that is SQL": kid(`"' OR 1=1--"`),
			"a long kid": kid(`"` + huge + `"`), "a kid with NUL": kid(`"` + key.ID() + `\u0000"`),
			"a kid with a raw NUL": kid("\"\x00\""), "a kid with line breaks": kid(`"a\r\nlevel=ERROR"`),
			"a kid that is a list": kid(`["` + key.ID() + `"]`), "a kid that is a number": kid(`7`),
			"a kid that is an object": kid(`{"kid":"` + key.ID() + `"}`), "a kid that is null": kid(`null`),
			"an empty kid": kid(`""`), "a kid in another case": kid(`"` + strings.ToUpper(key.ID()) + `"`),
			"no kid":        `{"alg":"` + key.Algorithm() + `","typ":"at+jwt"}`,
			"two kids":      member("kid", `"`+key.ID()+`"`),
			"typ JWT":       typ(`"JWT"`),
			"typ AT+JWT":    typ(`"AT+JWT"`),
			"the long typ":  typ(`"application/at+jwt"`),
			"typ of others": typ(`"logout+jwt"`),
			"typ null":      typ(`null`),
			"typ a list":    typ(`["at+jwt"]`),
			"no typ":        `{"alg":"` + key.Algorithm() + `","kid":"` + key.ID() + `"}`,

			"crit unknown": member("crit", `["exp"]`), "crit empty": member("crit", `[]`),
			"b64 false": member("crit", `["b64"],"b64":false`),
			"jku":       member("jku", `"http://127.0.0.1:1/jwks.json"`), "x5u": member("x5u", `"http://127.0.0.1:1/x"`),
			"jwk": member("jwk", `{"kty":"oct","k":"AAAA"}`), "x5c": member("x5c", `["AAAA"]`),
			"zip": member("zip", `"DEF"`), "enc": member("enc", `"A128GCM"`),

			"white space": " " + own, "a byte order mark": "\ufeff" + own, "two objects": own + own,
			"a list": "[" + own + "]", "null": "null", "empty": "", "not JSON": "x", "not UTF-8": "\xff",
		}
		for name, header := range tests {
			t.Run(name, func(t *testing.T) {
				raw := forge(t, key, header, toJSON(t, goodClaims()))
				wantInvalid(t, verifier, raw)
				unsigned := encode(header) + "." + encode(toJSON(t, goodClaims())) + "."
				wantInvalid(t, verifier, unsigned)
			})
		}
	})
}

// A public key is no secret: nothing that is signed with any of its spellings as
// an HMAC secret may pass (RFC 8725 §2.1).
func TestVerifyRefusesConfusedAlgorithms(t *testing.T) {
	t.Parallel()
	eachKey(t, func(t *testing.T, key *Key) {
		if key.Algorithm() != HS256 {
			refusesConfused(t, key)
		}
	})
}

func refusesConfused(t *testing.T, key *Key) {
	public := testPublics[key.Algorithm()]
	issuer, verifier, _ := pair(t, key)
	both := must(NewVerifier(must(NewKeyring(testKeys[HS256], key)), testOptions(&clock{born.Add(time.Minute)})))
	x := key.jwk.X + key.jwk.N
	spellings := map[string][]byte{
		"the raw bytes": []byte(decodeSegment(t, x)),
		"base64url":     []byte(x),
		"base64":        []byte(base64.StdEncoding.EncodeToString([]byte(decodeSegment(t, x)))),
		"the JWK":       []byte(toJSON(t, key.jwk)),
		"the JWKS":      []byte(toJSON(t, issuer.keys.JWKS(born))),
		"DER":           spki(t, public),
		"PEM":           pemOf(t, "PUBLIC KEY", spki(t, public), nil),
		"nothing":       {},
	}
	headers := map[string]string{
		"its own header": ownHeader(t, key),
		"HS256":          strings.Replace(ownHeader(t, key), key.Algorithm(), HS256, 1),
		"HS512":          strings.Replace(ownHeader(t, key), key.Algorithm(), "HS512", 1),
		"the HS256 key":  ownHeader(t, testKeys[HS256]),
	}
	for spelling, secret := range spellings {
		for name, header := range headers {
			for _, method := range []*jwt.SigningMethodHMAC{jwt.SigningMethodHS256, jwt.SigningMethodHS512} {
				t.Run(spelling+", "+name+", "+method.Name, func(t *testing.T) {
					signed := encode(header) + "." + encode(toJSON(t, goodClaims()))
					signature, err := method.Sign(signed, secret)
					if err != nil {
						t.Fatal(err)
					}
					raw := signed + "." + encode(string(signature))
					wantInvalid(t, verifier, raw)
					wantInvalid(t, both, raw)
				})
			}
		}
	}
}

func TestVerifyRefusesForeignKeys(t *testing.T) {
	t.Parallel()
	c := &clock{born.Add(time.Minute)}
	hs := must(NewHS256Key([]byte("another secret of thirty-two bytes")))
	issuer, _, _ := pair(t, hs)
	foreign := must(issuer.Sign(testToken()))
	eachKey(t, func(t *testing.T, key *Key) {
		verifier := must(NewVerifier(must(NewKeyring(key)), testOptions(c)))
		wantInvalid(t, verifier, foreign)
		// The same, claiming to be one of ours.
		wantInvalid(t, verifier, forgeSegments(t, hs, key.header, encode(toJSON(t, goodClaims()))))
	})
}

func TestVerifyRefusesEveryChange(t *testing.T) {
	t.Parallel()
	eachKey(t, func(t *testing.T, key *Key) {
		issuer, verifier, _ := pair(t, key)
		raw := must(issuer.Sign(testToken()))
		t.Run("one bit", func(t *testing.T) {
			for i := range len(raw) {
				for bit := range 8 {
					changed := []byte(raw)
					changed[i] ^= 1 << bit
					wantInvalid(t, verifier, string(changed))
				}
			}
		})
		t.Run("one bit of what is encoded", func(t *testing.T) {
			parts := strings.Split(raw, ".")
			for n, part := range parts {
				decoded := decodeSegment(t, part)
				for i := range len(decoded) {
					changed := []byte(decoded)
					changed[i] ^= 1
					forged := append([]string(nil), parts...)
					forged[n] = encode(string(changed))
					wantInvalid(t, verifier, strings.Join(forged, "."))
				}
			}
		})
		t.Run("cut short", func(t *testing.T) {
			for i := range len(raw) {
				wantInvalid(t, verifier, raw[:i])
				wantInvalid(t, verifier, raw[i+1:])
			}
		})
		t.Run("extended", func(t *testing.T) {
			for c := range 256 {
				wantInvalid(t, verifier, raw+string([]byte{byte(c)}))
				wantInvalid(t, verifier, string([]byte{byte(c)})+raw)
			}
		})
	})
}

// A forged token that is past its exp, too, must never count as ours and
// expired (CVE-2024-51744).
func TestExpiredAndForgedIsInvalid(t *testing.T) {
	t.Parallel()
	eachKey(t, func(t *testing.T, key *Key) {
		issuer, verifier, c := pair(t, key)
		raw := must(issuer.Sign(testToken()))
		c.t = born.Add(time.Hour)
		token, err := verifier.Verify(raw)
		if !errors.Is(err, session.ErrTokenExpired) || errors.Is(err, session.ErrInvalidToken) || token.UserID != "user-42" {
			t.Errorf("the honest one: %+v, %v", token, err)
		}
		dot := strings.LastIndexByte(raw, '.')
		wantInvalid(t, verifier, raw[:dot+1]+next(raw[dot+1])+raw[dot+2:])
	})
}
