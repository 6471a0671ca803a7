package config

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
)

const (
	minSecretBytes = 32 // of HMAC-SHA256: the size of its output (RFC 7518 §3.2)
	minVariety     = 8  // different bytes; 32 random hexadecimal digits have 14
)

// sampleWords are in secrets that came from a manual. They are at least six
// letters long, so that a random secret does not hold one by accident.
var sampleWords = []string{
	"secret", "changeme", "change-me", "change_me", "password", "example", "sample", "default", "insecure",
	"replace", "your-256", "qwerty", "abcdefgh", "01234567", "12345678", "sessiongate",
}

func (v *validator) tokens(t Tokens) {
	v.oneOf("tokens.algorithm", t.Algorithm, HS256, EdDSA, ES256, RS256)
	v.oneOf("tokens.keys", t.Keys, KeysStatic, KeysManaged)
	v.keys(t)
	v.text("tokens.issuer", t.Issuer)
	v.text("tokens.audience", t.Audience)
	v.count("tokens.cache_size", t.CacheSize, 0, 1<<24)
}

// keys checks where keys come from. Beside managed keys the two settings hold
// keys from before, which need not be there.
func (v *validator) keys(t Tokens) {
	managed := t.Keys == KeysManaged
	if t.Keyring != "" {
		v.keyring(t)
		return
	}
	if t.Algorithm == HS256 && !managed || managed && t.Secret != "" {
		v.secret("tokens.secret", t.Secret, "")
	}
	switch {
	case managed && t.PrivateKey != "":
		v.checkHidden(keyAlgorithm(t.PrivateKey) != "", "tokens.private_key", "nothing, or a key as %s, %s or %s takes",
			EdDSA, ES256, RS256)
	case !managed && privateKeys[t.Algorithm] != "":
		v.checkHidden(keyAlgorithm(t.PrivateKey) == t.Algorithm, "tokens.private_key", "%s", privateKeys[t.Algorithm])
	}
	if !managed {
		return
	}
	v.checkHidden(t.OtherKeys == "", "tokens.other_keys", "nothing, since tokens.keys is %s", t.Keys)
	v.sealing(t)
	v.reload(t)
	v.check(t.PublishAhead > t.Reload && t.PublishAhead <= 30*24*time.Hour, "tokens.publish_ahead", t.PublishAhead,
		"more than tokens.reload (%s), so that every gateway knows a key before it signs, up to 720h", durationText(t.Reload))
	v.check(t.RotateEvery >= 2*t.PublishAhead && t.RotateEvery <= 5*365*24*time.Hour, "tokens.rotate_every", t.RotateEvery,
		"at least twice tokens.publish_ahead (%s), up to 43800h", durationText(t.PublishAhead))
}

// sealing checks what managed keys are sealed with.
func (v *validator) sealing(t Tokens) {
	if t.KMSURL == "" || t.SealingKey != "" {
		v.secret("tokens.sealing_key", t.SealingKey, t.Secret)
	}
	for old := range strings.FieldsSeq(string(t.OldSealing)) {
		v.secret("tokens.old_sealing_keys", Secret(old), t.Secret)
	}
	if t.KMSURL == "" {
		return
	}
	u, err := url.Parse(t.KMSURL)
	good := err == nil && u.Host != "" && u.User == nil && u.RawQuery == "" && u.Fragment == "" &&
		(u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname()))
	v.checkHidden(good, "tokens.kms_url", "a URL such as https://vault.example.com:8200/v1/transit (http only on this machine)")
	v.check(t.KMSKey != "" && url.PathEscape(t.KMSKey) == t.KMSKey && strings.Trim(t.KMSKey, ".") != "", "tokens.kms_key", t.KMSKey,
		"the name of a key in the transit engine")
	v.checkHidden(t.KMSToken != "" && !strings.ContainsFunc(string(t.KMSToken), unicode.IsControl), "tokens.kms_token",
		"a token that may encrypt and decrypt with tokens.kms_key")
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// keyring checks what may be set beside a directory of keys: nothing that could
// mean another key signs. What is in the directory is looked at when it is read.
func (v *validator) keyring(t Tokens) {
	v.check(t.Keys == KeysStatic, "tokens.keyring", t.Keyring, "nothing, since tokens.keys is %s", t.Keys)
	v.check(filepath.IsAbs(t.Keyring), "tokens.keyring", t.Keyring, "the absolute path of a directory")
	for key, s := range map[string]Secret{
		"tokens.secret": t.Secret, "tokens.private_key": t.PrivateKey, "tokens.other_keys": t.OtherKeys,
	} {
		v.checkHidden(s == "", key, "nothing, since tokens.keyring has the keys")
	}
	v.reload(t)
}

func (v *validator) reload(t Tokens) {
	v.duration("tokens.reload", t.Reload, time.Second, time.Hour)
	v.check(t.Reload%time.Second == 0, "tokens.reload", t.Reload, "whole seconds")
}

// privateKeys says what the private key of an algorithm has to be.
var privateKeys = map[string]string{
	EdDSA: "an Ed25519 key in PKCS#8 PEM, as from `openssl genpkey -algorithm ed25519`",
	ES256: "a P-256 key in PKCS#8 PEM, as from `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`",
	RS256: "an RSA key of 2048 to 4096 bits in PKCS#8 PEM, as from `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048`",
}

// KeyAlgorithm returns the algorithm that a private key is for, "" if it is none.
func (t Tokens) KeyAlgorithm() string { return keyAlgorithm(t.PrivateKey) }

func (v *validator) text(key, s string) {
	ok := s != "" && len(s) <= 255 && strings.TrimSpace(s) == s && !strings.ContainsFunc(s, unicode.IsControl)
	v.check(ok, key, s, "1 to 255 bytes of text")
}

// secret refuses what can be guessed. A development gateway takes anything that
// is long enough for the algorithm.
func (v *validator) secret(key string, s, other Secret) {
	const advice = "want at least 32 random bytes, as from `openssl rand -base64 32`"
	var wrong string
	switch {
	case s == "":
		wrong = "not set"
	case len(s) < minSecretBytes:
		wrong = "too short"
	case v.dev:
	case s == other:
		wrong = "the same as tokens.secret"
	case variety(string(s)) < minVariety || periodic(string(s)):
		wrong = "too regular to be random"
	case isSample(string(s)):
		wrong = "a sample from a manual, not a secret"
	}
	if wrong != "" {
		v.problems = append(v.problems, Problem{Key: key, Want: wrong + ", " + advice})
	}
}

func variety(s string) int {
	var seen [256]bool
	n := 0
	for i := range len(s) {
		if !seen[s[i]] {
			seen[s[i]] = true
			n++
		}
	}
	return n
}

// periodic says whether s is the repetition of its beginning.
func periodic(s string) bool {
	for p := 1; p <= len(s)/2; p++ {
		if s[p:] == s[:len(s)-p] {
			return true
		}
	}
	return false
}

func isSample(s string) bool {
	s = strings.ToLower(s)
	return slices.ContainsFunc(sampleWords, func(w string) bool { return strings.Contains(s, w) })
}

func keyAlgorithm(s Secret) string {
	block, _ := pem.Decode([]byte(s))
	if block == nil || block.Type != "PRIVATE KEY" {
		return ""
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return ""
	}
	switch key := key.(type) {
	case ed25519.PrivateKey:
		return EdDSA
	case *ecdsa.PrivateKey:
		if key.Curve == elliptic.P256() {
			return ES256
		}
	case *rsa.PrivateKey:
		if bits := key.N.BitLen(); bits >= 2048 && bits <= 4096 {
			return RS256
		}
	}
	return ""
}

// emptySHA256 is the digest of no secret at all: `printf ” | sha256sum`.
const emptySHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func (v *validator) clients(clients []Client) {
	seen := map[string]bool{}
	for _, c := range clients {
		key := "clients[" + c.ID + "]"
		ok := c.ID != "" && len(c.ID) <= 255 && strings.TrimSpace(c.ID) == c.ID &&
			!strings.ContainsFunc(c.ID, func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsPrint(r) || r == ':' })
		v.check(ok, "clients", c.ID, "an id of 1 to 255 printable ASCII characters without a colon")
		v.check(c.ID != "sessiongate", "clients", c.ID, "another id: this one stands for the gateway's own logins")
		v.check(!seen[c.ID], "clients", c.ID, "every id once")
		seen[c.ID] = true

		v.checkHidden(len(c.SecretsSHA256) > 0, key+".secrets_sha256", "at least one digest")
		for _, digest := range c.SecretsSHA256 {
			b, err := hex.DecodeString(digest)
			v.checkHidden(err == nil && len(b) == 32 && strings.ToLower(digest) != emptySHA256, key+".secrets_sha256",
				"64 hexadecimal digits, as from `printf %%s \"$SECRET\" | sha256sum`")
		}
		want := "one or more of " + strings.Join(allowed, ", ")
		v.checkHidden(len(c.Allow) > 0, key+".allow", "%s", want)
		for _, a := range c.Allow {
			v.check(slices.Contains(allowed, a), key+".allow", a, "%s", want)
		}
		v.scopes(key, c.Scopes)
	}
}
