package command

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"text/tabwriter"
	"time"

	"github.com/sessiongate/sessiongate/internal/app"
	"github.com/sessiongate/sessiongate/internal/config"
	"github.com/sessiongate/sessiongate/session"
	"github.com/sessiongate/sessiongate/store"
	"github.com/sessiongate/sessiongate/tokens"
)

type keysListCommand struct{}

// Run needs no sealing key: nothing is opened.
func (keysListCommand) Run(ctx context.Context, in *invocation) error {
	cfg, err := in.loadOnly("tokens.keys", "tokens.algorithm")
	if err != nil {
		return err
	}
	if cfg.Tokens.Keys != config.KeysManaged {
		return listStatic(in)
	}
	if _, err := in.loadOnly("database"); err != nil {
		return err
	}
	db, err := openPostgres(cfg)
	if err != nil {
		return err
	}
	defer db.Close()
	keys, err := db.SigningKeys(ctx)
	if err != nil {
		return err
	}
	return printKeys(in, keys, time.Now())
}

func listStatic(in *invocation) error {
	cfg, err := in.loadOnly("tokens")
	if err != nil {
		return err
	}
	if cfg.Tokens.Keyring != "" {
		return listKeyFiles(in, cfg.Tokens)
	}
	keys, err := app.ConfiguredKeys(cfg.Tokens)
	if err != nil {
		return err
	}
	rows := make([]session.SigningKey, len(keys))
	for i, key := range keys {
		rows[i] = session.SigningKey{ID: key.ID(), Algorithm: key.Algorithm()}
		if i > 0 {
			rows[i].SignsUntil = time.Unix(0, 0)
		}
	}
	return printKeys(in, rows, time.Now())
}

func listKeyFiles(in *invocation, t config.Tokens) error {
	keys, err := tokens.ReadKeyFiles(t.Keyring, t.Algorithm)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(in.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "KID\tALGORITHM\tSTATE\tFILE")
	for _, k := range keys {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", k.Key.ID(), k.Key.Algorithm(), k.State, k.File)
	}
	return w.Flush()
}

func printKeys(in *invocation, keys []session.SigningKey, now time.Time) error {
	w := tabwriter.NewWriter(in.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "KID\tALGORITHM\tSTATE\tSIGNS FROM\tSIGNS UNTIL\tVERIFIES UNTIL")
	for _, k := range keys {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Algorithm, k.State(now),
			dateOrDash(k.SignsFrom), dateOrDash(k.SignsUntil), dateOrDash(k.VerifiesUntil))
	}
	return w.Flush()
}

func dateOrDash(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Format(time.RFC3339)
}

type keysRotateCommand struct {
	Now bool `help:"Let it sign at once, or a next key that is published already. Gateways look for a key they don't know, so hardly a token is refused."`
}

func (c keysRotateCommand) Run(ctx context.Context, in *invocation) error {
	return in.withSharedKeys(ctx, func(keys *tokens.Shared) error {
		err := keys.Publish(ctx, c.Now)
		if errors.Is(err, tokens.ErrNextIsPublished) {
			return fmt.Errorf("%w; --now lets it sign at once", err)
		}
		return err
	})
}

type keysResealCommand struct{}

// Run may be repeated: each time everything is sealed with the first sealing key.
func (keysResealCommand) Run(ctx context.Context, in *invocation) error {
	return in.withSharedKeys(ctx, func(keys *tokens.Shared) error {
		n, err := keys.Reseal(ctx)
		if err == nil {
			in.printf("%d keys are sealed anew.\n\n", n)
		}
		return err
	})
}

type keysRetireCommand struct {
	KID string `arg:"" name:"kid" help:"The key's id, as in keys list."`
}

func (c keysRetireCommand) Run(ctx context.Context, in *invocation) error {
	return in.withSharedKeys(ctx, func(keys *tokens.Shared) error { return keys.Retire(ctx, c.KID) })
}

// withSharedKeys changes the managed keys and shows what came of it.
func (in *invocation) withSharedKeys(ctx context.Context, change func(*tokens.Shared) error) error {
	cfg, err := in.loadOnly("tokens.keys")
	if err != nil {
		return err
	}
	if cfg.Tokens.Keys != config.KeysManaged {
		return fmt.Errorf("%w: tokens.keys is %s: the key is the one in the configuration, and only managed keys can be changed",
			ErrUsage, cfg.Tokens.Keys)
	}
	if cfg, err = in.loadOnly("tokens", "database", "redis", "sessions"); err != nil {
		return err
	}
	db, err := openPostgres(cfg)
	if err != nil {
		return err
	}
	defer db.Close()
	r, err := openRedis(ctx, cfg)
	if err != nil {
		return err
	}
	defer r.Close()
	keys, err := app.SharedKeys(cfg, db, r, r.Clock, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	if err := change(keys); err != nil {
		return err
	}
	return in.showKeys(ctx, db, r, cfg)
}

func (in *invocation) showKeys(ctx context.Context, db *store.Postgres, r *store.Redis, cfg config.Config) error {
	list, err := db.SigningKeys(ctx)
	if err != nil {
		return err
	}
	if err := printKeys(in, list, r.Clock()); err != nil {
		return err
	}
	in.printf("\nEvery gateway knows of it within %s (tokens.reload).\n", cfg.Tokens.Reload)
	return nil
}
