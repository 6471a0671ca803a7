package command

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/sessiongate/sessiongate/internal/app"
	"github.com/sessiongate/sessiongate/internal/config"
	"github.com/sessiongate/sessiongate/internal/devstack"
	"github.com/sessiongate/sessiongate/internal/telemetry"
)

// defaultDataDir is where dev keeps its data unless SESSIONGATE_DATA_DIR says
// otherwise.
const defaultDataDir = ".data"

type devCommand struct{}

// Run runs a gateway that needs nothing but this binary and the two servers'.
// Everything it makes up (data, secrets, passwords) is kept in the data
// directory, so that the next run goes on where this one ended.
func (devCommand) Run(ctx context.Context, in *invocation) error {
	d := &dev{in: in, dir: in.variable(config.DataDirVariable)}
	if d.dir == "" {
		d.dir = defaultDataDir
	}
	if err := d.prepare(); err != nil {
		return err
	}
	lock, err := devstack.Lock(d.dir)
	if err != nil {
		return fmt.Errorf("command: dev: %w", err)
	}
	defer lock.Close()
	err = d.run(ctx)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // told to stop while it was starting, and did
	}
	return err
}

// dev is a development gateway.
type dev struct {
	in  *invocation
	dir string
	cfg config.Config
	log *slog.Logger
	has secrets

	redis    *devstack.Redis // nil: somebody else's
	postgres *devstack.Postgres
	stopping atomic.Bool
}

// prepare reads the configuration, and refuses a bad one before anything starts.
func (d *dev) prepare() (err error) {
	if d.dir, err = filepath.Abs(d.dir); err != nil {
		return fmt.Errorf("command: dev: %w", err)
	}
	if d.cfg, err = config.Read(d.in.file, d.in.Environ); err != nil {
		return err
	}
	d.cfg.Dev = true
	if d.in.variable(config.Prefix+"LOG_FORMAT") == "" {
		d.cfg.Log.Format = "text" // for the person who has just started it
	}
	// The servers' user must be able to enter; what is inside is closed.
	if err := errors.Join(os.MkdirAll(d.dir, 0o711), os.Chmod(d.dir, 0o711)); err != nil {
		return fmt.Errorf("command: dev: %w", err)
	}
	if d.has, err = loadSecrets(filepath.Join(d.dir, "secrets")); err != nil {
		return err
	}
	d.has.complete(&d.cfg)

	trial := d.cfg
	if trial.Redis.URL == "" {
		trial.Redis.URL = "redis://127.0.0.1:1/0"
	}
	if trial.Database.URL == "" {
		trial.Database.URL = "postgres://127.0.0.1:1/sessiongate"
	}
	if err := trial.Validate(); err != nil {
		return err
	}
	if err := probe(d.cfg.HTTP.Addr); err != nil {
		return err
	}
	d.log, err = telemetry.NewLogger(d.in.Stderr, d.cfg.Log.Format, d.cfg.Log.Level)
	return err
}

// probe finds out that the address is taken before the servers are started
// rather than after.
func probe(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("%w; choose another address, such as SESSIONGATE_HTTP_ADDR=127.0.0.1:0 for any free port", err)
	}
	return l.Close()
}

func (d *dev) run(ctx context.Context) (err error) {
	// Scripts wait for the file, so an old one must go before anything else.
	if err := removeEnvFile(d.dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	if err := d.start(ctx); err != nil {
		return err
	}
	if err := d.seed(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, removeEnvFile(d.dir)) }()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	err = app.Run(ctx, d.cfg, d.log, func(addr net.Addr) {
		if err := d.announce(addr); err != nil {
			cancel(err)
		}
	})
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = errors.Join(err, cause)
	}
	return err
}

// start runs the servers that nobody named a URL of.
func (d *dev) start(ctx context.Context) (err error) {
	if d.cfg.Redis.URL == "" {
		d.redis, err = devstack.StartRedis(ctx, devstack.RedisOptions{Dir: filepath.Join(d.dir, "redis")})
		if err != nil {
			return err
		}
		d.cfg.Redis.URL = config.Secret(d.redis.URL())
		d.watch("redis-server", d.redis.Done(), d.redis.LogFile())
	}
	if d.cfg.Database.URL == "" {
		d.postgres, err = devstack.StartPostgres(ctx, devstack.PostgresOptions{
			Dir: filepath.Join(d.dir, "postgres"),
			Say: func(text string) { fmt.Fprintln(d.in.Stderr, text) },
		})
		if err != nil {
			return err
		}
		d.cfg.Database.URL = config.Secret(d.postgres.URL())
		d.watch("postgres", d.postgres.Done(), d.postgres.LogFile())
	}
	return nil
}

// watch says when a server ends by itself. The gateway goes on, and answers as
// it does without that server.
func (d *dev) watch(name string, done <-chan struct{}, logFile string) {
	go func() {
		<-done
		if !d.stopping.Load() {
			d.log.Error("server has ended", "server", name, "output", logFile)
		}
	}()
}

// stop ends the servers in the opposite order.
func (d *dev) stop() error {
	d.stopping.Store(true)
	var errs []error
	if d.postgres != nil {
		errs = append(errs, d.postgres.Stop())
	}
	if d.redis != nil {
		errs = append(errs, d.redis.Stop())
	}
	return errors.Join(errs...)
}

// announce says that the gateway is ready: to scripts by the file, to the person
// at the terminal in words.
func (d *dev) announce(addr net.Addr) error {
	url := "http://" + addr.String()
	if err := writeEnvFile(d.dir, [][2]string{
		{"SESSIONGATE_URL", url},
		{"SESSIONGATE_REDIS_URL", string(d.cfg.Redis.URL)},
		{"SESSIONGATE_DATABASE_URL", string(d.cfg.Database.URL)},
		{"DEMO_USER", demoUser},
		{"DEMO_PASSWORD", d.has.demoPassword},
		{"ADMIN_USER", adminUser},
		{"ADMIN_PASSWORD", d.has.adminPassword},
		{"CLIENT_ID", clientID},
		{"CLIENT_SECRET", d.has.clientSecret},
	}); err != nil {
		return err
	}
	d.in.printf(`
sessiongate is ready for development.

  gateway   %s
  redis     redis-cli -u %s
  postgres  psql %s
  data      %s  (dev.env there has all of this, for scripts)

  user      %s  %s
  admin     %s  %s
  client    %s  %s

Sign in:

  curl -s %s/sessions/login -H 'Content-Type: application/json' -d %s

`, url, quote(string(d.cfg.Redis.URL)), quote(string(d.cfg.Database.URL)), d.dir,
		demoUser, d.has.demoPassword, adminUser, d.has.adminPassword, clientID, d.has.clientSecret,
		url, quote(fmt.Sprintf(`{"identifier":%q,"password":%q,"device_info":"curl"}`, demoUser, d.has.demoPassword)))
	return nil
}
