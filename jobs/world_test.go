package jobs

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/sessiongate/sessiongate/internal/testenv"
	"github.com/sessiongate/sessiongate/session"
	"github.com/sessiongate/sessiongate/store"
)

// The stores are what the jobs need.
var (
	_ liveStore   = (*store.Redis)(nil)
	_ ledgerStore = (*store.Postgres)(nil)
)

var testPolicy = session.Policy{
	TTL:          30 * time.Minute,
	RefreshAfter: 25 * time.Minute,
	Grace:        30 * time.Second,
	MaxPerUser:   100,
}

// world is a Redis and a Postgres of a test's own, the first gateway's stores,
// and Redis as an administrator sees it.
type world struct {
	*testing.T
	redis    *store.Redis
	postgres *store.Postgres
	raw      *redis.Client
	options  store.RedisOptions
}

func newWorld(t *testing.T, change func(*store.RedisOptions)) *world {
	t.Helper()
	t.Parallel()
	return openWorld(t, change)
}

func openWorld(t *testing.T, change func(*store.RedisOptions)) *world {
	t.Helper()
	w := &world{T: t}
	url, _ := testenv.Redis(t)
	w.options = store.RedisOptions{
		URL: url, Timeout: 5 * time.Second, Partitions: 1, Policy: testPolicy, ClaimIdle: time.Hour,
	}
	if change != nil {
		change(&w.options)
	}
	w.redis = w.gateway("gateway-1")
	parsed, err := redis.ParseURL(url)
	w.must(err)
	w.raw = redis.NewClient(parsed)
	t.Cleanup(func() { w.raw.Close() })

	w.postgres, err = store.OpenPostgres(store.PostgresOptions{
		URL: testenv.Postgres(t), MaxConns: 8, StatementTimeout: 10 * time.Second,
		FingerprintKey: []byte("0123456789abcdef0123456789abcdef"),
	})
	w.must(err)
	t.Cleanup(func() { w.postgres.Close() })
	w.must(w.postgres.Migrate(t.Context()))
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// gateway opens another gateway's store on the same Redis.
func (w *world) gateway(name string) *store.Redis {
	w.Helper()
	o := w.options
	o.Instance = name
	r, err := store.OpenRedis(w.Context(), o)
	w.must(err)
	w.Cleanup(func() { r.Close() })
	return r
}

// op is the event of a request that happens now.
func (w *world) op() session.Event {
	now := w.redis.Clock()
	return session.Event{
		ID: session.NewEventID(now), CreatedAt: now,
		Origin: session.Origin{IP: "192.0.2.1", UserAgent: "test/1"},
	}
}

func (w *world) login(user string) session.Session {
	w.Helper()
	s, _, err := w.redis.Create(w.Context(), session.Session{
		ID: session.NewID(w.redis.Clock()), UserID: user, ClientID: session.FirstParty,
	}, w.op())
	w.must(err)
	return s
}

// logins begins n sessions, each of a user of its own.
func (w *world) logins(n int) []session.Session {
	w.Helper()
	sessions := make([]session.Session, n)
	for i := range sessions {
		sessions[i] = w.login("user-" + string(session.NewID(time.Now())))
	}
	return sessions
}

func (w *world) logout(s session.Session) {
	w.Helper()
	ended, err := w.redis.Revoke(w.Context(), s.UserID, s.ID, session.EndLogout, w.op())
	w.must(err)
	if !ended {
		w.Fatal("there was nothing to log out of")
	}
}

// remove deletes a session's key, as an administrator does.
func (w *world) remove(s session.Session) {
	w.Helper()
	w.must(w.raw.Del(w.Context(), store.KeysOf(s.UserID, w.options.Partitions).Sessions+string(s.ID)).Err())
}

// flush is the flush job of the gateway with this store.
func (w *world) flush(r *store.Redis) *flush {
	w.Helper()
	metrics, err := newFlushMetrics(prometheus.NewRegistry())
	w.must(err)
	return &flush{
		source: r, sink: w.postgres, streams: r.Streams(), batch: 100,
		now: r.Clock, log: slog.New(slog.DiscardHandler), metrics: metrics,
	}
}

// flushAll brings all events to Postgres.
func (w *world) flushAll() {
	w.Helper()
	_, err := w.flush(w.redis).Run(w.Context())
	w.must(err)
}

func (w *world) closer() closer {
	return closer{live: w.redis, fences: w.redis, feed: w.redis, ledger: w.postgres, now: w.redis.Clock}
}

func (w *world) sweep() *sweep {
	return &sweep{closer: w.closer(), rows: w.postgres, page: 3}
}

func (w *world) reconcile() *reconcile {
	w.Helper()
	halted, err := newHalted(prometheus.NewRegistry())
	w.must(err)
	return &reconcile{
		closer: w.closer(), rows: w.postgres, epochs: w.redis, book: w.postgres, partitions: w.redis.Partitions(),
		page: 3, ttl: w.options.Policy.TTL, maxMissing: 0.5, log: slog.New(slog.DiscardHandler), halted: halted,
	}
}

// backdate makes the row of a session say that its time is over.
func (w *world) backdate(s session.Session) (expiresAt time.Time) {
	w.Helper()
	expiresAt = w.redis.Clock().Add(-time.Minute)
	w.exec("UPDATE user_sessions SET expires_at = $1 WHERE id = $2", expiresAt, s.ID)
	return expiresAt
}

func (w *world) exec(statement string, args ...any) {
	w.Helper()
	_, err := w.postgres.DB().ExecContext(w.Context(), statement, args...)
	w.must(err)
}

func (w *world) count(query string, args ...any) (n int) {
	w.Helper()
	w.must(w.postgres.DB().GetContext(w.Context(), &n, query, args...))
	return n
}

// logRow is a row of session_logs.
type logRow struct {
	Action    session.Action    `db:"action"`
	Reason    session.EndReason `db:"reason"`
	CreatedAt time.Time         `db:"created_at"`
}

// endings returns what the log has on the end of a session.
func (w *world) endings(s session.Session) []logRow {
	w.Helper()
	var rows []logRow
	w.must(w.postgres.DB().SelectContext(w.Context(), &rows, `SELECT action, reason, created_at FROM session_logs
		WHERE session_id = $1 AND action IN ('logout', 'session_expired')`, s.ID))
	return rows
}

// expectEnding fails the test unless the session has ended, once, for the reason.
func (w *world) expectEnding(s session.Session, want session.EndReason) logRow {
	w.Helper()
	rows := w.endings(s)
	if len(rows) != 1 || rows[0].Reason != want || rows[0].Action != session.ActionFor(want) {
		w.Fatalf("the log has %+v on the end of the session, want one row with reason %s", rows, want)
	}
	n := w.count("SELECT count(*) FROM user_sessions WHERE id = $1 AND NOT is_active AND end_reason = $2 AND ended_at = $3",
		s.ID, want, rows[0].CreatedAt)
	if n != 1 {
		w.Fatalf("the session's row does not say that it ended for reason %s at %v", want, rows[0].CreatedAt)
	}
	return rows[0]
}

// expectActive fails the test if the session has ended in Postgres.
func (w *world) expectActive(s session.Session) {
	w.Helper()
	if rows := w.endings(s); len(rows) > 0 {
		w.Errorf("the log has %+v on the end of the session, want none", rows)
	}
	if w.count("SELECT count(*) FROM user_sessions WHERE id = $1 AND is_active", s.ID) != 1 {
		w.Error("the session has no active row")
	}
}

// eventually polls until the condition holds, or fails the test.
func (w *world) eventually(what string, condition func() bool) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), 20*time.Second)
	defer cancel()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for !condition() {
		select {
		case <-poll.C:
		case <-ctx.Done():
			w.Fatalf("still not: %s", what)
		}
	}
}
