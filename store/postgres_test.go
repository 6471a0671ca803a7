package store

import (
	"context"
	"crypto/x509"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
	"pgregory.net/rapid"

	"github.com/sessiongate/sessiongate/internal/testenv"
	"github.com/sessiongate/sessiongate/session"
)

// hole is an address where nobody listens.
func hole(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestOpenPostgresDoesNotDial(t *testing.T) {
	t.Parallel()
	l := openLedger(t, "postgres://ana:hunter2@"+hole(t)+"/app?sslmode=disable")
	err := l.Ping(t.Context())
	if !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("Ping gives %v, want ErrUnavailable", err)
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error has the password: %v", err)
	}
}

func TestOpenPostgresNeverRepeatsThePassword(t *testing.T) {
	t.Parallel()
	for _, u := range []string{
		"postgres://ana:hunter2@host:port/app",
		"postgres://ana:hunter2/@host/app",
		"postgres://ana:%zzhunter2@host/app",
		"mysql://ana:hunter2@host/app",
		"postgres://ana:hunter2@host/app?sslmode=maybe",
		"postgres://ana:hunter2@host/app?connect_timeout=soon",
		"user=ana password=very hunter2",
		"user=ana password='hunter2",
		"hunter2",
	} {
		_, err := OpenPostgres(PostgresOptions{URL: u})
		if err == nil {
			t.Errorf("%s: no error", u)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error has the password: %v", u, err)
		}
	}
}

func TestOpenPostgresSettings(t *testing.T) {
	t.Parallel()
	base := testenv.Postgres(t)
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	pairs := fmt.Sprintf("host=%s port=%s user=%s dbname=%s sslmode=disable",
		u.Hostname(), u.Port(), u.User.Username(), strings.TrimPrefix(u.Path, "/"))
	const query = `SELECT current_setting('statement_timeout'), current_setting('idle_in_transaction_session_timeout'),
		current_setting('application_name'), current_setting('timezone')`
	for _, tt := range []struct{ name, url, want string }{
		{"URL", base, "1500ms|1500ms|sessiongate|UTC"},
		{"key=value", pairs, "1500ms|1500ms|sessiongate|UTC"},
		{"URL with a name", base + "&application_name=theirs", "1500ms|1500ms|theirs|UTC"},
		{"key=value with a name", pairs + ` application_name='it\'s'`, "1500ms|1500ms|it's|UTC"},
		{"URL with a timeout", base + "&statement_timeout=9", "1500ms|1500ms|sessiongate|UTC"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, err := OpenPostgres(PostgresOptions{URL: tt.url, StatementTimeout: 1500 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			l := &ledger{TB: t, Postgres: p}
			l.wantRows([]string{tt.want}, query)
		})
	}
}

func TestPostgresGivesUpALongStatement(t *testing.T) {
	t.Parallel()
	p, err := OpenPostgres(PostgresOptions{URL: testenv.Postgres(t), StatementTimeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	_, err = p.DB().ExecContext(t.Context(), "SELECT pg_sleep(60)")
	if f, state := faultOf(err); f != faultServer || state != "57014" {
		t.Errorf("fault is %v %q (%v), want the server's 57014", f, state, err)
	}
}

// TestPostgresGivesUpAFrozenServer has a network between them that swallows
// everything from one moment on.
func TestPostgresGivesUpAFrozenServer(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(testenv.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	proxy := newProxy(t, u.Host)
	u.Host = proxy.addr
	p, err := OpenPostgres(PostgresOptions{URL: u.String(), StatementTimeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	proxy.freeze()
	_, err = p.DB().ExecContext(t.Context(), "SELECT 1")
	if f, _ := faultOf(err); f != faultServer || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("error is %v, want a deadline of the connection", err)
	}
}

// proxy passes bytes on until it is frozen.
type proxy struct {
	addr   string
	frozen chan struct{}
	freeze func()
}

func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: l.Addr().String(), frozen: make(chan struct{})}
	p.freeze = sync.OnceFunc(func() { close(p.frozen) })
	var wg sync.WaitGroup
	done := make(chan struct{})
	t.Cleanup(func() { close(done); l.Close(); wg.Wait() })
	pass := func(from, to net.Conn) {
		defer from.Close()
		defer to.Close()
		buf := make([]byte, 4096)
		for {
			n, err := from.Read(buf)
			select {
			case <-p.frozen:
				<-done
				return
			default:
			}
			if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
				return
			}
		}
	}
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				client.Close()
				continue
			}
			wg.Go(func() { pass(client, server) })
			wg.Go(func() { pass(server, client) })
		}
	})
	return p
}

func TestPostgresComesBack(t *testing.T) {
	t.Parallel()
	own := testenv.OwnPostgres(t)
	l := openLedger(t, own.URL())
	if err := l.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	entry := newLife("42", noon).login()
	if err := own.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.WriteEvents(t.Context(), []Entry{entry}); !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("while it is down the error is %v, want ErrUnavailable", err)
	}
	if err := own.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if own.URL() != l.url {
		t.Fatalf("the server moved from %s to %s", l.url, own.URL())
	}
	if r := l.write(entry); r.Inserted != 1 {
		t.Errorf("result is %+v, want one row", r)
	}
}

func TestPostgresCanceled(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	_, err := l.User(canceled(t), "42")
	if !errors.Is(err, context.Canceled) || errors.Is(err, session.ErrUnavailable) {
		t.Errorf("error is %v, want context.Canceled alone", err)
	}
}

func TestPostgresWrongPlace(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(testenv.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "no_such_database"
	if err := openLedger(t, u.String()).Ping(t.Context()); !errors.Is(err, ErrSchema) {
		t.Errorf("error is %v, want ErrSchema", err)
	}
}

func TestPostgresFaults(t *testing.T) {
	t.Parallel()
	state := func(code string) error { return &pq.Error{Code: pqerror.Code(code), Message: "m"} }
	for _, tt := range []struct {
		err  error
		want fault
	}{
		{state("08006"), faultServer},
		{state("40001"), faultServer},
		{state("40P01"), faultServer},
		{state("53300"), faultServer},
		{state("55P03"), faultServer},
		{state("57014"), faultServer},
		{state("57P03"), faultServer},
		{state("58030"), faultServer},
		{state("25006"), faultServer},
		{state("21000"), faultData},
		{state("22021"), faultData},
		{state("23503"), faultData},
		{state("54000"), faultData},
		{&pq.Error{Code: "23514", Constraint: "users_check"}, faultData},
		{&pq.Error{Code: "23514", Table: "session_logs_default"}, faultServer},
		{state("42P01"), faultSchema},
		{state("42501"), faultSchema},
		{state("28P01"), faultSchema},
		{state("3D000"), faultSchema},
		{state("P0001"), faultSchema},
		{state("XX000"), faultSchema},
		{state(""), faultSchema},
		{&connectError{state("28P01")}, faultSchema},
		{&connectError{state("57P03")}, faultServer},
		{&connectError{pq.ErrSSLNotSupported}, faultServer},
		{&connectError{x509.UnknownAuthorityError{}}, faultServer},
		{&connectError{context.Canceled}, faultOther},
		{&net.OpError{Op: "read", Err: syscall.ECONNRESET}, faultServer},
		{&net.DNSError{Err: "no such host"}, faultServer},
		{context.DeadlineExceeded, faultServer},
		{driver.ErrBadConn, faultServer},
		{sql.ErrConnDone, faultServer},
		{sql.ErrTxDone, faultServer},
		{io.EOF, faultServer},
		{io.ErrUnexpectedEOF, faultServer},
		{context.Canceled, faultOther},
		{sql.ErrNoRows, faultOther},
		{errors.New("a bug"), faultOther},
	} {
		wrapped := fmt.Errorf("somewhere: %w", tt.err)
		if got, _ := faultOf(wrapped); got != tt.want {
			t.Errorf("fault of %T %v is %v, want %v", tt.err, tt.err, got, tt.want)
		}
		err := pgError("do it", wrapped)
		if !errors.Is(err, tt.err) || !strings.HasPrefix(err.Error(), "store: do it: ") {
			t.Errorf("pgError gives %v", err)
		}
		if got := errors.Is(err, session.ErrUnavailable); got != (tt.want == faultServer) {
			t.Errorf("%v is ErrUnavailable: %v", err, got)
		}
		if got := errors.Is(err, ErrSchema); got != (tt.want == faultSchema) {
			t.Errorf("%v is ErrSchema: %v", err, got)
		}
	}
	if pgError("do it", nil) != nil {
		t.Error("pgError of nil is not nil")
	}
}

func TestPostgresTextArray(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		texts := rapid.SliceOf(rapid.String()).Draw(rt, "texts")
		c := newColumns(1, 1)
		for _, s := range texts {
			c.add(s)
		}
		got, err := c.arrays[0].Value()
		if err != nil {
			rt.Fatal(err)
		}
		want, err := pq.StringArray(append([]string{}, texts...)).Value()
		if err != nil {
			rt.Fatal(err)
		}
		if got != want {
			rt.Errorf("array is %q, want %q", got, want)
		}
	})
}

func TestPostgresMigrate(t *testing.T) {
	t.Parallel()
	l := openLedger(t, testenv.Postgres(t))
	wantPending := func(want bool) {
		t.Helper()
		if got, err := l.MigrationPending(t.Context()); err != nil || got != want {
			t.Errorf("pending is %v, %v; want %v", got, err, want)
		}
	}
	wantPending(true)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := openLedger(t, l.url).Migrate(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	wantPending(false)
}

func TestPostgresMigrateLeavesOthersTablesAlone(t *testing.T) {
	t.Parallel()
	l := openLedger(t, testenv.Postgres(t))
	l.exec("CREATE TABLE users (email text)")
	if err := l.Migrate(t.Context()); !errors.Is(err, ErrSchema) || !strings.Contains(err.Error(), "users") {
		t.Errorf("error is %v, want ErrSchema that names the table", err)
	}
	l.exec("INSERT INTO users VALUES ('ana@example.com')")
}

func TestPostgresEpoch(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	for _, epoch := range []string{"", "first", "second"} {
		if epoch != "" {
			if err := l.SetEpoch(t.Context(), 3, epoch); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := l.Epoch(t.Context(), 3); err != nil || got != epoch {
			t.Errorf("epoch is %q, %v; want %q", got, err, epoch)
		}
	}
	if got, err := l.Epoch(t.Context(), 4); err != nil || got != "" {
		t.Errorf("epoch of another partition is %q, %v", got, err)
	}
}
