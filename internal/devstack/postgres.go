package devstack

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/lib/pq"
)

// PostgresOptions say where a Postgres lives and how careful it is.
type PostgresOptions struct {
	Dir       string            // made if missing
	Throwaway bool              // nothing is synced to disk and no password is asked for: for tests
	Say       func(text string) // told what the user should know; may be nil
}

// Postgres is a private PostgreSQL server: loopback only, no Unix socket (its
// path would have to be shorter than 108 bytes), UTF-8, C locale.
type Postgres struct {
	server
	run      account
	binaries string // directory of initdb and postgres
	password string // of the role; "": none is asked for
}

// The role that owns everything, and the database that URL names.
const (
	postgresRole     = "sessiongate"
	postgresDatabase = "sessiongate"
)

// StartPostgres runs a postgres in o.Dir, on what an earlier one left there, and
// returns once it answers; the first start makes the cluster (about 1 s). The
// error wraps ErrMissing if there is no binary.
//
// Postgres refuses to run as root. For root it runs as the user postgres, else
// nobody; if that user can't reach o.Dir, the data goes to a directory of its
// own under /var/lib (o.Say hears which; so does Dir).
func StartPostgres(ctx context.Context, o PostgresOptions) (*Postgres, error) {
	p, err := newPostgres(o)
	if err != nil {
		return nil, fmt.Errorf("devstack: postgres: %w", err)
	}
	if err := p.initialize(ctx, o.Throwaway); err != nil {
		return nil, fmt.Errorf("devstack: initialize postgres: %w", err)
	}
	if err := p.Start(ctx); err != nil {
		return nil, err
	}
	if err := p.createDatabase(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("devstack: create database: %w", err), p.Stop())
	}
	return p, nil
}

func newPostgres(o PostgresOptions) (*Postgres, error) {
	if o.Say == nil {
		o.Say = func(string) {}
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	binaries, err := findPostgres("")
	if err != nil {
		return nil, err
	}
	p := &Postgres{}
	if p.run, err = unprivileged(); err != nil {
		return nil, err
	}
	if p.dir, err = p.run.home(dir, filepath.Join(binaries, "postgres"), o.Say); err != nil {
		return nil, err
	}
	if p.binaries, err = findPostgres(p.version()); err != nil {
		return nil, err
	}
	p.kind = kind{
		name:    "postgres",
		stop:    syscall.SIGINT, // "fast": ends the connections, writes a checkpoint
		pidFile: "postmaster.pid",
		ping:    p.ping,
		command: func(port int) *exec.Cmd { return p.command("postgres", p.args(o, port)...) },
	}
	return p, nil
}

// URL is what database.url takes: of a database that was empty at the first start.
func (p *Postgres) URL() string { return p.URLFor(postgresDatabase) }

// URLFor is the URL of the named database, with all rights.
func (p *Postgres) URLFor(database string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.url(database, p.port)
}

func (p *Postgres) url(database string, port int) string {
	u := url.URL{Scheme: "postgres", User: url.User(postgresRole), Host: loopback(port), Path: database}
	if p.password != "" {
		u.User = url.UserPassword(postgresRole, p.password)
	}
	u.RawQuery = url.Values{"sslmode": {"disable"}}.Encode()
	return u.String()
}

func (p *Postgres) args(o PostgresOptions, port int) []string {
	settings := []string{
		"listen_addresses=127.0.0.1",
		"unix_socket_directories=",
		"port=" + strconv.Itoa(port),
		"max_connections=200",
		"logging_collector=off", // the log is ours
	}
	if o.Throwaway {
		settings = append(settings, "fsync=off", "synchronous_commit=off", "full_page_writes=off",
			"shared_buffers=32MB")
	}
	args := []string{"-D", p.data()}
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	return args
}

// command runs one of PostgreSQL's programs as the user that may. The
// environment is bare: PGDATA, PGPORT and a locale that is not installed would
// all change what it does.
func (p *Postgres) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(p.binaries, program), args...)
	cmd.Dir = p.dir
	cmd.SysProcAttr = p.run.attributes()
	cmd.Env = []string{"LC_ALL=C", "TZ=UTC", "PATH=" + os.Getenv("PATH")}
	if path, ok := os.LookupEnv("LD_LIBRARY_PATH"); ok {
		cmd.Env = append(cmd.Env, "LD_LIBRARY_PATH="+path)
	}
	return cmd
}

// version is the major version that wrote the data, "" if there is none yet.
func (p *Postgres) version() string {
	b, _ := os.ReadFile(filepath.Join(p.data(), "PG_VERSION"))
	return strings.TrimSpace(string(b))
}

// initialize makes the cluster unless there is one. It is made beside its place
// and then renamed, so an interrupted initdb leaves nothing half done.
func (p *Postgres) initialize(ctx context.Context, throwaway bool) (err error) {
	lock, err := Lock(p.dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	if !throwaway {
		if p.password, err = p.loadPassword(); err != nil {
			return err
		}
	}
	if p.version() != "" {
		return nil
	}
	fresh := filepath.Join(p.dir, "data.new")
	if err := errors.Join(os.RemoveAll(fresh), os.Mkdir(fresh, 0o700), p.run.own(fresh)); err != nil {
		return err
	}
	args := []string{
		"-D", fresh, "--username", postgresRole, "--encoding", "UTF8", "--locale", "C", "--no-instructions",
	}
	if throwaway {
		args = append(args, "--auth", "trust", "--no-sync")
	} else {
		file, err := p.passwordForInitdb()
		if err != nil {
			return err
		}
		defer os.Remove(file)
		args = append(args, "--auth", "scram-sha-256", "--pwfile", file)
	}
	if err := p.initdb(ctx, args); err != nil {
		return err
	}
	return os.Rename(fresh, p.data())
}

func (p *Postgres) initdb(ctx context.Context, args []string) error {
	log, err := openLog(p.LogFile())
	if err != nil {
		return err
	}
	defer log.Close()
	c, err := spawn(p.command("initdb", args...), log.File, syscall.SIGTERM)
	if err != nil {
		return err
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		c.end(syscall.SIGTERM, stopLimit)
		return ctx.Err()
	}
	if c.err != nil {
		return fmt.Errorf("initdb: %w\n%s", c.err, log.tail())
	}
	return nil
}

func (p *Postgres) passwordFile() string { return filepath.Join(p.dir, "password") }

// loadPassword returns the role's password, made up before the cluster is.
func (p *Postgres) loadPassword() (string, error) {
	b, err := os.ReadFile(p.passwordFile())
	if errors.Is(err, os.ErrNotExist) && p.version() == "" {
		b = []byte(rand.Text())
		err = os.WriteFile(p.passwordFile(), b, 0o600)
	}
	return string(b), err
}

// passwordForInitdb puts the password where initdb, as its user, can read it.
func (p *Postgres) passwordForInitdb() (string, error) {
	file := filepath.Join(p.dir, "password.initdb")
	return file, errors.Join(os.WriteFile(file, []byte(p.password), 0o600), p.run.own(file))
}

func (p *Postgres) ping(ctx context.Context, port, _ int) error {
	db, err := p.open("postgres", port)
	if err != nil {
		return err
	}
	defer db.Close()
	var dir string
	err = db.QueryRowContext(ctx, "SELECT current_setting('data_directory')").Scan(&dir)
	if err == nil && dir != p.data() {
		err = fmt.Errorf("port %d belongs to the postgres in %s", port, dir)
	}
	return err
}

func (p *Postgres) open(database string, port int) (*sql.DB, error) {
	connector, err := pq.NewConnector(p.url(database, port) + "&connect_timeout=5")
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// createDatabase makes the database that URL names unless it is there.
func (p *Postgres) createDatabase(ctx context.Context) error {
	db, err := p.open("postgres", p.port)
	if err != nil {
		return err
	}
	defer db.Close()
	var there bool
	err = db.QueryRowContext(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", postgresDatabase).
		Scan(&there)
	if err != nil || there {
		return err
	}
	_, err = db.ExecContext(ctx, "CREATE DATABASE "+pq.QuoteIdentifier(postgresDatabase))
	return err
}
