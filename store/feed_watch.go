package store

import (
	"context"
	"fmt"

	"github.com/sessiongate/sessiongate/session"
)

// maxWatches is how many may watch one session: browser tabs, which share a cookie.
const maxWatches = 32

// Watch is somebody who waits for the end of one session. However many there are,
// an ending wakes those of its own session only.
type Watch struct {
	feed *Feed
	sid  session.ID

	ended  chan session.Revocation
	missed chan struct{}
}

// Ended gets the session's ending when it comes by. A session ends once.
func (w *Watch) Ended() <-chan session.Revocation { return w.ended }

// Missed gets something when an ending may have come by unseen: whoever watches has
// to look whether the session is still there.
func (w *Watch) Missed() <-chan struct{} { return w.missed }

// Watch begins to watch a session; the caller closes the watch. It sees what ends
// after it has begun and Ready has returned nil: the caller looks after that whether
// the session is there at all. The error is session.ErrOverloaded if there are too
// many readers, or too many of this session.
func (f *Feed) Watch(sid session.ID) (*Watch, error) {
	f.begin.Do(func() { f.done.Go(f.follow) })
	w := &Watch{feed: f, sid: sid, ended: make(chan session.Revocation, 1), missed: make(chan struct{}, 1)}
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := len(f.watches[sid]); n >= maxWatches {
		return nil, fmt.Errorf("store: watch a session: %w: %d watch it", session.ErrOverloaded, n)
	}
	if err := f.joinLocked(); err != nil {
		return nil, err
	}
	if f.watches[sid] == nil {
		f.watches[sid] = make(map[*Watch]struct{}, 1)
	}
	f.watches[sid][w] = struct{}{}
	return w, nil
}

// Ready waits until the feed is being followed, for as long as one operation may
// take. Its error wraps session.ErrUnavailable.
func (w *Watch) Ready(ctx context.Context) error {
	_, _, err := w.feed.await(ctx)
	return err
}

// Close ends the watch. It may be called once.
func (w *Watch) Close() {
	w.feed.mu.Lock()
	defer w.feed.mu.Unlock()
	w.feed.stats.Readers--
	watches := w.feed.watches[w.sid]
	delete(watches, w)
	if len(watches) == 0 {
		delete(w.feed.watches, w.sid)
	}
}

// tellLocked hands endings to those who watch for them.
func (f *Feed) tellLocked(entries []feedEntry) {
	if len(f.watches) == 0 {
		return
	}
	for i := range entries {
		for w := range f.watches[entries[i].revocation.SessionID] {
			select {
			case w.ended <- entries[i].revocation:
			default: // it has one already
			}
		}
	}
}

// missedLocked tells everybody who watches that the feed was not followed for a
// while, from its last entry to where it goes on now.
func (f *Feed) missedLocked() {
	for _, watches := range f.watches {
		for w := range watches {
			select {
			case w.missed <- struct{}{}:
			default:
			}
		}
	}
}
