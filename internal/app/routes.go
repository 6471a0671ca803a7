package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/sessiongate/sessiongate/handlers"
	"github.com/sessiongate/sessiongate/internal/browser"
	"github.com/sessiongate/sessiongate/internal/config"
	"github.com/sessiongate/sessiongate/internal/telemetry"
	"github.com/sessiongate/sessiongate/middleware"
	"github.com/sessiongate/sessiongate/session"
	"github.com/sessiongate/sessiongate/store"
)

// buildHandler puts the endpoints behind the chain and their guards.
func (g *gateway) buildHandler() error {
	metrics, err := middleware.NewMetrics(g.reg)
	if err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	clients, err := newClients(g.cfg.Clients)
	if err != nil {
		return err
	}
	trusted, err := parseNetworks(g.cfg.HTTP.TrustedProxies)
	if err != nil {
		return err
	}
	addresses := middleware.NewAddresses(trusted)
	if g.forwardAuth, err = g.newForwardAuth(addresses); err != nil {
		return err
	}
	if g.origins, err = browser.NewOrigins(g.cfg.Browser.CORSOrigins, g.cfg.BaseURL()); err != nil {
		return err
	}
	auth := &middleware.Authenticator{
		Tokens: g.verifier, Sessions: g.redis, Activity: g.tracker, Now: g.redis.Clock,
		Origins: g.origins, Cookies: g.cookies(),
	}
	chain := middleware.Chain(middleware.Options{
		Log:       g.log,
		Metrics:   metrics,
		Addresses: addresses,
		Quiet:     handlers.Quiet,
		BodyBytes: int64(g.cfg.HTTP.MaxBodyBytes),
		Larger:    handlers.Larger,
		Timeout:   g.cfg.HTTP.RequestTimeout,
		Unbounded: slices.Concat(handlers.Long, handlers.Brief),
		Origins:   g.origins,
	})
	api := g.api(addresses)
	if api.Docs, err = handlers.NewDocs(); err != nil {
		return err
	}
	g.handler, err = handlers.NewEngine(chain, api, handlers.Guards{
		Live:         auth.Live(),
		Signed:       auth.Signed(),
		Backend:      clients.Basic(config.AllowSessions),
		Introspector: clients.OAuth(config.AllowIntrospect),
		FeedReader:   clients.Basic(config.AllowFeed),
		Batch:        clients.OAuthBasic(config.AllowIntrospect),
		Revoker:      clients.OAuth(config.AllowRevoke),
	})
	return err
}

func (g *gateway) api(from *middleware.Addresses) *handlers.API {
	now, origin := g.redis.Clock, g.originOf(from)
	cookies := g.cookies()
	grant := &handlers.Grant{Tokens: g.issuer, Policy: policyOf(g.cfg.Sessions), Now: now, Cookies: cookies}
	signIns := &handlers.Browser{Origins: g.origins, Tokens: g.verifier, Sessions: g.redis, Origin: origin, Now: now, Cookies: g.cookies()}
	past := ledger{g.postgres}
	return &handlers.API{
		Login:    handlers.Login{Service: g.logins, Origin: origin, Grant: grant, Browser: signIns},
		Resume:   handlers.Resume{Service: g.logins, Origin: origin, Grant: grant, Browser: signIns},
		Password: handlers.Password{Service: g.logins, Origin: origin},
		Backend: handlers.Backend{
			Sessions: g.redis, Assessor: g.assessor, Place: g.places.Of, Client: middleware.ClientID, Grant: grant,
		},
		Status:  handlers.Status{Sessions: g.redis, Activity: g.tracker, Grant: grant},
		Refresh: handlers.Refresh{Sessions: g.redis, Origin: origin, Grant: grant},
		Logout:  handlers.Logout{Sessions: g.redis, Origin: origin, Now: now, Cookies: cookies},
		MySessions: handlers.MySessions{
			Live: g.redis, History: past, Revoker: g.redis, Origin: origin, Now: now, Cookies: cookies,
		},
		MyDevices: handlers.MyDevices{Devices: g.redis, Origin: origin, Now: now},
		MyLogs:    handlers.MyLogs{Logs: past},
		Introspect: handlers.Introspect{
			Tokens: g.verifier, Sessions: g.redis, Many: g.redis, Activity: g.tracker, Asker: asker, Signer: g.issuer,
			Issuer: g.cfg.Tokens.Issuer, Audience: g.cfg.Tokens.Audience, Now: now,
		},
		Push:    g.pushHandler(),
		Notices: g.noticesHandler(from),
		Feed:    handlers.Revocations{Feed: g.feed, Heartbeat: g.cfg.Feed.Heartbeat, Ending: g.ending},
		Events: handlers.Events{
			Sessions: g.redis, Feed: watcher{g.feed}, Heartbeat: g.cfg.Feed.Heartbeat, Now: now, Grant: grant, Ending: g.ending,
		},
		Revoke: handlers.Revoke{
			Tokens: g.verifier, Sessions: g.redis, Client: middleware.ClientID, Origin: origin, Now: now,
		},
		ForwardAuth: *g.forwardAuth,
		WellKnown: handlers.WellKnown{
			Keys: g.keys, Now: now, MaxAge: g.keysMaxAge(),
			Metadata: handlers.NewMetadata(g.cfg.Tokens.Issuer, g.baseURL(), g.cfg.Tokens.Algorithm),
		},
		Health: handlers.Health{
			Redis: g.redis, Postgres: g.postgres, Degraded: g.degraded, Draining: g.draining.Load,
		},
		Metrics: telemetry.Handler(g.reg),
	}
}

// degraded names what /readyz shows beside the stores.
func (g *gateway) degraded() (what []string) {
	if !g.schema.current.Load() {
		what = append(what, "migrations_pending")
	}
	// Nothing goes wrong by it, since the gateway goes by Redis's clock; but who
	// compares its log with another one's will want to know.
	if skew := time.Until(g.redis.Clock()); skew.Abs() > g.cfg.Tokens.Leeway {
		what = append(what, "clock_skewed")
	}
	return what
}

// ledger is store.Postgres as handlers ask it.
type ledger struct{ db *store.Postgres }

func (l ledger) EndedSessions(
	ctx context.Context, userID string, at time.Time, id session.ID, limit int,
) ([]session.Session, error) {
	list, err := l.db.EndedSessions(ctx, userID, store.SessionCursor{LastActivity: at, ID: id}, limit)
	return list, cantSay(err)
}

func (l ledger) Logs(ctx context.Context, userID string, q handlers.LogQuery, limit int) ([]session.Log, error) {
	rows, err := l.db.Logs(ctx, userID, store.LogFilter{
		Action: q.Action, SessionID: q.SessionID, From: q.From, To: q.To,
		Before: store.LogCursor{CreatedAt: q.BeforeAt, ID: q.BeforeID},
	}, limit)
	return rows, cantSay(err)
}

// cantSay makes a database without our tables one that can't say: it is what a
// client meets before the first migration has run.
func cantSay(err error) error {
	if errors.Is(err, store.ErrSchema) {
		return fmt.Errorf("%w: %w", session.ErrUnavailable, err)
	}
	return err
}

func newClients(list []config.Client) (*middleware.Clients, error) {
	clients := make([]middleware.Client, len(list))
	for i, c := range list {
		clients[i] = middleware.Client{ID: c.ID, Allow: c.Allow, Scopes: c.Scopes, Passive: c.Passive}
		for _, text := range c.SecretsSHA256 {
			raw, err := hex.DecodeString(text)
			if err != nil || len(raw) != sha256.Size {
				return nil, fmt.Errorf("client %s: a secret is not the SHA-256 of one in hex", c.ID)
			}
			clients[i].Secrets = append(clients[i].Secrets, [sha256.Size]byte(raw))
		}
	}
	return middleware.NewClients(clients)
}

// parseNetworks reads addresses and networks; an address is a network of one.
func parseNetworks(list []string) ([]netip.Prefix, error) {
	networks := make([]netip.Prefix, len(list))
	for i, s := range list {
		prefix, err := netip.ParsePrefix(s)
		if err != nil {
			addr, errAddr := netip.ParseAddr(s)
			if errAddr != nil {
				return nil, fmt.Errorf("%q is neither an address nor a network", s)
			}
			prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
		networks[i] = prefix
	}
	return networks, nil
}
