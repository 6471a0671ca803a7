package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Validate reports every setting that can't work, or that nobody should want,
// as an *InvalidError.
func (c Config) Validate() error {
	v := &validator{dev: c.Dev}
	v.http(c)
	v.stores(c)
	v.tokens(c.Tokens)
	v.sessions(c)
	v.passwords(c.Passwords)
	v.secret("audit.fingerprint_key", c.Audit.FingerprintKey, c.Tokens.Secret)
	v.limits(c.Limits)
	v.browser(c.Browser)
	v.clients(c.Clients)
	v.feed(c.Feed)
	v.forwardAuth(c.ForwardAuth)
	v.geo(c.Geo)
	v.risk(c.Risk, c.Geo)
	v.notify(c)
	v.jobs(c.Jobs)
	v.check(c.SessionCache == "" || c.SessionCache == CacheTracking, "session_cache", c.SessionCache,
		"nothing, or %s", CacheTracking)
	v.admin(c.Admin)
	v.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	v.oneOf("log.format", c.Log.Format, "json", "text")
	if len(v.problems) == 0 {
		return nil
	}
	return &InvalidError{v.problems}
}

type validator struct {
	dev      bool
	problems []Problem
}

// check notes a problem unless the setting is good. The value given must not be
// a secret.
func (v *validator) check(ok bool, key string, value any, format string, args ...any) {
	if !ok {
		v.problems = append(v.problems, Problem{Key: key, Given: given(value), Want: "want " + fmt.Sprintf(format, args...)})
	}
}

// checkHidden is check for a value that must not be shown.
func (v *validator) checkHidden(ok bool, key, format string, args ...any) {
	if !ok {
		v.problems = append(v.problems, Problem{Key: key, Want: "want " + fmt.Sprintf(format, args...)})
	}
}

func (v *validator) duration(key string, d, least, most time.Duration) {
	v.check(d >= least && d <= most, key, d, "%s to %s", durationText(least), durationText(most))
}

func (v *validator) count(key string, n, least, most int) {
	v.check(n >= least && n <= most, key, n, "%d to %d", least, most)
}

func (v *validator) oneOf(key, value string, allowed ...string) {
	v.check(slices.Contains(allowed, value), key, value, "%s", strings.Join(allowed, " or "))
}

func (v *validator) http(c Config) {
	h := c.HTTP
	v.address("http.addr", h.Addr)
	v.check(h.PublicURL == "" || isBaseURL(h.PublicURL), "http.public_url", h.PublicURL,
		"nothing, or https://host without a slash at its end, a query or a fragment")
	for _, p := range h.TrustedProxies {
		_, errAddr := netip.ParseAddr(p)
		_, errPrefix := netip.ParsePrefix(p)
		v.check(errAddr == nil || errPrefix == nil, "http.trusted_proxies", p,
			"IP addresses or networks, such as 10.0.0.0/8")
	}
	v.duration("http.read_header_timeout", h.ReadHeaderTimeout, 100*time.Millisecond, 5*time.Minute)
	v.duration("http.request_timeout", h.RequestTimeout, 100*time.Millisecond, 5*time.Minute)
	v.duration("http.idle_timeout", h.IdleTimeout, time.Second, time.Hour)
	v.count("http.max_body_bytes", h.MaxBodyBytes, 1<<10, 16<<20)
	v.count("http.max_header_bytes", h.MaxHeaderBytes, 4<<10, 1<<20)
	v.duration("http.shutdown_timeout", h.ShutdownTimeout, time.Second, 10*time.Minute)
	v.duration("http.drain_delay", h.DrainDelay, 0, 5*time.Minute)
}

// isBaseURL says whether paths can be put behind s (RFC 8414 §2: no query, no
// fragment).
func isBaseURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil &&
		!strings.ContainsAny(s, "?#") && !strings.HasSuffix(s, "/")
}

// BaseURL returns what the addresses in the metadata begin with: the setting, or
// the issuer where that is a URL, or "" where nobody knows.
func (c Config) BaseURL() string {
	if c.HTTP.PublicURL != "" {
		return c.HTTP.PublicURL
	}
	if base := strings.TrimSuffix(c.Tokens.Issuer, "/"); isBaseURL(base) {
		return base
	}
	return ""
}

// admin keeps profiles on this machine: they show what is in memory.
func (v *validator) admin(a Admin) {
	if a.PprofAddr == "" {
		return
	}
	addr, err := netip.ParseAddrPort(a.PprofAddr)
	v.check(err == nil && addr.Addr().IsLoopback(), "admin.pprof_addr", a.PprofAddr,
		"nothing, or a loopback address such as 127.0.0.1:6060: profiles are for nobody else")
}

// address checks host:port, and that a development gateway stays on this machine.
func (v *validator) address(key, addr string) {
	host, port, err := net.SplitHostPort(addr)
	_, errPort := strconv.ParseUint(port, 10, 16)
	if err != nil || errPort != nil {
		v.check(false, key, addr, "host:port, such as 127.0.0.1:8080, or :8080 for every address")
		return
	}
	if v.dev {
		ip, err := netip.ParseAddr(host)
		v.check(host == "localhost" || err == nil && ip.IsLoopback(), key, addr,
			"a loopback address such as 127.0.0.1:8080: `sessiongate dev` is for this machine alone")
	}
}

func (v *validator) stores(c Config) {
	v.url("redis.url", c.Redis.URL, "redis://user:password@host:6379/0", "redis", "rediss", "unix")
	v.duration("redis.timeout", c.Redis.Timeout, 10*time.Millisecond, 10*time.Second)
	v.check(c.Redis.Timeout < c.HTTP.RequestTimeout, "redis.timeout", c.Redis.Timeout,
		"less than http.request_timeout (%s)", durationText(c.HTTP.RequestTimeout))
	v.count("redis.pool_size", c.Redis.PoolSize, 0, 10000)
	p := c.Redis.Partitions
	v.check(p >= 1 && p <= 64 && p&(p-1) == 0, "redis.partitions", p, "a power of two, 1 to 64")

	v.url("database.url", c.Database.URL, "postgres://user:password@host:5432/database", "postgres", "postgresql")
	v.count("database.max_conns", c.Database.MaxConns, 2, 1000)
	v.duration("database.statement_timeout", c.Database.StatementTimeout, 100*time.Millisecond, 10*time.Minute)
}

func (v *validator) url(key string, s Secret, example string, schemes ...string) {
	if s == "" {
		v.checkHidden(false, key, "a URL such as %s: it has no default", example)
		return
	}
	u, err := url.Parse(string(s)) // its error would show the password
	ok := err == nil && slices.Contains(schemes, u.Scheme) && (u.Host != "" || u.Scheme == "unix" && u.Path != "")
	v.checkHidden(ok, key, "a URL such as %s", example)
}

func (v *validator) sessions(c Config) {
	s := c.Sessions
	v.duration("sessions.ttl", s.TTL, time.Second, 24*time.Hour)
	v.check(s.TTL%time.Second == 0, "sessions.ttl", s.TTL, "whole seconds, as exp is (RFC 7519 §2)")
	v.check(s.RefreshAfter > 0 && s.RefreshAfter < s.TTL, "sessions.refresh_after", s.RefreshAfter,
		"more than 0s and less than sessions.ttl (%s)", durationText(s.TTL))
	v.check(s.RefreshJitter >= 0 && s.RefreshJitter <= 0.5, "sessions.refresh_jitter", s.RefreshJitter, "0 to 0.5")
	v.check(s.Grace >= 0 && s.Grace < s.TTL, "sessions.grace", s.Grace,
		"0s or more and less than sessions.ttl (%s)", durationText(s.TTL))
	v.check(s.AbsoluteLifetime == 0 || s.AbsoluteLifetime >= s.TTL, "sessions.absolute_lifetime", s.AbsoluteLifetime,
		"0s for no limit, or at least sessions.ttl (%s)", durationText(s.TTL))
	v.count("sessions.max_per_user", s.MaxPerUser, 1, 1000)
	v.oneOf("sessions.on_limit", s.OnLimit, LimitEvict, LimitDeny)
	v.lifetimes("sessions.", s.TTL, &s.IdleTimeout, &s.RememberLifetime)
	for i := range s.Rules {
		v.sessionRule(i, s.Rules[i], s.TTL)
	}
	v.check(c.Tokens.Leeway >= 0 && c.Tokens.Leeway <= time.Minute && c.Tokens.Leeway < s.TTL,
		"tokens.leeway", c.Tokens.Leeway, "0s to 1m and less than sessions.ttl (%s)", durationText(s.TTL))
}

func (v *validator) passwords(p Passwords) {
	// Outside dev, not below the weakest that OWASP's Password Storage Cheat
	// Sheet accepts; argon2 itself needs 8 KiB a lane (RFC 9106 §3.1).
	least := 7168
	if v.dev {
		least = 8 * max(p.Parallelism, 1)
	}
	v.count("passwords.memory_kib", p.MemoryKiB, least, 1<<20)
	v.count("passwords.iterations", p.Iterations, 1, 100)
	v.count("passwords.parallelism", p.Parallelism, 1, 64)
	v.count("passwords.concurrency", p.Concurrency, 0, 1024)
	v.duration("passwords.max_wait", p.MaxWait, 0, time.Minute)
}

func (v *validator) feed(f Feed) {
	v.count("feed.max_entries", f.MaxEntries, 1000, 10_000_000)
	v.count("feed.max_readers", f.MaxReaders, 1, 1_000_000)
	v.duration("feed.heartbeat", f.Heartbeat, time.Second, time.Minute)
}

func (v *validator) jobs(j Jobs) {
	v.schedule("jobs.flush", j.Flush)
	v.count("jobs.flush_batch", j.FlushBatch, 1, 10000)
	v.schedule("jobs.activity", j.Activity)
	v.schedule("jobs.sweep", j.Sweep)
	v.schedule("jobs.reconcile", j.Reconcile)
	v.check(j.ReconcileMaxMissing > 0 && j.ReconcileMaxMissing <= 1, "jobs.reconcile_max_missing",
		j.ReconcileMaxMissing, "more than 0, up to 1")
	v.schedule("jobs.partitions", j.Partitions)
	v.check(j.Retention == 0 || j.Retention >= 24*time.Hour, "jobs.retention", j.Retention,
		"0s to keep everything, or at least 24h")
	v.duration("jobs.claim_idle", j.ClaimIdle, time.Second, time.Hour)
	v.schedule("jobs.notices", j.Notices)
}

// schedule checks the form only; the fields of a cron line are the scheduler's to
// judge.
func (v *validator) schedule(key, s string) {
	const want = `a cron schedule such as "5 3 * * *", or "@every 10s" (at least 1s)`
	switch every, isEvery := strings.CutPrefix(s, "@every "); {
	case isEvery:
		d, err := time.ParseDuration(every)
		v.check(err == nil && d >= time.Second, key, s, want)
	case strings.HasPrefix(s, "@"):
		v.check(slices.Contains([]string{"@hourly", "@daily", "@midnight", "@weekly", "@monthly"}, s), key, s, want)
	default:
		v.check(len(strings.Fields(s)) == 5, key, s, want)
	}
}
