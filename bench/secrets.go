package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"net"
)

// signingKey makes a key for this run.
func signingKey() (string, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), nil
}

func randomText() string { return rand.Text() + rand.Text() }

// clients is the one client that the gateway knows, as its configuration names it.
func clients() string {
	digest := sha256.Sum256([]byte(clientSecret))
	text, err := json.Marshal([]map[string]any{{
		"id": clientID, "secrets_sha256": []string{hex.EncodeToString(digest[:])}, "allow": []string{"introspect", "sessions"},
	}})
	if err != nil {
		panic(err) // strings only
	}
	return string(text)
}

func freePort() (int, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port, nil
}
