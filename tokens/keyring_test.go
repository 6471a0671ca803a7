package tokens

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestParseKey(t *testing.T) {
	t.Parallel()
	edPrivate := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	ecPrivate, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	edPEM, ecPEM, rsaPEM := pkcs8(t, edPrivate), pkcs8(t, ecPrivate), pkcs8(t, testRS256)
	sec1, err := x509.MarshalECPrivateKey(ecPrivate)
	sec1PEM := pemOf(t, "EC PRIVATE KEY", sec1, err)
	pkcs1PEM := pemOf(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(testRS256), nil)
	publicDER, err := x509.MarshalPKIXPublicKey(edPrivate.Public())
	publicPEM := pemOf(t, "PUBLIC KEY", publicDER, err)

	tests := []struct {
		name, algorithm string
		material        []byte
		wantErr         string // part of it; "" for none
	}{
		{"a secret of 32 bytes", HS256, bytes.Repeat([]byte("x"), 32), ""},
		{"a secret of 31 bytes", HS256, bytes.Repeat([]byte("x"), 31), "31 bytes, want at least 32"},
		{"no secret", HS256, nil, "0 bytes, want at least 32"},
		{"an Ed25519 key", EdDSA, edPEM, ""},
		{"an Ed25519 key with space around it", EdDSA, []byte("\n" + string(edPEM) + "\n\n"), ""},
		{"no PEM", EdDSA, []byte("secret material"), "not PEM"},
		{"a public key", EdDSA, publicPEM, `the PEM block is "PUBLIC KEY"`},
		{"an encrypted key", EdDSA, bytes.ReplaceAll(edPEM, []byte("PRIVATE"), []byte("ENCRYPTED PRIVATE")), "unencrypted"},
		{"two keys", EdDSA, append(bytes.Clone(edPEM), edPEM...), "more than one PEM block"},
		{"a key of another kind", EdDSA, ecPEM, "is a *ecdsa.PrivateKey, want Ed25519"},

		{"a key on P-256", ES256, ecPEM, ""},
		{"a key on P-384", ES256, pkcs8(t, ec384), "another curve, want P-256"},
		{"an Ed25519 key for ES256", ES256, edPEM, "is a ed25519.PrivateKey, want ECDSA on P-256"},
		{"an RSA key for ES256", ES256, rsaPEM, "is a *rsa.PrivateKey, want ECDSA"},
		{"SEC 1", ES256, sec1PEM, `the PEM block is "EC PRIVATE KEY"`},
		{"two keys for ES256", ES256, append(bytes.Clone(ecPEM), ecPEM...), "more than one PEM block"},
		{"an RSA key", RS256, rsaPEM, ""},
		{"a short RSA key", RS256, pkcs8(t, short), "1024 bits, want 2048 to 4096"},
		{"an EC key for RS256", RS256, ecPEM, "is a *ecdsa.PrivateKey, want RSA"},
		{"PKCS#1", RS256, pkcs1PEM, `the PEM block is "RSA PRIVATE KEY"`},
		{"a secret for RS256", RS256, testSecret, "not PEM"},
		{"RS512", "RS512", rsaPEM, "unknown algorithm"},
		{"PS256", "PS256", rsaPEM, "unknown algorithm"},
		{"rubbish in PEM", EdDSA, pemOf(t, "PRIVATE KEY", []byte("rubbish"), nil), "not PKCS#8"},
		{"none", "none", nil, `unknown algorithm "none", want HS256 or EdDSA`},
		{"no algorithm", "", edPEM, "unknown algorithm"},
		{"an algorithm in lower case", "hs256", bytes.Repeat([]byte("x"), 32), "unknown algorithm"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			key, err := ParseKey(tt.algorithm, tt.material)
			if tt.wantErr == "" {
				if err != nil {
					t.Fatal(err)
				}
				if key.Algorithm() != tt.algorithm || key.ID() == "" {
					t.Errorf("got %v", key)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
				t.Fatalf("error is %v, want one with %q", err, tt.wantErr)
			}
			if len(tt.material) > 0 && strings.Contains(err.Error(), string(tt.material)) {
				t.Error("the error quotes the key")
			}
		})
	}
}

// RFC 8037 Appendix A gives a key, its JWK and its thumbprint.
func TestEdDSAKeyIDIsThumbprint(t *testing.T) {
	t.Parallel()
	seed, err := hex.DecodeString("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
	if err != nil {
		t.Fatal(err)
	}
	key := must(NewEdDSAKey(ed25519.NewKeyFromSeed(seed)))
	if want := "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"; key.ID() != want {
		t.Errorf("kid is %s, want %s", key.ID(), want)
	}
	if want := "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"; key.jwk.X != want {
		t.Errorf("x is %s, want %s", key.jwk.X, want)
	}
}

func TestEdDSAKeyIgnoresForeignPublicHalf(t *testing.T) {
	t.Parallel()
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	mixed := append(bytes.Clone(private[:32]), bytes.Repeat([]byte{2}, 32)...)
	if got, want := must(NewEdDSAKey(mixed)).ID(), must(NewEdDSAKey(private)).ID(); got != want {
		t.Errorf("kid is %s, want that of the seed, %s", got, want)
	}
	if _, err := NewEdDSAKey(private[:40]); err == nil {
		t.Error("a short key was taken")
	}
}

func TestHS256KeyID(t *testing.T) {
	t.Parallel()
	secret := bytes.Repeat([]byte("k"), 40)
	key := must(NewHS256Key(secret))
	id := key.ID()
	secret[0] = 'x'
	if again := must(NewHS256Key(secret)); again.ID() == id {
		t.Error("two secrets have the same id")
	}
	issuer, verifier, _ := pair(t, key)
	raw := must(issuer.Sign(testToken()))
	if _, err := verifier.Verify(raw); err != nil {
		t.Errorf("the caller's change to the slice reached the key: %v", err)
	}
	secret[0] = 'k'
	if again := must(NewHS256Key(secret)); again.ID() != id {
		t.Error("the same secret has two ids")
	}
}

func TestKeyNeverPrintsItsSecret(t *testing.T) {
	t.Parallel()
	eachKey(t, func(t *testing.T, key *Key) {
		ring := must(NewKeyring(key))
		secret := map[string][]byte{
			HS256: testSecret, EdDSA: testPrivate, ES256: must(testES256.Bytes()), RS256: testRS256.D.Bytes(),
		}[key.Algorithm()]
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			text := fmt.Sprintf(verb+verb+verb, key, *key, ring)
			for _, spelled := range []string{
				string(secret[:16]), fmt.Sprintf("%x", secret[:16]), strings.Trim(fmt.Sprint(secret[:8]), "[]"),
			} {
				if strings.Contains(text, spelled) {
					t.Errorf("%s shows the secret: %s", verb, text)
				}
			}
		}
		if b := toJSON(t, key); b != "{}" {
			t.Errorf("as JSON it is %s", b)
		}
		if got, want := fmt.Sprint(key), key.Algorithm()+" key "+key.ID(); got != want {
			t.Errorf("prints as %q, want %q", got, want)
		}
	})
}

func TestNewKeyring(t *testing.T) {
	t.Parallel()
	hs, ed := testKeys[HS256], testKeys[EdDSA]
	publicOnly := *ed
	publicOnly.sign = nil
	tests := []struct {
		name    string
		active  *Key
		others  []*Key
		wantErr string
	}{
		{"one key", hs, nil, ""},
		{"keys of two algorithms", hs, []*Key{ed}, ""},
		{"another that only verifies", hs, []*Key{&publicOnly}, ""},
		{"no key", nil, nil, "no key to sign with"},
		{"the zero key", new(Key), nil, "no key to sign with"},
		{"an active key that only verifies", &publicOnly, nil, "no key to sign with"},
		{"no other key", hs, []*Key{nil}, "an empty key"},
		{"the zero key beside it", hs, []*Key{new(Key)}, "an empty key"},
		{"the same key twice", hs, []*Key{ed, hs}, "twice"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ring, err := NewKeyring(tt.active, tt.others...)
			switch {
			case tt.wantErr == "" && err != nil:
				t.Fatal(err)
			case tt.wantErr == "" && ring.Active(born) != tt.active:
				t.Errorf("active is %v", ring.Active(born))
			case tt.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tt.wantErr)):
				t.Errorf("error is %v, want one with %q", err, tt.wantErr)
			}
		})
	}
}

// A rotation in three steps: the next key is known before it signs, and the old
// one is known after.
func TestRotation(t *testing.T) {
	t.Parallel()
	c := &clock{born.Add(time.Minute)}
	oldKey := testKeys[HS256]
	newKey := testKeys[EdDSA]
	before := must(NewKeyring(oldKey, newKey))
	after := must(NewKeyring(newKey, oldKey))
	retired := must(NewKeyring(newKey))

	oldToken := must(must(NewIssuer(before, testOptions(c))).Sign(testToken()))
	newToken := must(must(NewIssuer(after, testOptions(c))).Sign(testToken()))
	for name, ring := range map[string]*Keyring{"before": before, "after": after} {
		v := must(NewVerifier(ring, testOptions(c)))
		for _, raw := range []string{oldToken, newToken} {
			if _, err := v.Verify(raw); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	v := must(NewVerifier(retired, testOptions(c)))
	wantInvalid(t, v, oldToken)
	if _, err := v.Verify(newToken); err != nil {
		t.Error(err)
	}
}

func TestJWKS(t *testing.T) {
	t.Parallel()
	hs, ed := testKeys[HS256], testKeys[EdDSA]
	other := must(NewEdDSAKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, ed25519.SeedSize))))
	ec, rs := testKeys[ES256], testKeys[RS256]
	long := func(k *Key, kind, members string) string {
		return fmt.Sprintf(`{"kty":%q,"use":"sig","alg":%q,"kid":%q,%s}`, kind, k.Algorithm(), k.ID(), members)
	}
	ecEntry := long(ec, "EC", fmt.Sprintf(`"crv":"P-256","x":%q,"y":%q`, ec.jwk.X, ec.jwk.Y))
	rsEntry := long(rs, "RSA", fmt.Sprintf(`"n":%q,"e":"AQAB"`, rs.jwk.N))
	entry := func(k *Key) string {
		return fmt.Sprintf(`{"kty":"OKP","use":"sig","alg":"EdDSA","kid":%q,"crv":"Ed25519","x":%q}`, k.ID(), k.jwk.X)
	}
	tests := []struct {
		name string
		ring *Keyring
		want string
	}{
		{"HS256 has nothing to publish", must(NewKeyring(hs)), `{"keys":[]}`},
		{"EdDSA", must(NewKeyring(ed)), `{"keys":[` + entry(ed) + `]}`},
		{"ES256", must(NewKeyring(ec)), `{"keys":[` + ecEntry + `]}`},
		{"RS256 beside ES256", must(NewKeyring(rs, ec)), `{"keys":[` + rsEntry + `,` + ecEntry + `]}`},
		{"the active key first", must(NewKeyring(other, hs, ed)), `{"keys":[` + entry(other) + `,` + entry(ed) + `]}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b, err := json.Marshal(tt.ring.JWKS(born))
			if err != nil {
				t.Fatal(err)
			}
			if string(b) != tt.want {
				t.Errorf("got  %s\nwant %s", b, tt.want)
			}
		})
	}
}
