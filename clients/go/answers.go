package sessiongate

import (
	"container/list"
	"crypto/sha256"
	"sync"
	"time"
)

// answers remembers whom tokens spoke for, as docs/REVOCATION.md says a cache of
// the gateway's answers has to. It is usable while the feed of revocations
// vouches for it, and it never remembers that a token was no good.
//
// A token is remembered by its digest: the memory of a program shows nobody's
// credentials.
type answers struct {
	limit int
	ttl   time.Duration
	now   func() time.Time // with a monotonic reading: a clock that is set changes nothing

	mu      sync.Mutex
	byToken map[digest]*list.Element
	byID    map[string]map[digest]*list.Element // sid → its tokens
	recent  *list.List                          // of *answer, the one last used first
	ended   map[string]time.Time                // sid → until when it matters
	tidyAt  int                                 // with how many of them
	life    uint64                              // changes whenever any session may have ended unheard
	vouched time.Time                           // until when the feed vouches; zero: not connected
}

type digest [sha256.Size]byte

type answer struct {
	key     digest
	session *Session
	until   time.Time
}

func newAnswers(limit int, ttl time.Duration, now func() time.Time) *answers {
	return &answers{
		limit: limit, ttl: ttl, now: now,
		byToken: map[digest]*list.Element{}, byID: map[string]map[digest]*list.Element{},
		recent: list.New(), ended: map[string]time.Time{},
	}
}

// get returns what is known of the token, and else the life in which an answer
// has to be asked for, and whether it may be remembered.
func (a *answers) get(key digest) (_ *Session, life uint64, connected bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	connected = a.connected()
	el := a.byToken[key]
	if el == nil || !connected {
		return nil, a.life, connected
	}
	known := el.Value.(*answer)
	if !a.now().Before(known.until) {
		a.drop(el)
		return nil, a.life, connected
	}
	a.recent.MoveToFront(el)
	return known.session, a.life, connected
}

// put remembers that the token speaks for s, for remaining at most. It is false if
// the feed has said meanwhile that the session is over: the end has overtaken the
// answer.
func (a *answers) put(key digest, s *Session, remaining time.Duration, life uint64) bool {
	remaining = min(remaining, a.ttl)
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, over := a.ended[s.ID]; over {
		return false
	}
	if life != a.life || !a.connected() || remaining <= 0 || s.ID == "" {
		return true
	}
	if old := a.byToken[key]; old != nil {
		a.drop(old)
	}
	el := a.recent.PushFront(&answer{key: key, session: s, until: a.now().Add(remaining)})
	a.byToken[key] = el
	if a.byID[s.ID] == nil {
		a.byID[s.ID] = map[digest]*list.Element{}
	}
	a.byID[s.ID][key] = el
	for a.recent.Len() > a.limit {
		a.drop(a.recent.Back())
	}
	return true
}

func (a *answers) drop(el *list.Element) {
	old := a.recent.Remove(el).(*answer)
	delete(a.byToken, old.key)
	delete(a.byID[old.session.ID], old.key)
	if len(a.byID[old.session.ID]) == 0 {
		delete(a.byID, old.session.ID)
	}
}

// end forgets a session, and keeps its answers out that may still be under way.
// An entry that can't matter any more is remembered for as long as an answer may
// take all the same: the gateway's clock need not be ours.
func (a *answers) end(sid string, until time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	if len(a.ended) >= a.tidyAt {
		a.tidy(now)
	}
	if least := now.Add(time.Minute); until.Before(least) {
		until = least
	}
	a.ended[sid] = until
	for _, el := range a.byID[sid] {
		a.drop(el)
	}
}

// tidy forgets the ends that don't matter any more. It comes when their number
// has doubled, so each costs the same, however many there are.
func (a *answers) tidy(now time.Time) {
	for id, until := range a.ended {
		if now.After(until) {
			delete(a.ended, id)
		}
	}
	if len(a.ended) >= maxEnded {
		a.clear()
	}
	a.tidyAt = min(2*len(a.ended)+1000, maxEnded)
}

// maxEnded bounds what is remembered of the feed. Beyond it everything is
// forgotten, which is safe at any time.
const maxEnded = 100_000

// reset forgets everything: any session may have ended.
func (a *answers) reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.clear()
}

func (a *answers) clear() {
	a.life++
	a.recent.Init()
	clear(a.byToken)
	clear(a.byID)
	clear(a.ended)
}

// vouch says that the feed is whole up to now, and that its next sign of life
// comes within the given time.
func (a *answers) vouch(next time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.vouched = a.now().Add(next)
}

// doubt says that the feed is not connected.
func (a *answers) doubt() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.vouched = time.Time{}
}

func (a *answers) connected() bool { return a.now().Before(a.vouched) }
