package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"
	"testing"
)

func pkcs8(t *testing.T, key any, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func TestPrivateKeys(t *testing.T) {
	t.Parallel()
	ec := func(c elliptic.Curve) string {
		key, err := ecdsa.GenerateKey(c, rand.Reader)
		return pkcs8(t, key, err)
	}
	rs := func(bits int) string { key, err := rsa.GenerateKey(rand.Reader, bits); return pkcs8(t, key, err) }
	keys := map[string]string{
		"Ed25519": privateKey(t), "P-256": ec(elliptic.P256()), "P-384": ec(elliptic.P384()),
		"RSA 2048": rs(2048), "RSA 1024": rs(1024), "rubbish": "x",
	}
	fits := map[string]string{EdDSA: "Ed25519", ES256: "P-256", RS256: "RSA 2048"}
	for algorithm, fitting := range fits {
		for name, key := range keys {
			_, err := Load(reference, complete("SESSIONGATE_TOKENS_ALGORITHM="+algorithm, "SESSIONGATE_TOKENS_PRIVATE_KEY="+key))
			if good := name == fitting; (err == nil) != good {
				t.Errorf("%s with %s: %v", algorithm, name, err)
			}
		}
	}
}

func TestManagedKeys(t *testing.T) {
	t.Parallel()
	const sealing = "TOKENS_SEALING_KEY=Zr5Tx1Vb8Nm2Lp6Hd4Gs0Fa0Jk3u7Qw9eYc"
	for _, tt := range []struct {
		name    string
		environ []string
		want    string // part of the error; "" for none
	}{
		{"and nothing else", []string{sealing}, ""},
		{"beside a secret from before", []string{sealing}, ""},
		{"beside a weak secret", []string{"TOKENS_SECRET=short", sealing}, "too short"},
		{"beside a key from before", []string{"TOKENS_PRIVATE_KEY=" + privateKey(t), sealing}, ""},
		{"beside rubbish", []string{"TOKENS_PRIVATE_KEY=x", sealing}, "tokens.private_key"},
		{"a short sealing key", []string{"TOKENS_SEALING_KEY=short"}, "too short"},
		{"the secret as sealing key", []string{"TOKENS_SEALING_KEY=" + goodSecret}, "the same as tokens.secret"},
		{"published too late", []string{sealing, "TOKENS_PUBLISH_AHEAD=30s"}, "more than tokens.reload (30s)"},
		{"rotated too fast", []string{sealing, "TOKENS_ROTATE_EVERY=119m"}, "at least twice tokens.publish_ahead (1h)"},
		{"reload in parts of a second", []string{sealing, "TOKENS_RELOAD=1500ms"}, "whole seconds"},
		{"a short sealing key from before", []string{sealing, "TOKENS_OLD_SEALING_KEYS=Qr5Tx1Vb8Nm2Lp6Hd4Gs0Fa0Jk3u7Qw9eYc short"}, "tokens.old_sealing_keys"},
		{"further keys", []string{sealing, "TOKENS_OTHER_KEYS=" + privateKey(t)}, "tokens.other_keys"},
		{"a directory", []string{sealing, "TOKENS_KEYRING=/keys"}, "tokens.keys is managed"},
		{"a service in its place", []string{"TOKENS_KMS_URL=https://vault:8200/v1/transit", "TOKENS_KMS_TOKEN=t"}, ""},
		{"a service on this machine", []string{"TOKENS_KMS_URL=http://127.0.0.1:8200/v1/transit", "TOKENS_KMS_TOKEN=t"}, ""},
		{"a service without TLS", []string{"TOKENS_KMS_URL=http://vault:8200/v1/transit", "TOKENS_KMS_TOKEN=t"}, "tokens.kms_url"},
		{"a service with a password", []string{"TOKENS_KMS_URL=https://u:p@vault/v1/transit", "TOKENS_KMS_TOKEN=t"}, "tokens.kms_url"},
		{"a service without a token", []string{"TOKENS_KMS_URL=https://vault/v1/transit"}, "tokens.kms_token"},
		{"a service and a bad name", []string{"TOKENS_KMS_URL=https://vault/v1/transit", "TOKENS_KMS_TOKEN=t", "TOKENS_KMS_KEY=a/b"}, "tokens.kms_key"},
		{"reload all the time", []string{sealing, "TOKENS_RELOAD=0s"}, "1s to 1h"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			environ := complete("SESSIONGATE_TOKENS_KEYS=managed", "SESSIONGATE_TOKENS_ALGORITHM=ES256")
			for _, v := range tt.environ {
				environ = append(environ, "SESSIONGATE_"+v)
			}
			if tt.name == "and nothing else" {
				environ = slices.DeleteFunc(environ, func(v string) bool { return strings.Contains(v, "TOKENS_SECRET=") })
			}
			_, err := Load(reference, environ)
			if tt.want == "" && err != nil {
				t.Error(err)
			}
			if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
}

func TestBaseURL(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ public, issuer, want string }{
		{"https://a.example", "https://b.example", "https://a.example"},
		{"", "https://b.example", "https://b.example"},
		{"", "https://b.example/", "https://b.example"},
		{"", "https://b.example/x?y", ""},
		{"", "sessiongate", ""},
		{"", "urn:x:y", ""},
	} {
		c := Config{HTTP: HTTP{PublicURL: tt.public}, Tokens: Tokens{Issuer: tt.issuer}}
		if got := c.BaseURL(); got != tt.want {
			t.Errorf("%+v: %q", tt, got)
		}
	}
}

func TestKeyring(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		environ []string
		want    string // part of the error; "" for none
	}{
		{"and nothing else", []string{"TOKENS_KEYRING=/keys"}, ""},
		{"a relative path", []string{"TOKENS_KEYRING=keys"}, "the absolute path"},
		{"beside a key", []string{"TOKENS_KEYRING=/keys", "TOKENS_PRIVATE_KEY=" + privateKey(t)}, "tokens.private_key"},
		{"beside a secret", []string{"TOKENS_KEYRING=/keys", "TOKENS_SECRET=" + goodSecret}, "tokens.secret"},
		{"beside further keys", []string{"TOKENS_KEYRING=/keys", "TOKENS_OTHER_KEYS=" + privateKey(t)}, "tokens.other_keys"},
		{"reload all the time", []string{"TOKENS_KEYRING=/keys", "TOKENS_RELOAD=0s"}, "1s to 1h"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			environ := slices.DeleteFunc(complete("SESSIONGATE_TOKENS_ALGORITHM=EdDSA"), func(v string) bool {
				return strings.Contains(v, "TOKENS_SECRET=")
			})
			for _, v := range tt.environ {
				environ = append(environ, "SESSIONGATE_"+v)
			}
			_, err := Load(reference, environ)
			if (tt.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}
