package e2e

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"
)

// fewAtATime makes a flush of many transactions, so that a kill finds it at work.
const fewAtATime = "SESSIONGATE_JOBS_FLUSH_BATCH=5"

// tally is what the clients of a test were told, to be held against session_logs.
type tally struct {
	mu       sync.Mutex
	sessions map[string]*told
}

// told is what the client of one session knows. An answer that was lost leaves it
// open whether the thing has happened.
type told struct {
	user                   string
	refreshed, maybe       int
	loggedOut, maybeLogout bool
}

func (l *tally) add(sid string, s *told) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sessions == nil {
		l.sessions = map[string]*told{}
	}
	l.sessions[sid] = s
}

// live is a client that opens a session, refreshes it a few times and logs out,
// again and again until ctx is done. A call that is not answered is left at that.
func (l *tally) live(ctx context.Context, pick func() *gateway) {
	for ctx.Err() == nil {
		id := newID()
		s := &told{user: id}
		token, sid, ok := grantOf(pick().send(ctx, openCall(id)))
		if !ok {
			continue
		}
		l.add(sid, s)
		for range 4 {
			next, _, ok := grantOf(pick().send(ctx, refreshCall(token)))
			if !ok {
				s.maybe++
				break
			}
			if next != token {
				s.refreshed++
			}
			token = next
		}
		if a, err := pick().send(ctx, logoutCall(token)); err == nil && a.status == http.StatusNoContent {
			s.loggedOut = true
		} else {
			s.maybeLogout = true
		}
	}
}

// grantOf is the token and the session in an answer; ok is false if there is none.
func grantOf(a answer, err error) (token, sid string, ok bool) {
	if err != nil || a.status/100 != 2 {
		return "", "", false
	}
	return between(a.body, `"access_token":"`), between(a.body, `"session":{"id":"`), true
}

// check holds session_logs to what was acknowledged: all of it, each once, and
// nothing that nobody asked for.
func (l *tally) check(t *testing.T, s *stack) {
	t.Helper()
	rows := s.rows(t, "true")
	seen := map[string]bool{}
	count := map[string]map[string]int{}
	for _, r := range rows {
		if seen[r.id] {
			t.Errorf("two rows have the id %s", r.id)
		}
		seen[r.id] = true
		if count[r.sid] == nil {
			count[r.sid] = map[string]int{}
		}
		count[r.sid][r.action]++
	}
	refreshes := 0
	for sid, want := range l.sessions {
		got := count[sid]
		if got["login"] != 1 {
			t.Errorf("%s: %d logins, want 1", sid, got["login"])
		}
		if n := got["token_refresh"]; n < want.refreshed || n > want.refreshed+want.maybe {
			t.Errorf("%s: %d refreshes, want %d and up to %d more", sid, n, want.refreshed, want.maybe)
		}
		if n := got["logout"]; n > 1 || want.loggedOut && n == 0 || !want.loggedOut && !want.maybeLogout && n > 0 {
			t.Errorf("%s: %d logouts, want it as in %+v", sid, n, want)
		}
		refreshes += want.refreshed
	}
	if len(l.sessions) == 0 || refreshes == 0 {
		t.Fatal("there was no load")
	}
	t.Logf("%d sessions, %d refreshes acknowledged; %d rows", len(l.sessions), refreshes, len(rows))
	s.settled(t)
}

// settled wants nothing left to do in Redis, and both stores to agree on who is
// signed in.
func (s *stack) settled(t *testing.T) {
	t.Helper()
	eventually(t, func() error {
		pending, err := s.redis.XPending(t.Context(), eventsKey, "flush").Result()
		if err != nil {
			return err
		}
		n, err := s.redis.XLen(t.Context(), eventsKey).Result()
		if err == nil && n+pending.Count > 0 {
			err = fmt.Errorf("%d entries in the stream, %d of them pending", n, pending.Count)
		}
		return err
	})
	if n := scalar[int](t, s, "SELECT count(*) FROM session_logs_dead"); n > 0 {
		t.Errorf("%d events are parked", n)
	}
	const endings = `
		SELECT count(*) FROM (
			SELECT s.id FROM user_sessions AS s LEFT JOIN session_logs AS l
			  ON l.session_id = s.id AND l.action IN ('logout', 'session_expired')
			GROUP BY s.id, s.is_active HAVING count(l.id) <> CASE WHEN s.is_active THEN 0 ELSE 1 END) AS odd`
	if n := scalar[int](t, s, endings); n > 0 {
		t.Errorf("%d sessions have another number of endings than they should", n)
	}
}

// TestKilledUnderLoad: gateways are killed again and again while clients are at
// work; afterwards every event that was acknowledged is in session_logs, once.
func TestKilledUnderLoad(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	fleet := &fleet{gateways: []*gateway{s.start(t, fewAtATime), s.start(t, fewAtATime)}}
	var told tally
	ctx, cancel := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for range 6 {
		clients.Go(func() { told.live(ctx, fleet.pick) })
	}
	for round := range 4 {
		victim := fleet.gateways[round%2]
		victim.flushing(t)
		victim.kill(t)
		fleet.replace(round%2, s.start(t, fewAtATime))
	}
	cancel()
	clients.Wait()
	told.check(t, s)
}

// fleet is gateways that clients use in turn.
type fleet struct {
	mu       sync.Mutex
	gateways []*gateway
	next     int
}

func (f *fleet) pick() *gateway {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next++
	return f.gateways[f.next%len(f.gateways)]
}

func (f *fleet) replace(i int, g *gateway) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gateways[i] = g
}

// flushing waits until the gateway has begun to bring events to Postgres and has
// more to bring.
func (g *gateway) flushing(t *testing.T) {
	t.Helper()
	const batches = "sessiongate_flush_batches_total"
	before, err := g.metric(t.Context(), batches)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		now, err := g.metric(t.Context(), batches)
		if err != nil {
			return err
		}
		pending, err := g.stack.redis.XPending(t.Context(), eventsKey, "flush").Result()
		if err == nil && (now < before+3 || pending.Count == 0) {
			err = fmt.Errorf("%v batches, %d entries pending", now-before, pending.Count)
		}
		return err
	})
}

// TestKilledBeforeCommit: the gateway dies with its transaction open.
func TestKilledBeforeCommit(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.start(t)
	g.ran(t, "partitions") // wants the table to itself
	id := newID()
	g.open(t, id)
	s.logged(t, id, "login")

	// Nobody can write to the log: the flush waits inside its transaction.
	unlock := s.lock(t, "session_logs", "SHARE")
	token := g.open(t, id).AccessToken
	g.refresh(t, token)
	s.waits(t, "insert_session_logs")
	g.kill(t)
	unlock()
	if n := must(t, s.redis.XLen(t.Context(), eventsKey)); n != 2 {
		t.Errorf("%d events are in the stream, want both", n)
	}
	s.start(t)
	s.logged(t, id, "login", "login", "token_refresh")
	s.settled(t)
}

// waits waits until a gateway's statement, named by its file, waits for a lock.
func (s *stack) waits(t *testing.T, statement string) {
	t.Helper()
	const waiting = `
		SELECT count(*) FROM pg_stat_activity
		WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '-- ' || $1 || ':%'`
	eventually(t, func() error {
		var n int
		err := s.db.QueryRowContext(t.Context(), waiting, statement).Scan(&n)
		if err == nil && n == 0 {
			err = fmt.Errorf("no %s waits for a lock", statement)
		}
		return err
	})
}

// lock takes a lock of Postgres until unlock.
func (s *stack) lock(t *testing.T, table, mode string) (unlock func()) {
	t.Helper()
	tx, err := s.db.BeginTx(t.Context(), nil)
	if err == nil {
		_, err = tx.ExecContext(t.Context(), "LOCK TABLE "+table+" IN "+mode+" MODE")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback() }) // if it does not come to unlock
	return func() {
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestKilledBeforeAcknowledgement: the gateway dies after its transaction has been
// committed and before Redis hears of it. The next one reads the events again.
func TestKilledBeforeAcknowledgement(t *testing.T) {
	t.Parallel()
	s, _ := ownRedis(t)
	g := s.start(t)
	g.ran(t, "partitions")
	id := newID()
	token := g.open(t, id).AccessToken
	g.open(t, id)
	s.logged(t, id, "login", "login")

	unlock := s.lock(t, "session_logs", "SHARE")
	g.do(t, logoutAllCall(token)).want(t, http.StatusOK) // two events, in one script
	s.waits(t, "insert_session_logs")
	// From here on Redis takes no writes, the acknowledgement among them.
	if err := s.redis.Do(t.Context(), "CLIENT", "PAUSE", time.Minute.Milliseconds(), "WRITE").Err(); err != nil {
		t.Fatal(err)
	}
	unlock()
	want := []string{"login", "login", "logout (logout_all)", "logout (logout_all)"}
	s.logged(t, id, want...) // committed
	g.kill(t)
	if err := s.redis.Do(t.Context(), "CLIENT", "UNPAUSE").Err(); err != nil {
		t.Fatal(err)
	}
	if n := must(t, s.redis.XLen(t.Context(), eventsKey)); n != 2 {
		t.Errorf("%d events are in the stream, want both: the acknowledgement came too soon for this test", n)
	}
	s.start(t)
	s.flushed(t)
	s.logged(t, id, want...)
	s.settled(t)
}

// TestFrozenGateway: a gateway that stops for a while and comes back finds that
// another has done its work, and repeats nothing.
func TestFrozenGateway(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.start(t)
	g.ran(t, "partitions")
	id := newID()
	unlock := s.lock(t, "session_logs", "SHARE")
	g.refresh(t, g.open(t, id).AccessToken)
	s.waits(t, "insert_session_logs")
	g.freeze(t)
	unlock()
	other := s.start(t)
	s.logged(t, id, "login", "token_refresh")
	g.thaw()
	g.runs(t, "flush", 2)
	other.runs(t, "flush", 2)
	s.logged(t, id, "login", "token_refresh")
	s.settled(t)
}

// TestFrozenDuringMaintenance: a gateway that stops while it makes a month of the
// log does not keep the log from the others.
func TestFrozenDuringMaintenance(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	a := s.start(t)
	a.ran(t, "partitions")
	id := newID()
	a.open(t, id)
	s.logged(t, id, "login")
	const newest = `
		SELECT max(inhrelid::regclass::text) FROM pg_inherits
		WHERE inhparent = 'session_logs'::regclass AND inhrelid <> 'session_logs_default'::regclass`
	s.exec(t, "DROP TABLE "+scalar[string](t, s, newest))
	unlock := s.lock(t, "session_logs_default", "ROW EXCLUSIVE")
	b := s.start(t)
	s.waits(t, "create_month")
	b.freeze(t)
	unlock()
	a.open(t, id)
	s.logged(t, id, "login", "login")
}
