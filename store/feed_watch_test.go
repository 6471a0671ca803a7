package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/session"
)

func (f *fixture) watch(feed *Feed, sid session.ID) *Watch {
	f.Helper()
	w, err := feed.Watch(sid)
	if err != nil {
		f.Fatal(err)
	}
	if err := w.Ready(f.Context()); err != nil {
		f.Fatal(err)
	}
	return w
}

func TestWatch(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(o *RedisOptions) { o.Partitions = 4 })
	feed := NewFeed(f.Redis, FeedOptions{MaxReaders: 100, Block: 50 * time.Millisecond})
	defer feed.Close()
	mine, other := f.login("u1"), f.login("u2")
	first, second, spared := f.watch(feed, mine.ID), f.watch(feed, mine.ID), f.watch(feed, other.ID)
	f.logouts(20)
	f.logout(mine)
	for _, w := range []*Watch{first, second} {
		select {
		case r := <-w.Ended():
			if r.SessionID != mine.ID || r.UserID != "u1" || r.Reason != session.EndLogout || r.At.IsZero() {
				t.Errorf("told of %+v", r)
			}
		case <-time.After(patience):
			t.Fatal("not told")
		}
	}
	select {
	case r := <-spared.Ended():
		t.Errorf("told of somebody else's ending %+v", r)
	default:
	}
	for _, w := range []*Watch{first, second, spared} {
		select {
		case <-w.Missed():
			t.Error("told that it missed something, and nothing was missed")
		default:
		}
		w.Close()
	}
	if n := feed.Stats().Readers; n != 0 || len(feed.watches) != 0 {
		t.Errorf("%d readers, %d sessions are left", n, len(feed.watches))
	}
}

// Found by reconcile: announced with no call of ours.
func TestWatchHearsOfRemovedKeys(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	feed := NewFeed(f.Redis, FeedOptions{MaxReaders: 1, Block: 50 * time.Millisecond})
	defer feed.Close()
	s := f.login("u1")
	w := f.watch(feed, s.ID)
	defer w.Close()
	if err := f.Announce(t.Context(), []session.Session{s}, session.EndRemoved); err != nil {
		t.Fatal(err)
	}
	select {
	case r := <-w.Ended():
		if r.Reason != session.EndRemoved {
			t.Errorf("told of %+v", r)
		}
	case <-time.After(patience):
		t.Fatal("not told")
	}
}

// Redis lost its data: whatever was in the feed, nobody saw it.
func TestWatchIsToldWhatItMissed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	feed := NewFeed(f.Redis, FeedOptions{MaxReaders: 1, Block: 50 * time.Millisecond})
	defer feed.Close()
	s := f.login("u1")
	w := f.watch(feed, s.ID)
	defer w.Close()
	if err := f.raw.Del(t.Context(), f.keys.feed(0), f.keys.partitionMeta(0)).Err(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-w.Missed():
	case <-time.After(patience):
		t.Fatal("not told")
	}
	f.logout(s) // and the watch goes on
	select {
	case <-w.Ended():
	case <-time.After(patience):
		t.Fatal("not told of the ending")
	}
}

func TestWatchIsBounded(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	feed := NewFeed(f.Redis, FeedOptions{MaxReaders: maxWatches + 1, Block: 50 * time.Millisecond})
	s, other := f.login("u1"), f.login("u2")
	for range maxWatches {
		defer f.watch(feed, s.ID).Close()
	}
	if _, err := feed.Watch(s.ID); !errors.Is(err, session.ErrOverloaded) {
		t.Errorf("one more of the same session: %v", err)
	}
	defer f.watch(feed, other.ID).Close()
	if _, err := feed.Watch("s3"); !errors.Is(err, session.ErrOverloaded) {
		t.Errorf("one more reader: %v", err)
	}
	if _, err := feed.Join(); !errors.Is(err, session.ErrOverloaded) {
		t.Errorf("one more reader of the whole: %v", err)
	}
	if err := feed.Close(); err != nil {
		t.Fatal(err)
	}
	w := &Watch{feed: feed}
	if err := w.Ready(context.Background()); !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("after Close: %v", err)
	}
}
