package store

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sessiongate/sessiongate/session"
)

// tracked is where sessions stand, kept in memory while Redis says what changes
// (tracking_conn.go). It is an answer only as long as it is trusted: beyond that
// everything is asked of Redis, as without it.
//
// A fill that races a change is dropped. Whoever asks Redis leaves a place in the
// map first; a change of either key takes the place away or spoils it, and an
// answer finds its own place or is not kept. So it does not matter which of the
// two, on two connections, comes first.
type tracked struct {
	seed    maphash.Seed
	until   atomic.Int64 // trusted to; ns since began
	began   time.Time
	places  [trackedShards]placeShard
	users   [trackedShards]userShard
	counted trackedCounts
}

type trackedCounts struct{ hits, misses, changes, flushes atomic.Int64 }

const (
	trackedShards = 64
	// maxTrackedPlaces bounds the sessions in memory, about 300 bytes each. Beyond
	// it some other one is forgotten.
	maxTrackedPlaces = 1 << 17
	perShard         = maxTrackedPlaces / trackedShards
)

// trackedPlace is what is known of a session. Once it is filled it does not change.
type trackedPlace struct {
	owner  *owner
	filled atomic.Bool
	at     standing // to be read where filled
}

// owner is the user of places. A change of the user's key spoils all of them.
type owner struct {
	id      string
	spoiled atomic.Bool
}

type placeShard struct {
	mu sync.RWMutex
	m  map[session.ID]*trackedPlace
	_  [32]byte // a cache line each
}

type userShard struct {
	mu sync.RWMutex
	m  map[string]*owner
	_  [32]byte
}

func newTracked() *tracked {
	t := &tracked{seed: maphash.MakeSeed(), began: time.Now()}
	for i := range trackedShards {
		t.places[i].m, t.users[i].m = make(map[session.ID]*trackedPlace), make(map[string]*owner)
	}
	return t
}

func (t *tracked) placesOf(sid session.ID) *placeShard {
	return &t.places[maphash.String(t.seed, string(sid))%trackedShards]
}

func (t *tracked) usersOf(id string) *userShard {
	return &t.users[maphash.String(t.seed, id)%trackedShards]
}

// trusted says whether what is in memory is an answer at this moment.
func (t *tracked) trusted() bool { return int64(time.Since(t.began)) < t.until.Load() }

// trust extends the trust to that moment; it never takes any back.
func (t *tracked) trust(to time.Time) {
	if ns := int64(to.Sub(t.began)); ns > t.until.Load() {
		t.until.Store(ns)
	}
}

// doubt ends the trust and forgets everything, places that are being filled too.
func (t *tracked) doubt() {
	t.until.Store(0)
	t.flush()
}

func (t *tracked) flush() {
	t.counted.flushes.Add(1)
	for i := range trackedShards {
		p, u := &t.places[i], &t.users[i]
		p.mu.Lock()
		clear(p.m)
		p.mu.Unlock()
		u.mu.Lock()
		for _, o := range u.m {
			o.spoiled.Store(true)
		}
		clear(u.m)
		u.mu.Unlock()
	}
}

// get returns where the session stands, if that is known. Whoever gets nothing
// asks Redis, and puts the answer into the place, if there is one. now is Redis's
// clock: what has run out is not known any more.
func (t *tracked) get(sid session.ID, userID string, now time.Time) (at standing, found bool, fill *trackedPlace) {
	if !t.trusted() {
		return standing{}, false, nil
	}
	s := t.placesOf(sid)
	s.mu.RLock()
	p := s.m[sid]
	s.mu.RUnlock()
	if p != nil && p.filled.Load() && !p.owner.spoiled.Load() && p.owner.id == userID && min(p.at.expires, p.at.ends) > now.UnixMilli() {
		t.counted.hits.Add(1)
		return p.at, true, nil
	}
	t.counted.misses.Add(1)
	return standing{}, false, t.leave(s, sid, userID)
}

// leave puts an empty place where the session will be.
func (t *tracked) leave(s *placeShard, sid session.ID, userID string) *trackedPlace {
	p := &trackedPlace{owner: t.owner(userID)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.m[sid]; !known && len(s.m) >= perShard {
		for other := range s.m { // any: which of them is not worth knowing
			delete(s.m, other)
			break
		}
	}
	s.m[sid] = p
	return p
}

func (t *tracked) owner(id string) *owner {
	s := t.usersOf(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.m[id]; o != nil {
		return o
	}
	if len(s.m) >= perShard {
		for other, o := range s.m {
			o.spoiled.Store(true) // nobody would tell its places of a change any more
			delete(s.m, other)
			break
		}
	}
	o := &owner{id: id}
	s.m[id] = o
	return o
}

// put keeps the answer, unless something has changed since the place was left.
// Only sessions that live are kept.
func (t *tracked) put(sid session.ID, p *trackedPlace, at standing) {
	if !at.live {
		return
	}
	s := t.placesOf(sid)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m[sid] == p && !p.owner.spoiled.Load() {
		p.at = at
		p.filled.Store(true)
	}
}

// sessionChanged forgets a session.
func (t *tracked) sessionChanged(sid session.ID) {
	t.counted.changes.Add(1)
	s := t.placesOf(sid)
	s.mu.Lock()
	delete(s.m, sid)
	s.mu.Unlock()
}

// userChanged forgets the sessions of a user.
func (t *tracked) userChanged(id string) {
	t.counted.changes.Add(1)
	s := t.usersOf(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.m[id]; o != nil {
		o.spoiled.Store(true)
		delete(s.m, id)
	}
}

func (t *tracked) len() (n int) {
	for i := range t.places {
		t.places[i].mu.RLock()
		n += len(t.places[i].m)
		t.places[i].mu.RUnlock()
	}
	return n
}
