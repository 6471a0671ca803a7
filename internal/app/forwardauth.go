package app

import (
	"context"

	"github.com/sessiongate/sessiongate/handlers"
	"github.com/sessiongate/sessiongate/middleware"
)

func (g *gateway) newForwardAuth(from *middleware.Addresses) (*handlers.ForwardAuth, error) {
	cfg := g.cfg.ForwardAuth
	identity, err := handlers.NewIdentity(cfg.Headers)
	if err != nil {
		return nil, err
	}
	policies := make(map[string]handlers.Policy, len(cfg.Policies))
	for _, p := range cfg.Policies {
		policies[p.Name] = handlers.Policy{Scopes: p.Scopes, Roles: p.Roles}
	}
	f := &handlers.ForwardAuth{
		Tokens: g.verifier, Sessions: g.redis, Activity: g.tracker, Now: g.redis.Clock,
		Identity: identity, Cookie: cfg.Cookie, Policies: policies, Trusts: from.Trusts,
	}
	if cfg.LoginURL != "" {
		f.Login = handlers.NewLoginPage(cfg.LoginURL, cfg.RedirectHosts)
	}
	return f, nil
}

// asker is middleware's client as handlers see it.
func asker(ctx context.Context) handlers.Asker {
	c := middleware.ClientFrom(ctx)
	return handlers.Asker{ID: c.ID, Scopes: c.Scopes, Passive: c.Passive}
}
