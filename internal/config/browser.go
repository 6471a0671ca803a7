package config

import (
	"net/url"
	"time"
)

// What browser.same_site may be.
const (
	SameSiteLax    = "lax"
	SameSiteStrict = "strict"
)

// Browser is how browsers hold their sessions.
type Browser struct {
	SameSite    string   `koanf:"same_site"`    // SameSiteLax or SameSiteStrict
	CORSOrigins []string `koanf:"cors_origins"` // exact, such as https://app.example.com
}

// Limits are how often somebody may fail to sign in: a burst, and once more each
// "every" (GCRA). A burst of 0 is no limit.
type Limits struct {
	KnownBurst   int           `koanf:"known_burst"` // of an account, from each of its known devices and networks
	KnownEvery   time.Duration `koanf:"known_every"`
	AccountBurst int           `koanf:"account_burst"` // of an account, from everywhere else
	AccountEvery time.Duration `koanf:"account_every"`
	PrefixBurst  int           `koanf:"prefix_burst"` // of a network
	PrefixEvery  time.Duration `koanf:"prefix_every"`
	GlobalBurst  int           `koanf:"global_burst"` // of everybody who is not known
	GlobalEvery  time.Duration `koanf:"global_every"`

	PrefixIPv4 int           `koanf:"prefix_ipv4"` // bits of an address that name a network
	PrefixIPv6 int           `koanf:"prefix_ipv6"`
	Remember   time.Duration `koanf:"remember"` // how long a device or network stays known
}

func (v *validator) browser(b Browser) {
	v.oneOf("browser.same_site", b.SameSite, SameSiteLax, SameSiteStrict)
	for _, origin := range b.CORSOrigins {
		v.check(isOrigin(origin), "browser.cors_origins", origin,
			`an origin as browsers write it, such as https://app.example.com or http://localhost:3000: `+
				`no pattern, no "null", no path, no default port, in lower case`)
	}
}

// isOrigin says whether s is the serialization of an origin (RFC 6454 §6.2).
func isOrigin(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || s != u.Scheme+"://"+u.Host {
		return false
	}
	standard := map[string]string{"https": "443", "http": "80"}[u.Scheme]
	return isHost(u.Host) && u.Port() != standard
}

func (v *validator) limits(l Limits) {
	for _, r := range []struct {
		name  string
		burst int
		every time.Duration
	}{
		{"known", l.KnownBurst, l.KnownEvery},
		{"account", l.AccountBurst, l.AccountEvery},
		{"prefix", l.PrefixBurst, l.PrefixEvery},
		{"global", l.GlobalBurst, l.GlobalEvery},
	} {
		v.count("limits."+r.name+"_burst", r.burst, 0, 1_000_000)
		v.duration("limits."+r.name+"_every", r.every, time.Millisecond, 24*time.Hour)
	}
	v.count("limits.prefix_ipv4", l.PrefixIPv4, 8, 32)
	v.count("limits.prefix_ipv6", l.PrefixIPv6, 16, 128)
	v.duration("limits.remember", l.Remember, time.Hour, 8760*time.Hour)
}
