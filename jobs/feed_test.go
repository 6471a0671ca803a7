package jobs

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/session"
	"github.com/sessiongate/sessiongate/store"
)

func (w *world) feed() (feed *store.Feed, cursor string) {
	w.Helper()
	feed = store.NewFeed(w.redis, store.FeedOptions{MaxReaders: 1})
	w.Cleanup(func() { w.must(feed.Close()) })
	page, err := feed.Read(w.Context(), "", 0)
	w.must(err)
	return feed, page.Cursor
}

// TestRemovedByHandIsAnnounced: caches hear of a key that was deleted once
// reconcile has found it, and of nothing else that it or the sweep finds.
func TestRemovedByHandIsAnnounced(t *testing.T) {
	w := newWorld(t, nil)
	feed, cursor := w.feed()
	removed, expired, live := w.login("ana"), w.login("ben"), w.login("eva")
	w.flushAll()
	w.remove(removed)
	w.remove(expired)
	w.backdate(expired)
	for _, job := range []runner{w.sweep(), w.reconcile()} {
		if done, err := job.Run(t.Context()); done != 1 || err != nil {
			t.Fatalf("Run = %d, %v, want 1", done, err)
		}
	}
	w.expectEnding(expired, session.EndExpired)
	w.expectEnding(removed, session.EndRemoved)
	w.expectActive(live)

	page, err := feed.Read(t.Context(), cursor, 20*time.Second)
	w.must(err)
	if len(page.List) != 1 {
		t.Fatalf("the feed has %+v, want one entry", page)
	}
	r := page.List[0]
	if r.SessionID != removed.ID || r.UserID != "ana" || r.Reason != session.EndRemoved || r.Until.Before(removed.ExpiresAt) {
		t.Errorf("the feed has %+v", r)
	}
}

// mute is a feed that takes nothing.
type mute struct{}

func (mute) Announce(context.Context, []session.Session, session.EndReason) error { return errDown }

// TestNothingIsClosedUnannounced: what is closed is never looked at again, so a
// cache that had not been told would not be told later.
func TestNothingIsClosedUnannounced(t *testing.T) {
	w := newWorld(t, nil)
	s := w.login("ana")
	w.flushAll()
	w.remove(s)
	job := w.reconcile()
	job.feed = mute{}
	if done, err := job.Run(t.Context()); done != 0 || !errors.Is(err, errDown) {
		t.Errorf("Run = %d, %v, want the feed's error", done, err)
	}
	w.expectActive(s)
}
