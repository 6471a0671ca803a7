package main

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/lib/pq"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/sessiongate/sessiongate/internal/devstack"
	"github.com/sessiongate/sessiongate/jobs"
	"github.com/sessiongate/sessiongate/session"
	"github.com/sessiongate/sessiongate/store"
)

// flushBench fills the audit stream with a backlog, as an outage of Postgres
// leaves one, and lets the job that a gateway runs empty it into a Postgres that
// syncs to disk. Of eight events one is a login, five are refreshes, one is a
// failed login and one an ending. The yardstick is the plainest way to write
// rows of that size: one connection, one table, one INSERT … SELECT unnest a
// thousand rows, nothing read and no session kept.
func flushBench(ctx context.Context, events int) error {
	dir, err := os.MkdirTemp("", "sessiongate-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o711); err != nil { // postgres may run as another user
		return err
	}
	server, err := devstack.StartRedis(ctx, devstack.RedisOptions{Dir: filepath.Join(dir, "redis")})
	if err != nil {
		return err
	}
	defer server.Stop()
	pg, err := devstack.StartPostgres(ctx, devstack.PostgresOptions{Dir: filepath.Join(dir, "postgres")})
	if err != nil {
		return err
	}
	defer os.RemoveAll(pg.Dir())
	defer pg.Stop()
	r, err := openBenchRedis(ctx, server.URL())
	if err != nil {
		return err
	}
	defer r.Close()
	p, err := store.OpenPostgres(store.PostgresOptions{
		URL: pg.URL(), MaxConns: 8, StatementTimeout: 30 * time.Second, FingerprintKey: make([]byte, 32),
	})
	if err != nil {
		return err
	}
	defer p.Close()
	if err := p.Migrate(ctx); err != nil {
		return err
	}
	plain, err := plainInserts(ctx, p.DB().DB, min(events, 100_000))
	if err != nil {
		return err
	}
	if err := fill(ctx, server.Addr(), events); err != nil {
		return err
	}
	took, peak, err := empty(ctx, r, p, events)
	if err != nil {
		return err
	}
	rate := float64(events) / took.Seconds()
	fmt.Printf("flush of %d events: %.0f rows/s, %.2f of plain inserts (%.0f rows/s); heap at most %d MiB\n",
		events, rate, rate/plain, plain, peak>>20)
	return nil
}

func openBenchRedis(ctx context.Context, url string) (*store.Redis, error) {
	return store.OpenRedis(ctx, store.RedisOptions{
		URL: url, Timeout: 5 * time.Second, Partitions: 1, Instance: "bench", ClaimIdle: time.Minute,
		Policy: session.Policy{TTL: 30 * time.Minute, Grace: 30 * time.Second, MaxPerUser: 100},
	})
}

// empty runs the job until nothing is left, and checks that every event has its row.
func empty(ctx context.Context, r *store.Redis, p *store.Postgres, events int) (took time.Duration, peak uint64, err error) {
	tracker, err := jobs.NewTracker(r, prometheus.NewRegistry())
	if err != nil {
		return 0, 0, err
	}
	log := slog.New(slog.DiscardHandler)
	reg := prometheus.NewRegistry()
	table, err := jobs.All(jobs.Deps{
		Redis: r, Postgres: p, Tracker: tracker, TTL: 30 * time.Minute, Metrics: reg, Log: log,
		Settings: jobs.Settings{
			Flush: "@every 1s", FlushBatch: 1000, Activity: "@every 1s", Sweep: "@every 1h", Reconcile: "@every 1h",
			ReconcileMaxMissing: 0.5, Partitions: "@every 1h", Keys: "@every 1h",
		},
	})
	if err != nil {
		return 0, 0, err
	}
	scheduler, err := jobs.NewScheduler(table, reg, log)
	if err != nil {
		return 0, 0, err
	}
	if _, err := scheduler.RunNow(ctx, "partitions"); err != nil {
		return 0, 0, err
	}
	runtime.GC()
	watch, stop := context.WithCancel(ctx)
	heap := make(chan uint64, 1)
	go func() { heap <- highestHeap(watch) }()
	start := time.Now()
	for done := 0; done < events; {
		n, err := scheduler.RunNow(ctx, "flush")
		if err != nil {
			stop()
			return 0, 0, err
		}
		if done += n; n == 0 {
			stop()
			return 0, 0, fmt.Errorf("%d events were written, want %d", done, events)
		}
	}
	took = time.Since(start)
	stop()
	return took, <-heap, nil
}

func highestHeap(ctx context.Context) (peak uint64) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		peak = max(peak, m.HeapInuse)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return peak
		}
	}
}

// fill appends events as the scripts do, a thousand a round trip.
func fill(ctx context.Context, addr string, events int) error {
	db := redis.NewClient(&redis.Options{Addr: addr, ReadTimeout: 10 * time.Second})
	defer db.Close()
	g := newHistory(time.Now().Add(-time.Hour))
	for left := events; left > 0; left -= min(left, 1000) {
		_, err := db.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			for range min(left, 1000) {
				e := g.next()
				stream := "sg:{0}:events"
				if e.SessionID == "" {
					stream = "sg:{0}:failures"
				}
				pipe.XAdd(ctx, &redis.XAddArgs{Stream: stream, Values: e.Fields()})
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// history is what happens at a gateway under a steady load.
type history struct {
	now      time.Time
	n, turn  int
	sessions []past
}

type past struct {
	id   session.ID
	user string
}

// newHistory begins with sessions whose logins lie further back.
func newHistory(now time.Time) *history {
	g := &history{now: now}
	for range 20_000 {
		g.begin()
	}
	return g
}

func (g *history) begin() past {
	g.n++
	s := past{session.NewID(g.now), "user-" + strconv.Itoa(g.n%5000)}
	g.sessions = append(g.sessions, s)
	return s
}

func (g *history) next() session.Event {
	g.now = g.now.Add(time.Millisecond)
	g.n++
	e := session.Event{
		ID: session.NewEventID(g.now), CreatedAt: g.now.Truncate(time.Millisecond), Success: true,
		Origin: session.Origin{IP: "203.0.113." + strconv.Itoa(g.n%250), UserAgent: agents[g.n%len(agents)]},
	}
	s := past{}
	switch g.n % 8 {
	case 0:
		s, e.Action = g.begin(), session.ActionLogin
	case 1:
		e.Action, e.Success, e.Error, e.UserID = session.ActionLogin, false, "wrong_password", "user-1"
		return e
	case 2:
		s, g.sessions = g.sessions[0], g.sessions[1:]
		e.Action, e.Ends = session.ActionLogout, session.EndLogout
	default:
		g.turn = (g.turn + 1) % len(g.sessions)
		s, e.Action = g.sessions[g.turn], session.ActionRefresh
	}
	e.UserID, e.SessionID, e.ClientID, e.AMR = s.user, s.id, session.FirstParty, []string{"pwd"}
	e.Device = session.Device{Name: "Ana's iPhone", Platform: "ios"}
	e.ExpiresAt = g.now.Add(30 * time.Minute).Truncate(time.Second)
	return e
}

// plainInserts returns how many rows a second the plainest way writes.
func plainInserts(ctx context.Context, db *sql.DB, rows int) (rate float64, err error) {
	if _, err := db.ExecContext(ctx, `CREATE TABLE plain (id uuid, created_at timestamptz, user_id text, session_id uuid,
		action text, ip_address inet, user_agent text, PRIMARY KEY (id, created_at))`); err != nil {
		return 0, err
	}
	g := newHistory(time.Now().Add(-time.Hour))
	var took time.Duration
	for done := 0; done < rows; done += 1000 {
		columns := make([]pq.StringArray, 7)
		for range 1000 {
			e := g.next()
			sid := string(e.SessionID)
			if sid == "" {
				sid = string(e.ID)
			}
			for i, v := range []string{
				string(e.ID), e.CreatedAt.Format(time.RFC3339Nano), e.UserID, sid, string(e.Action), e.Origin.IP,
				e.Origin.UserAgent,
			} {
				columns[i] = append(columns[i], v)
			}
		}
		start := time.Now()
		if _, err := db.ExecContext(ctx, `INSERT INTO plain SELECT * FROM unnest(CAST($1 AS uuid[]),
			CAST($2 AS timestamptz[]), CAST($3 AS text[]), CAST($4 AS uuid[]), CAST($5 AS text[]),
			CAST($6 AS inet[]), CAST($7 AS text[])) ON CONFLICT DO NOTHING`, columns[0], columns[1], columns[2],
			columns[3], columns[4], columns[5], columns[6]); err != nil {
			return 0, err
		}
		took += time.Since(start)
	}
	_, err = db.ExecContext(ctx, "DROP TABLE plain")
	return float64(rows) / took.Seconds(), err
}
