package command

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/sessiongate/sessiongate/internal/config"
	"github.com/sessiongate/sessiongate/login"
	"github.com/sessiongate/sessiongate/session"
	"github.com/sessiongate/sessiongate/store"
)

// Who can use a development gateway.
const (
	demoID    = "demo"
	demoUser  = "demo@example.com"
	adminID   = "admin"
	adminUser = "admin@example.com"
	adminRole = "admin"
	clientID  = "gateway"
)

// secrets are what dev makes up once and keeps.
type secrets struct {
	tokenSecret, privateKey, fingerprintKey   string
	demoPassword, adminPassword, clientSecret string
}

// loadSecrets reads the secrets in the directory and makes those that are
// missing, each a file of mode 0600.
func loadSecrets(dir string) (s secrets, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return s, fmt.Errorf("command: dev: %w", err)
	}
	for _, f := range []struct {
		name string
		at   *string
		make func() (string, error)
	}{
		{"tokens.secret", &s.tokenSecret, longText},
		{"tokens.pem", &s.privateKey, ed25519PEM},
		{"audit.fingerprint_key", &s.fingerprintKey, longText},
		{"demo.password", &s.demoPassword, text},
		{"admin.password", &s.adminPassword, text},
		{"client.secret", &s.clientSecret, text},
	} {
		path := filepath.Join(dir, f.name)
		b, err := os.ReadFile(path)
		switch {
		case err == nil && len(b) > 0:
			*f.at = string(b)
			continue
		case err != nil && !errors.Is(err, os.ErrNotExist):
			return s, fmt.Errorf("command: dev: %w", err)
		}
		if *f.at, err = f.make(); err != nil {
			return s, fmt.Errorf("command: dev: make %s: %w", f.name, err)
		}
		if err := writeSecret(path, *f.at); err != nil {
			return s, err
		}
	}
	return s, nil
}

func text() (string, error) { return rand.Text(), nil }

// longText has 260 bits, as many as HMAC-SHA256 can use.
func longText() (string, error) { return rand.Text() + rand.Text(), nil }

func ed25519PEM() (string, error) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return "", err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), err
}

// complete fills in what the configuration leaves open.
func (s secrets) complete(cfg *config.Config) {
	for _, f := range []struct {
		at   *config.Secret
		made string
	}{
		{&cfg.Tokens.Secret, s.tokenSecret},
		{&cfg.Tokens.PrivateKey, s.privateKey},
		{&cfg.Audit.FingerprintKey, s.fingerprintKey},
	} {
		if *f.at == "" {
			*f.at = config.Secret(f.made)
		}
	}
	digest := sha256.Sum256([]byte(s.clientSecret))
	cfg.Clients = slices.DeleteFunc(slices.Clone(cfg.Clients), func(c config.Client) bool { return c.ID == clientID })
	cfg.Clients = append(cfg.Clients, config.Client{
		ID:            clientID,
		SecretsSHA256: []string{hex.EncodeToString(digest[:])},
		Allow:         []string{config.AllowIntrospect, config.AllowSessions, config.AllowFeed},
	})
}

// seed brings the schema up to date and makes the users.
func (d *dev) seed(ctx context.Context) error {
	db, err := openPostgres(d.cfg)
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := migrate(ctx, db); err != nil {
		return err
	}
	hasher, err := newHasher(d.cfg.Passwords)
	if err != nil {
		return err
	}
	err = seedUser(ctx, db, hasher, session.User{ID: demoID, Identifier: demoUser}, d.has.demoPassword)
	if err != nil {
		return err
	}
	admin := session.User{ID: adminID, Identifier: adminUser, Roles: []string{adminRole}}
	return seedUser(ctx, db, hasher, admin, d.has.adminPassword)
}

// seedUser makes the user, or, where there is one with another password (the
// database is another, or the secrets were removed), sets it to ours.
func seedUser(ctx context.Context, db *store.Postgres, h *login.Hasher, user session.User, password string) error {
	there, err := db.UserByIdentifier(ctx, user.Identifier)
	known := err == nil
	if err != nil && !errors.Is(err, session.ErrNotFound) {
		return err
	}
	if known {
		same, err := h.Verify(ctx, there.PasswordHash, password)
		if same || err != nil && !errors.Is(err, login.ErrMalformedHash) {
			return err
		}
	}
	if user.PasswordHash, err = h.Hash(ctx, password); err != nil {
		return err
	}
	if known {
		return db.SetPassword(ctx, there.ID, "", user.PasswordHash)
	}
	return db.CreateUser(ctx, user)
}
