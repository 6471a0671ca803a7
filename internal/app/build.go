package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sessiongate/sessiongate/geo"
	"github.com/sessiongate/sessiongate/handlers"
	"github.com/sessiongate/sessiongate/internal/browser"
	"github.com/sessiongate/sessiongate/internal/config"
	"github.com/sessiongate/sessiongate/internal/telemetry"
	"github.com/sessiongate/sessiongate/jobs"
	"github.com/sessiongate/sessiongate/login"
	"github.com/sessiongate/sessiongate/risk"
	"github.com/sessiongate/sessiongate/session"
	"github.com/sessiongate/sessiongate/store"
	"github.com/sessiongate/sessiongate/tokens"
)

// gateway is the parts, put together.
type gateway struct {
	cfg config.Config
	log *slog.Logger
	reg *prometheus.Registry

	redis    *store.Redis
	feed     *store.Feed
	postgres *store.Postgres
	schema   *schema
	places   *geo.DB
	rules    risk.Rules
	assessor *login.Assessor
	tracker  *jobs.Tracker
	jobs     *jobs.Scheduler

	addr     string // where this gateway listens
	keys     *tokens.Keyring
	shared   *tokens.Shared    // nil where keys are not shared
	keyFiles *tokens.Directory // nil where keys are not files
	issuer   *tokens.Issuer
	verifier *tokens.Verifier
	guard    *login.Guard
	logins   *login.Service
	notices  notices
	// eventIssuer is issuer, for what is started before it.
	eventIssuer atomic.Pointer[tokens.Issuer]

	origins     *browser.Origins
	forwardAuth *handlers.ForwardAuth // over HTTP and for Envoy

	draining atomic.Bool
	ending   context.Context // done when answers that wait have to end
	end      context.CancelFunc
	handler  http.Handler
}

// build makes the parts, starts those that work by themselves, and pushes onto
// down what stops them. addr is where this gateway listens.
func build(ctx context.Context, cfg config.Config, log *slog.Logger, addr string, down *stack) (*gateway, error) {
	g := &gateway{cfg: cfg, log: log, reg: telemetry.NewRegistry(), addr: addr}
	g.ending, g.end = context.WithCancel(context.WithoutCancel(ctx))
	for _, part := range []func() error{
		g.buildKeys, // what can be wrong with the configuration comes first
		func() error { return g.openPlaces(ctx) },
		func() error { return g.openPostgres(down) },
		func() error { return g.openRedis(ctx, addr, down) },
		g.shareKeys,
		func() error { return g.openFeed(down) },
		g.buildLogins,
		g.buildNotices,
		func() error { return g.startJobs(down) },
		func() error { return g.watchSchema(ctx, down) },
		func() error { return g.startKeys(ctx) }, // needs the tables
		g.buildTokens,
		g.buildHandler,
	} {
		if err := part(); err != nil {
			return nil, err
		}
	}
	return g, nil
}

func (g *gateway) openPostgres(down *stack) (err error) {
	g.postgres, err = store.OpenPostgres(store.PostgresOptions{
		URL:              string(g.cfg.Database.URL),
		MaxConns:         g.cfg.Database.MaxConns,
		StatementTimeout: g.cfg.Database.StatementTimeout,
		FingerprintKey:   []byte(g.cfg.Audit.FingerprintKey),
		Rules:            g.rules,
		Notices:          noticeRules(g.cfg.Notify, g.rules),
		NoticeRepeat:     g.cfg.Notify.RepeatAfter,
	})
	if err != nil {
		return err
	}
	down.push("postgres", func(context.Context) error { return g.postgres.Close() })
	return telemetry.RegisterDB(g.reg, g.postgres.DB().DB, "postgres")
}

// How long a gateway that starts waits for its Redis, and how often it looks.
const (
	redisPatience = 30 * time.Second
	redisRetry    = 500 * time.Millisecond
)

// openRedis waits for a Redis that does not answer yet: things that are started
// together come up in any order. One that is set up wrongly is an error at once.
func (g *gateway) openRedis(ctx context.Context, addr string, down *stack) error {
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("find out the name of this host: %w", err)
	}
	options := store.RedisOptions{
		URL:        string(g.cfg.Redis.URL),
		PoolSize:   g.cfg.Redis.PoolSize,
		Timeout:    g.cfg.Redis.Timeout,
		Partitions: g.cfg.Redis.Partitions,
		Policy:     policyOf(g.cfg.Sessions),
		// The same after a restart, so that it goes on with what it had read.
		Instance:   host + " " + addr,
		ClaimIdle:  g.cfg.Jobs.ClaimIdle,
		FeedLength: g.cfg.Feed.MaxEntries,
		Tracking:   g.cfg.SessionCache == config.CacheTracking,
		Log:        g.log,
	}
	retry := time.NewTicker(redisRetry)
	defer retry.Stop()
	giveUp := time.NewTimer(redisPatience)
	defer giveUp.Stop()
	for first := true; ; first = false {
		g.redis, err = store.OpenRedis(ctx, options)
		if err == nil {
			down.push("redis", func(context.Context) error { return g.redis.Close() })
			return registerCache(g.reg, g.redis.TrackingStats)
		}
		if !errors.Is(err, session.ErrUnavailable) || errors.Is(err, store.ErrUnusableRedis) {
			return err
		}
		if first {
			g.log.WarnContext(ctx, "redis does not answer, waiting for it", "for", redisPatience, "err", err)
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

func policyOf(s config.Sessions) session.Policy {
	rules := make([]session.Rule, len(s.Rules))
	for i, r := range s.Rules {
		rules[i] = session.Rule{
			ClientID: r.Client, Role: r.Role,
			TTL: r.TTL, Idle: r.IdleTimeout, Absolute: r.AbsoluteLifetime, Remember: r.RememberLifetime,
		}
	}
	return session.Policy{
		TTL:          s.TTL,
		RefreshAfter: s.RefreshAfter,
		Jitter:       s.RefreshJitter,
		Grace:        s.Grace,
		Idle:         s.IdleTimeout,
		Absolute:     s.AbsoluteLifetime,
		Remember:     s.RememberLifetime,
		MaxPerUser:   s.MaxPerUser,
		DenyMore:     s.OnLimit == config.LimitDeny,
		Rules:        rules,
	}
}

func maxTTL(s config.Sessions) time.Duration {
	p := policyOf(s)
	return p.MaxTTL()
}

func (g *gateway) buildLogins() error {
	p := g.cfg.Passwords
	hasher, err := login.NewHasher(login.HasherOptions{
		MemoryKiB:   uint32(p.MemoryKiB), // validated to fit
		Iterations:  uint32(p.Iterations),
		Parallelism: uint8(p.Parallelism),
		Concurrency: p.Concurrency,
		MaxWait:     p.MaxWait,
	})
	if err != nil {
		return err
	}
	if err := g.buildGuard(); err != nil {
		return err
	}
	if g.assessor, err = g.newAssessor(); err != nil {
		return err
	}
	g.logins = &login.Service{
		Users: g.postgres, Sessions: g.redis, Devices: g.redis, Revoker: g.redis, Passwords: hasher, Guard: g.guard,
		Assessor: g.assessor, Clock: g.redis.Clock, Log: g.log,
	}
	return nil
}

// lastFlush bounds each of the things that a gateway does before it goes.
const lastFlush = 5 * time.Second

func (g *gateway) startJobs(down *stack) (err error) {
	if g.tracker, err = jobs.NewTracker(g.redis, g.reg); err != nil {
		return err
	}
	s := g.cfg.Jobs
	deps := jobs.Deps{
		Redis:    g.redis,
		Postgres: g.postgres,
		Tracker:  g.tracker,
		TTL:      maxTTL(g.cfg.Sessions),
		Settings: jobs.Settings{
			Flush: s.Flush, FlushBatch: s.FlushBatch, Activity: s.Activity, Sweep: s.Sweep,
			Reconcile: s.Reconcile, ReconcileMaxMissing: s.ReconcileMaxMissing,
			Partitions: s.Partitions, Retention: s.Retention, Keys: "@every " + g.cfg.Tokens.Reload.String(),
			Geo: "@every " + g.cfg.Geo.Reload.String(), Remember: g.cfg.Risk.Remember,
		},
		Metrics: g.reg,
		Log:     g.log,
		Notices: jobs.NoticeSettings{
			Schedule: s.Notices, Timeout: g.cfg.Notify.Timeout, MaxAttempts: g.cfg.Notify.MaxAttempts, Keep: g.cfg.Notify.Keep,
		},
	}
	if g.notices.notifier != nil {
		deps.Notifier = g.notices.notifier
	}
	switch {
	case g.shared != nil:
		deps.Keys, deps.Rotation = g.shared, g.shared
	case g.keyFiles != nil:
		deps.Keys = g.keyFiles
	}
	if g.places.On() {
		deps.Geo = g.places
	}
	table, err := jobs.All(deps)
	if err != nil {
		return err
	}
	if g.jobs, err = jobs.NewScheduler(table, g.reg, g.log); err != nil {
		return err
	}
	g.jobs.Start()
	down.push("jobs", g.stopJobs)
	return nil
}

// stopJobs stops the jobs and does the last round of those that carry something
// away. What it can't get rid of is safe where it is, for the next gateway, so
// that is no error.
func (g *gateway) stopJobs(ctx context.Context) error {
	err := g.jobs.Stop(ctx)
	for _, name := range []string{"activity", "flush", "last_activity"} {
		g.runOnce(ctx, name)
	}
	return err
}

// runOnce runs a job out of turn.
func (g *gateway) runOnce(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(ctx, lastFlush)
	defer cancel()
	if _, err := g.jobs.RunNow(ctx, name); err != nil {
		g.log.WarnContext(ctx, "job could not be run out of turn; its next run will see to it", "job", name, "err", err)
	}
}
