package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/lib/pq"
)

// applicationName is how the gateway's connections are shown in
// pg_stat_activity, unless database.url has an application_name.
const applicationName = "sessiongate"

// connectTimeout bounds dialing and signing in, unless database.url has a
// connect_timeout.
const connectTimeout = 5 * time.Second

// answerMargin is how much longer than its statement timeout the server may take
// to answer before the connection counts as dead.
const answerMargin = 2 * time.Second

// postgresConfig reads database.url. What the driver says about one that it
// can't read may quote it, password and all; only what is about a single setting
// is passed on.
func postgresConfig(url string) (pq.Config, error) {
	cfg, err := pq.NewConfig(url)
	switch {
	case err == nil:
	case strings.HasPrefix(err.Error(), "pq: ") && !strings.Contains(err.Error(), "password"):
		return pq.Config{}, err
	default:
		return pq.Config{}, errors.New(
			"database.url is neither postgres://user:password@host:port/name?sslmode=… nor key=value pairs")
	}
	cfg = cfg.Clone() // makes Runtime
	if cfg.ApplicationName == "" {
		cfg.ApplicationName = applicationName
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = connectTimeout
	}
	cfg.Runtime["timezone"] = "UTC"
	return cfg, nil
}

// openPool returns a pool that connects when it is first used. With a limit, the
// server ends a statement that takes longer and a transaction left alone for as
// long; if the server itself has stopped answering, the connection is given up
// shortly after.
func openPool(cfg pq.Config, limit time.Duration) (*sql.DB, error) {
	cfg = cfg.Clone()
	// Statements and their parameters go in one round trip. No parameter is a
	// []byte, the one kind that this would send in another form.
	cfg.BinaryParameters = true
	d := dialer{}
	if limit > 0 {
		ms := strconv.FormatInt(max(limit.Milliseconds(), 1), 10)
		cfg.Runtime["statement_timeout"] = ms
		cfg.Runtime["idle_in_transaction_session_timeout"] = ms
		d.silence = limit + answerMargin
	}
	c, err := pq.NewConnectorConfig(cfg)
	if err != nil {
		return nil, err
	}
	c.Dialer(d)
	return sql.OpenDB(connector{c}), nil
}

// connector marks whatever goes wrong while connecting, most of which the driver
// reports as plain text, as a failure to connect.
type connector struct{ *pq.Connector }

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, &connectError{err}
	}
	return conn, nil
}

type connectError struct{ err error }

func (e *connectError) Error() string { return "connect: " + e.err.Error() }
func (e *connectError) Unwrap() error { return e.err }

// dialer makes connections that don't wait for ever. The driver can only ask the
// server to stop: a query's context has no power over a server that is frozen or
// a network that swallows packets.
type dialer struct{ silence time.Duration }

var _ pq.DialerContext = dialer{}

func (d dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	var nd net.Dialer
	c, err := nd.DialContext(ctx, network, address)
	if err != nil || d.silence == 0 {
		return c, err
	}
	return &limitedConn{Conn: c, silence: d.silence}, nil
}

// The rest of pq.Dialer, which the driver does not use where there is DialContext.

func (d dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

func (d dialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return d.DialContext(ctx, network, address)
}

// limitedConn fails a read or a write that nothing comes of for too long, except
// while a deadline of the driver's own is in force (during connect_timeout).
type limitedConn struct {
	net.Conn
	silence time.Duration
	held    bool
}

func (c *limitedConn) SetDeadline(t time.Time) error {
	c.held = !t.IsZero()
	return c.Conn.SetDeadline(t)
}

func (c *limitedConn) Read(b []byte) (int, error) {
	if !c.held {
		if err := c.SetReadDeadline(time.Now().Add(c.silence)); err != nil {
			return 0, err
		}
	}
	return c.Conn.Read(b)
}

func (c *limitedConn) Write(b []byte) (int, error) {
	if !c.held {
		if err := c.SetWriteDeadline(time.Now().Add(c.silence)); err != nil {
			return 0, err
		}
	}
	return c.Conn.Write(b)
}
