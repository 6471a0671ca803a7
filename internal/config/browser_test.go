package config

import (
	"strings"
	"testing"
	"time"
)

func TestBrowserAndLimits(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"https://app.example.com", "http://localhost:3000", "https://[::1]:8443", "https://app.example.com:8443"} {
		if !isOrigin(good) {
			t.Errorf("%s is refused", good)
		}
	}
	for _, bad := range []string{
		"null", "*", "", "app.example.com", "https://", "https://*.example.com", "https://app.example.com/", "https://App.example.com",
		"https://app.example.com:443", "http://app.example.com:80", "https://user@app.example.com", "https://app.example.com?x",
		"file:///x", "https://app.example.com#", "https://app.example.com,https://evil.example",
	} {
		if isOrigin(bad) {
			t.Errorf("%q is taken for an origin", bad)
		}
	}
	for key, change := range map[string]func(*Config){
		"browser.same_site":    func(c *Config) { c.Browser.SameSite = "none" },
		"browser.cors_origins": func(c *Config) { c.Browser.CORSOrigins = []string{"*"} },
		"limits.account_burst": func(c *Config) { c.Limits.AccountBurst = -1 },
		"limits.global_every":  func(c *Config) { c.Limits.GlobalEvery = 0 },
		"limits.prefix_ipv4":   func(c *Config) { c.Limits.PrefixIPv4 = 33 },
		"limits.prefix_ipv6":   func(c *Config) { c.Limits.PrefixIPv6 = 0 },
		"limits.remember":      func(c *Config) { c.Limits.Remember = time.Minute },
	} {
		cfg := Default()
		change(&cfg)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s is not complained about: %v", key, err)
		}
	}
}
