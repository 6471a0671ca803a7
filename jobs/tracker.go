package jobs

import (
	"context"
	"fmt"
	"hash/maphash"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sessiongate/sessiongate/session"
)

// useSink takes what a Tracker gathered, as store.Redis does.
type useSink interface {
	// Use notes that sessions were used. It may be repeated: only a later time and
	// a higher generation change anything.
	Use(ctx context.Context, uses []session.Use) error
}

const (
	trackerShards  = 64      // so that cores seldom meet at one lock
	maxTracked     = 1 << 18 // sessions in memory; about 50 MB
	maxUsesPerCall = 1000
)

// Tracker gathers which sessions are in use, so that validating a token writes
// nothing: Seen costs a lock and a map entry, and Run, once a second, sends each
// session at most once. If the gateway dies, the last second of it is lost, and
// nothing else.
type Tracker struct {
	sink    useSink
	seed    maphash.Seed
	shards  [trackerShards]trackerShard
	perCall int
	limit   int // sessions in one shard

	flushing sync.Mutex // held by Run: the spare maps are its own
	metrics  trackerMetrics
}

type trackerShard struct {
	mu    sync.Mutex
	uses  map[session.ID]lastUse
	spare map[session.ID]lastUse // empty; the next uses
}

// lastUse is a session.Use without what the map's key says.
type lastUse struct {
	user       string
	at         int64 // Unix ms
	generation int64
	active     bool // the user did something, at about that time
}

// merge is the same in any order: the latest time, the highest generation. What the
// user did and what a client asked are within the second that lies between two runs,
// so the later time serves for both.
func (u lastUse) merge(v lastUse) lastUse {
	u.at, u.generation, u.active = max(u.at, v.at), max(u.generation, v.generation), u.active || v.active
	return u
}

type trackerMetrics struct {
	sessions prometheus.Gauge
	dropped  prometheus.Counter
}

// NewTracker returns a tracker that sends what it gathers to sink, which is the
// store.Redis of this gateway.
func NewTracker(sink useSink, reg prometheus.Registerer) (*Tracker, error) {
	t := &Tracker{
		sink:    sink,
		seed:    maphash.MakeSeed(),
		perCall: maxUsesPerCall,
		limit:   maxTracked / trackerShards,
		metrics: trackerMetrics{
			sessions: gauge("sessiongate_activity_sessions",
				"Sessions that had been used when the activity was last sent to Redis."),
			dropped: counter("sessiongate_activity_dropped_total",
				"Uses of sessions that were forgotten because Redis took none for too long."),
		},
	}
	for i := range t.shards {
		t.shards[i].uses = make(map[session.ID]lastUse)
		t.shards[i].spare = make(map[session.ID]lastUse)
	}
	if err := register(reg, t.metrics.sessions, t.metrics.dropped); err != nil {
		return nil, fmt.Errorf("jobs: register metrics: %w", err)
	}
	return t, nil
}

// Seen notes that the token was accepted at now, for something that its user did. It
// takes well under a microsecond, waits for nothing, and may be called from anywhere.
func (t *Tracker) Seen(token session.Token, now time.Time) { t.note(token, now, true) }

// Asked is Seen where nobody did anything: a client wants to know about its session.
// That is a use of the session and no activity of its user.
func (t *Tracker) Asked(token session.Token, now time.Time) { t.note(token, now, false) }

func (t *Tracker) note(token session.Token, now time.Time, active bool) {
	t.add(token.SessionID, lastUse{
		user: token.UserID, at: now.UnixMilli(), generation: token.Generation, active: active,
	})
}

func (t *Tracker) add(sid session.ID, use lastUse) {
	shard := &t.shards[maphash.String(t.seed, string(sid))%trackerShards]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	known, ok := shard.uses[sid]
	switch {
	case ok:
		use = use.merge(known)
	case len(shard.uses) >= t.limit:
		t.metrics.dropped.Inc()
		return
	}
	shard.uses[sid] = use
}

// Run sends what has gathered and returns how many sessions that were. What the
// sink does not take is kept for the next run, merged with what has come since.
func (t *Tracker) Run(ctx context.Context) (done int, err error) {
	t.flushing.Lock()
	defer t.flushing.Unlock()
	var total int
	batch := make([]session.Use, 0, t.perCall)
	send := func() {
		total += len(batch)
		if err == nil {
			err = t.sink.Use(ctx, batch)
		}
		if err == nil {
			done += len(batch)
		} else {
			t.restore(batch)
		}
		batch = batch[:0]
	}
	for i := range t.shards {
		for sid, use := range t.shards[i].swap() {
			batch = append(batch, session.Use{
				SessionID: sid, UserID: use.user, At: time.UnixMilli(use.at).UTC(), Generation: use.generation,
				Active: use.active,
			})
			if len(batch) == t.perCall {
				send()
			}
		}
		clear(t.shards[i].spare)
	}
	if len(batch) > 0 {
		send()
	}
	t.metrics.sessions.Set(float64(total))
	if err != nil {
		return done, fmt.Errorf("send the use of %d sessions: %w", total-done, err)
	}
	return done, nil
}

// swap gives the shard an empty map and returns the full one, which is the spare
// from now on. The two take turns, so that a steady load allocates nothing.
func (s *trackerShard) swap() map[session.ID]lastUse {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uses, s.spare = s.spare, s.uses
	return s.spare
}

func (t *Tracker) restore(uses []session.Use) {
	for _, u := range uses {
		t.add(u.SessionID, lastUse{user: u.UserID, at: u.At.UnixMilli(), generation: u.Generation, active: u.Active})
	}
}
