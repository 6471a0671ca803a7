package app

import (
	"crypto/hmac"
	"crypto/sha256"
	"net/http"

	"github.com/sessiongate/sessiongate/internal/browser"
	"github.com/sessiongate/sessiongate/internal/config"
	"github.com/sessiongate/sessiongate/login"
	"github.com/sessiongate/sessiongate/session"
)

// buildGuard makes what counts attempts to sign in.
func (g *gateway) buildGuard() (err error) {
	l := g.cfg.Limits
	// A key of its own, so that no digest means anything elsewhere.
	mac := hmac.New(sha256.New, []byte(g.cfg.Audit.FingerprintKey))
	mac.Write([]byte("sessiongate limits"))
	g.guard, err = login.NewGuard(g.redis, login.GuardOptions{
		Limits: session.Limits{
			Known:    session.Rate{Burst: l.KnownBurst, Every: l.KnownEvery},
			Account:  session.Rate{Burst: l.AccountBurst, Every: l.AccountEvery},
			Prefix:   session.Rate{Burst: l.PrefixBurst, Every: l.PrefixEvery},
			Global:   session.Rate{Burst: l.GlobalBurst, Every: l.GlobalEvery},
			Remember: l.Remember,
		},
		PrefixIPv4: l.PrefixIPv4,
		PrefixIPv6: l.PrefixIPv6,
		Key:        mac.Sum(nil),
		Log:        g.log,
	}, g.reg)
	return err
}

// cookies is how sessions are handed to browsers.
func (g *gateway) cookies() browser.Cookies {
	if g.cfg.Browser.SameSite == config.SameSiteStrict {
		return browser.Cookies{SameSite: http.SameSiteStrictMode}
	}
	return browser.Cookies{SameSite: http.SameSiteLaxMode}
}
