package command

import (
	"context"
	"fmt"
	"time"

	"github.com/sessiongate/sessiongate/internal/app"
	"github.com/sessiongate/sessiongate/internal/config"
	"github.com/sessiongate/sessiongate/session"
	"github.com/sessiongate/sessiongate/store"
	"github.com/sessiongate/sessiongate/tokens"
)

// managedKeys looks whether the signing keys can be opened, one of them signs, and
// the next is on its way.
func (e *examination) managedKeys(ctx context.Context, cfg config.Config, db *store.Postgres) {
	const what = "signing keys"
	keys, err := db.SigningKeys(ctx)
	if err != nil {
		e.bad(what, err, "")
		return
	}
	sealer, err := app.NewSealer(cfg.Tokens)
	if err != nil {
		e.bad(what, err, "")
		return
	}
	now := time.Now()
	opened := 0
	var current, next *session.SigningKey
	for i := range keys {
		k := &keys[i]
		switch k.State(now) {
		case session.KeyRetired:
			continue
		case session.KeyCurrent:
			current = k
		case session.KeyNext:
			next = k
		}
		if err := tokens.CheckSealed(ctx, sealer, k); err != nil {
			e.bad(what, err, "has every gateway, and this command, the same tokens.sealing_key (or the same kms_url)?")
			return
		}
		opened++
	}
	if len(keys) == 0 {
		e.check(false, warning, what, "none yet", "the first gateway to start makes one")
		return
	}
	e.good(what, fmt.Sprintf("%d, all can be opened", opened))
	e.turns(cfg.Tokens, current, next, now)
}

// turns looks at which keys sign and when.
func (e *examination) turns(t config.Tokens, current, next *session.SigningKey, now time.Time) {
	if current == nil {
		e.check(next != nil, failed, "signing keys: current", "none signs now", "sessiongate keys rotate --now")
		return
	}
	e.good("signing keys: current", current.ID)
	late := now.Sub(current.SignsFrom) > t.RotateEvery && current.SignsUntil.IsZero()
	found := "none is due"
	if next != nil {
		found = fmt.Sprintf("%s, from %s", next.ID, next.SignsFrom.UTC().Format(time.RFC3339))
	} else if late {
		found = "overdue"
	}
	e.check(next != nil || !late, warning, "signing keys: next", found,
		"no gateway has published one: does a log show errors of the job rotate_keys?")
}
