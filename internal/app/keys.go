package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/sessiongate/sessiongate/internal/config"
	"github.com/sessiongate/sessiongate/session"
	"github.com/sessiongate/sessiongate/store"
	"github.com/sessiongate/sessiongate/tokens"
)

// buildKeys reads the keys that are in the configuration.
func (g *gateway) buildKeys() (err error) {
	if t := g.cfg.Tokens; t.Keyring != "" {
		if g.keyFiles, err = tokens.NewDirectory(t.Keyring, t.Algorithm, g.log); err == nil {
			g.keys = g.keyFiles.Keyring()
		}
		return err
	}
	keys, err := ConfiguredKeys(g.cfg.Tokens)
	if err != nil {
		return err
	}
	if g.cfg.Tokens.Keys == config.KeysManaged {
		return nil // shareKeys takes them
	}
	g.keys, err = tokens.NewKeyring(keys[0], keys[1:]...)
	return err
}

// ConfiguredKeys returns the keys of the configuration, that of the configured
// algorithm first. Without managed keys there is only that, and it must be there.
func ConfiguredKeys(t config.Tokens) ([]*tokens.Key, error) {
	type source struct {
		algorithm string
		material  config.Secret
	}
	secret, private := source{config.HS256, t.Secret}, source{t.KeyAlgorithm(), t.PrivateKey}
	var sources []source
	switch {
	case t.Keys != config.KeysManaged && t.Algorithm == config.HS256:
		sources = []source{secret}
	case t.Keys != config.KeysManaged:
		sources = []source{{t.Algorithm, t.PrivateKey}}
	case t.Algorithm == config.HS256:
		sources = []source{secret, private}
	default:
		sources = []source{private, secret}
	}
	var keys []*tokens.Key
	for _, s := range sources {
		if s.material == "" && t.Keys == config.KeysManaged {
			continue
		}
		key, err := tokens.ParseKey(s.algorithm, []byte(s.material))
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	others, err := tokens.ParseKeys([]byte(t.OtherKeys))
	if err != nil {
		return nil, fmt.Errorf("tokens.other_keys: %w", err)
	}
	return append(keys, others...), nil
}

// SharedKeys returns the keys that gateways with this configuration share. It has
// read nothing yet.
func SharedKeys(cfg config.Config, p *store.Postgres, r *store.Redis, now func() time.Time, log *slog.Logger) (*tokens.Shared, error) {
	before, err := ConfiguredKeys(cfg.Tokens)
	if err != nil {
		return nil, err
	}
	sealer, err := NewSealer(cfg.Tokens)
	if err != nil {
		return nil, err
	}
	return tokens.NewShared(tokens.SharedOptions{
		Ledger: p, Mirror: r, Sealer: sealer,
		Algorithm: cfg.Tokens.Algorithm,
		Every:     cfg.Tokens.RotateEvery,
		Ahead:     cfg.Tokens.PublishAhead,
		// exp is whole seconds, rounded up; and a gateway may sign with a key until it
		// hears that another took over.
		Linger: maxTTL(cfg.Sessions) + cfg.Tokens.Leeway + cfg.Tokens.Reload + time.Second,
		Before: before,
		Now:    now,
		Log:    log,
	})
}

// NewSealer returns what seals, and what opens what was sealed before.
func NewSealer(t config.Tokens) (tokens.Sealer, error) {
	var sealers tokens.Sealers
	if t.KMSURL != "" {
		vault, err := tokens.NewVaultSealer(t.KMSURL, t.KMSKey, string(t.KMSToken))
		if err != nil {
			return nil, err
		}
		sealers = append(sealers, vault)
	}
	for _, secret := range append([]string{string(t.SealingKey)}, strings.Fields(string(t.OldSealing))...) {
		if secret == "" && t.KMSURL != "" {
			continue
		}
		sealer, err := tokens.NewAESSealer([]byte(secret))
		if err != nil {
			return nil, err
		}
		sealers = append(sealers, sealer)
	}
	return sealers, nil
}

func (g *gateway) shareKeys() (err error) {
	if g.cfg.Tokens.Keys != config.KeysManaged {
		return nil
	}
	g.shared, err = SharedKeys(g.cfg, g.postgres, g.redis, g.redis.Clock, g.log)
	if err == nil {
		g.keys = g.shared.Keyring()
	}
	return err
}

// startKeys waits until there is a key to sign with: the tables may be on their
// way. Once there has been one, a copy is in Redis, and Postgres may be away.
func (g *gateway) startKeys(ctx context.Context) error {
	if g.shared == nil {
		return nil
	}
	retry := time.NewTicker(redisRetry)
	defer retry.Stop()
	giveUp := time.NewTimer(redisPatience)
	defer giveUp.Stop()
	for first := true; ; first = false {
		err := g.shared.Start(ctx)
		if err == nil || !errors.Is(err, session.ErrUnavailable) && !errors.Is(err, store.ErrSchema) {
			return err
		}
		if first {
			g.log.WarnContext(ctx, "there is no signing key yet, waiting for one", "for", redisPatience, "err", err)
		}
		select {
		case <-retry.C:
		case <-giveUp.C:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (g *gateway) buildTokens() (err error) {
	options := tokens.Options{
		Issuer:    g.cfg.Tokens.Issuer,
		Audience:  g.cfg.Tokens.Audience,
		Leeway:    g.cfg.Tokens.Leeway,
		CacheSize: g.cfg.Tokens.CacheSize,
		Now:       g.redis.Clock,
	}
	if g.issuer, err = tokens.NewIssuer(g.keys, options); err != nil {
		return err
	}
	g.eventIssuer.Store(g.issuer)
	g.verifier, err = tokens.NewVerifier(g.keys, options)
	return err
}

// longestMaxAge bounds how long others may keep the public keys: also how long
// they may accept one that was withdrawn.
const longestMaxAge = 15 * time.Minute

// keysMaxAge returns how long the public keys may be kept: so that nobody can have
// missed a key when it begins to sign.
func (g *gateway) keysMaxAge() time.Duration {
	if g.shared == nil {
		return longestMaxAge
	}
	return min(longestMaxAge, g.cfg.Tokens.PublishAhead/2)
}

// baseURL returns what the addresses in the metadata begin with.
func (g *gateway) baseURL() string {
	if base := g.cfg.BaseURL(); base != "" {
		return base
	}
	host, port, err := net.SplitHostPort(g.addr)
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		return "http://" + net.JoinHostPort("localhost", port)
	}
	return "http://" + g.addr
}
