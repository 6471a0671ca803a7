package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/internal/testenv"
	"github.com/sessiongate/sessiongate/session"
)

// patience is for a busy machine; nothing here waits that long when all is well.
const patience = 20 * time.Second

// feed opens a gateway's feed and finds the place where it ends.
func (f *fixture) feed(change func(*FeedOptions)) (feed *Feed, cursor string) {
	f.Helper()
	o := FeedOptions{MaxReaders: 100, Block: 50 * time.Millisecond}
	if change != nil {
		change(&o)
	}
	feed = NewFeed(f.Redis, o)
	f.Cleanup(func() {
		if err := feed.Close(); err != nil {
			f.Error(err)
		}
	})
	return feed, f.readFeed(feed, "", 0).Cursor
}

func (f *fixture) readFeed(feed *Feed, cursor string, wait time.Duration) session.Revocations {
	f.Helper()
	page, err := feed.Read(f.Context(), cursor, wait)
	if err != nil {
		f.Fatal(err)
	}
	return page
}

func (f *fixture) logout(s session.Session) {
	f.Helper()
	op := f.op()
	op.Reason = "the user's own words, which are not for caches"
	if ended, err := f.Revoke(f.Context(), s.UserID, s.ID, session.EndLogout, op); err != nil || !ended {
		f.Fatalf("Revoke: %v, %v", ended, err)
	}
}

// logouts ends n new sessions and returns their ids.
func (f *fixture) logouts(n int) (sids []session.ID) {
	f.Helper()
	for i := range n {
		s := f.login(fmt.Sprintf("user-%d", i))
		f.logout(s)
		sids = append(sids, s.ID)
	}
	return sids
}

func sidsOf(page session.Revocations) (sids []session.ID) {
	for _, r := range page.List {
		sids = append(sids, r.SessionID)
	}
	return sids
}

func (f *fixture) wantRead(feed *Feed, cursor string, want ...session.ID) session.Revocations {
	f.Helper()
	var got []session.ID
	page := session.Revocations{Cursor: cursor}
	for len(got) < len(want) {
		if page = f.readFeed(feed, page.Cursor, patience); len(page.List) == 0 {
			f.Fatalf("reset %v after %d of %d entries", page.Reset, len(got), len(want))
		}
		got = append(got, sidsOf(page)...)
	}
	if !slices.Equal(got, want) {
		f.Errorf("the feed has %v, want %v", got, want)
	}
	return page
}

func (f *fixture) wantReset(feed *Feed, cursor string) session.Revocations {
	f.Helper()
	page := f.readFeed(feed, cursor, patience)
	if !page.Reset || len(page.List) > 0 {
		f.Fatalf("reading on gives %d entries, want a reset", len(page.List))
	}
	if again := f.readFeed(feed, page.Cursor, 0); again.Reset {
		f.Error("the cursor of the reset gives another reset")
	}
	return page
}

// TestEveryEndingIsInTheFeed goes through all scripts that end a session.
func TestEveryEndingIsInTheFeed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(o *RedisOptions) { o.Policy.MaxPerUser = 2 })
	feed, cursor := f.feed(nil)
	began := f.Clock()

	aged := func(age time.Duration) session.Session {
		return f.create(session.Session{ID: session.NewID(began.Add(-age)), UserID: "ana"})
	}
	first, second, third := aged(3*time.Second), aged(2*time.Second), aged(time.Second) // evicts the first
	newer := f.refresh(second.Token())
	newest := f.refresh(newer.Token()) // no ending
	if _, _, err := f.Refresh(f.Context(), second.Token(), f.op()); !errors.Is(err, session.ErrReused) {
		t.Fatal(err)
	}
	f.logout(third)
	fourth, fifth := f.login("ben"), f.login("ben")
	if n, _, err := f.RevokeUser(f.Context(), "ben", "", session.EndLogoutAll, f.op()); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	sixth := f.login("eva")
	if err := f.Announce(f.Context(), []session.Session{sixth}, session.EndRemoved); err != nil {
		t.Fatal(err)
	}
	want := []session.Revocation{
		{SessionID: first.ID, UserID: "ana", Reason: session.EndEvicted, Until: first.ExpiresAt},
		{SessionID: second.ID, UserID: "ana", Reason: session.EndReused, Until: newest.ExpiresAt},
		{SessionID: third.ID, UserID: "ana", Reason: session.EndLogout, Until: third.ExpiresAt},
		{SessionID: fourth.ID, UserID: "ben", Reason: session.EndLogoutAll, Until: fourth.ExpiresAt},
		{SessionID: fifth.ID, UserID: "ben", Reason: session.EndLogoutAll, Until: fifth.ExpiresAt},
		{SessionID: sixth.ID, UserID: "eva", Reason: session.EndRemoved},
	}
	var got []session.Revocation
	for len(got) < len(want) {
		page := f.readFeed(feed, cursor, patience)
		got, cursor = append(got, page.List...), page.Cursor
	}
	slices.SortFunc(want[3:5], func(a, b session.Revocation) int { return strings.Compare(string(a.SessionID), string(b.SessionID)) })
	slices.SortFunc(got[3:5], func(a, b session.Revocation) int { return strings.Compare(string(a.SessionID), string(b.SessionID)) })
	for i, r := range got {
		if r.At.Before(began.Add(-time.Second)) || r.At.After(f.Clock().Add(time.Second)) || r.Cursor == "" {
			t.Errorf("entry %d: at %v, cursor %q", i, r.At, r.Cursor)
		}
		if want[i].Until.IsZero() && !r.Until.Before(sixth.ExpiresAt) {
			r.Until = time.Time{}
		}
		r.At, r.Cursor = time.Time{}, ""
		if r != want[i] {
			t.Errorf("entry %d is %+v, want %+v", i, r, want[i])
		}
	}
	if events := f.actions(); events[len(events)-1] != "login" {
		t.Errorf("Announce appends an event: %q", events)
	}
}

func TestFeedReadsOnFromEveryEntry(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(o *RedisOptions) { o.Partitions = 4 })
	feed, start := f.feed(nil)
	sids := f.logouts(20)
	var page session.Revocations
	f.eventually(func(context.Context) error {
		if page = f.readFeed(feed, start, 0); len(page.List) < len(sids) {
			return fmt.Errorf("%d entries", len(page.List))
		}
		return nil
	})
	all := sidsOf(page)
	for i, r := range page.List {
		rest := f.readFeed(feed, r.Cursor, 0)
		if rest.Reset || !slices.Equal(sidsOf(rest), all[i+1:]) {
			t.Errorf("after entry %d come %v, want %v", i, sidsOf(rest), all[i+1:])
		}
	}
	slices.Sort(all)
	slices.Sort(sids)
	if !slices.Equal(all, sids) {
		t.Errorf("the feed has %v, want %v", all, sids)
	}
}

func TestFeedWaits(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	feed, cursor := f.feed(nil)
	if page := f.readFeed(feed, cursor, 10*time.Millisecond); page.Reset || len(page.List) > 0 || page.Cursor != cursor {
		t.Errorf("nothing happened, and Read gives %+v", page)
	}
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan error, 1)
	go func() { _, err := feed.Read(ctx, cursor, patience); got <- err }()
	cancel()
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// TestFeedFansOut: many readers, one connection, and each hears of everything.
func TestFeedFansOut(t *testing.T) {
	t.Parallel()
	rd := testenv.OwnRedis(t)
	f := openFixture(t, rd.URL(), "sg", nil)
	feed, cursor := f.feed(func(o *FeedOptions) { o.MaxReaders = 500 })
	before := f.connections()
	const readers, endings = 500, 20
	var wg sync.WaitGroup
	heard := make([][]session.ID, readers)
	for i := range readers {
		leave, err := feed.Join()
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			defer leave()
			for at := cursor; len(heard[i]) < endings; {
				page, err := feed.Read(t.Context(), at, patience)
				if err != nil || page.Reset || len(page.List) == 0 {
					t.Errorf("reader %d: %+v, %v", i, page, err)
					return
				}
				heard[i], at = append(heard[i], sidsOf(page)...), page.Cursor
			}
		})
	}
	if _, err := feed.Join(); !errors.Is(err, session.ErrOverloaded) {
		t.Errorf("one reader too many: %v", err)
	}
	if n := feed.Stats().Readers; n != readers {
		t.Errorf("%d readers, want %d", n, readers)
	}
	want := f.logouts(endings)
	if after := f.connections(); after > before+2 { // the pool of the test's own calls may grow
		t.Errorf("%d connections to Redis with %d readers, %d before", after, readers, before)
	}
	wg.Wait()
	for i := range heard {
		if !slices.Equal(heard[i], want) {
			t.Fatalf("reader %d heard %v, want %v", i, heard[i], want)
		}
	}
	if s := feed.Stats(); s.Readers != 0 || s.Entries != endings || s.Resets != 0 {
		t.Errorf("stats %+v", s)
	}
}

func (f *fixture) connections() int {
	f.Helper()
	list, err := f.raw.ClientList(f.Context()).Result()
	if err != nil {
		f.Fatal(err)
	}
	return strings.Count(list, "\n")
}

// TestFeedFromRedis: a gateway that has just started, or has little memory, tells
// a reader what it has missed.
func TestFeedFromRedis(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(o *RedisOptions) { o.Partitions = 2 })
	_, start := f.feed(nil)
	sids := f.logouts(30)
	fresh, _ := f.feed(func(o *FeedOptions) { o.InMemory, o.Page = 2, 7 })
	sids = append(sids, f.logouts(10)...)
	var got []session.ID
	for at := start; len(got) < len(sids); {
		page := f.readFeed(fresh, at, patience)
		if page.Reset || len(page.List) == 0 || len(page.List) > 7 {
			t.Fatalf("after %d entries: reset %v and %d entries", len(got), page.Reset, len(page.List))
		}
		got, at = append(got, sidsOf(page)...), page.Cursor
	}
	slices.Sort(got)
	slices.Sort(sids)
	if !slices.Equal(got, sids) {
		t.Errorf("the feed has %d entries, want %d", len(got), len(sids))
	}
}

func TestFeedResets(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		heard bool // what is lost is 3 entries more, which a gateway that was running knows
		harm  func(f *fixture)
	}{
		{"trimmed beyond it", true, func(f *fixture) {
			f.raw.XTrimMaxLen(f.Context(), f.keys.feed(0), 1)
		}},
		{"an entry removed by hand", true, func(f *fixture) {
			entries, err := f.raw.XRange(f.Context(), f.keys.feed(0), "-", "+").Result()
			if err != nil {
				f.Fatal(err)
			}
			f.raw.XDel(f.Context(), f.keys.feed(0), entries[len(entries)-2].ID)
		}},
		{"the feed deleted", true, func(f *fixture) {
			f.raw.Del(f.Context(), f.keys.feed(0))
		}},
		{"the epoch lost", false, func(f *fixture) {
			f.raw.Del(f.Context(), f.keys.partitionMeta(0))
		}},
		{"everything lost", false, func(f *fixture) {
			f.raw.FlushDB(f.Context())
		}},
		{"a failover that lost the last entry", false, func(f *fixture) {
			f.raw.HSet(f.Context(), f.keys.partitionMeta(0), "feed", 1)
		}},
		{"a failover, and as many entries since", false, func(f *fixture) {
			f.raw.HSet(f.Context(), f.keys.partitionMeta(0), "feed", 1)
			f.logouts(2)
		}},
	}
	for _, tt := range tests {
		for _, running := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, gateway running %v", tt.name, running), func(t *testing.T) {
				t.Parallel()
				f := newFixture(t, nil)
				before, _ := f.feed(nil)
				f.logouts(2)
				f.wantEntries(before, 2)
				cursor := f.readFeed(before, "", 0).Cursor
				if tt.heard {
					f.logouts(3)
					f.wantEntries(before, 5)
				}
				tt.harm(f)
				feed := before
				if !running {
					feed, _ = f.feed(nil)
				}
				if running && tt.heard {
					f.wantHeard(feed, cursor, 3)
					return
				}
				f.wantReset(feed, cursor)
			})
		}
	}
}

func (f *fixture) wantEntries(feed *Feed, n uint64) {
	f.Helper()
	f.eventually(func(context.Context) error {
		if got := feed.Stats().Entries; got < n {
			return fmt.Errorf("%d entries, want %d", got, n)
		}
		return nil
	})
}

func (f *fixture) wantHeard(feed *Feed, cursor string, n int) {
	f.Helper()
	for heard := 0; heard < n; {
		page := f.readFeed(feed, cursor, patience)
		if page.Reset || len(page.List) == 0 {
			f.Fatalf("reset %v after %d of %d entries", page.Reset, heard, n)
		}
		heard, cursor = heard+len(page.List), page.Cursor
	}
}

func TestFeedCursorOfNobody(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	feed, cursor := f.feed(nil)
	at, err := parsePosition(cursor, 1)
	if err != nil {
		t.Fatal(err)
	}
	future := position{lives: at.lives, places: []place{{n: 99, id: streamID{ms: 1 << 42}}}}
	epoch := position{lives: lives{1}, places: at.places}
	for name, bad := range map[string]string{
		"garbage": "x", "too long": strings.Repeat("A", 5000), "another version": "Ag" + cursor[2:],
		"the future": future.cursor(), "another epoch": epoch.cursor(),
	} {
		if page := f.readFeed(feed, bad, patience); !page.Reset || page.Cursor != cursor {
			t.Errorf("%s: %+v, want a reset", name, page)
		}
	}
	if n := feed.Stats().Resets; n != 5 {
		t.Errorf("%d resets are counted", n)
	}
}

func TestFeedIsCapped(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(o *RedisOptions) { o.FeedLength = 10; o.Policy.TTL = time.Second })
	f.logouts(300)
	n, err := f.raw.XLen(t.Context(), f.keys.feed(0)).Result()
	if err != nil || n < 10 || n > 150 {
		t.Errorf("the feed has %d entries, %v", n, err)
	}

	old := newFixture(t, nil)
	for i := range 200 {
		old.raw.Do(t.Context(), "XADD", old.keys.feed(0), fmt.Sprintf("%d-0", 1000+i), "n", "1")
	}
	old.logouts(1)
	if n, err := old.raw.XLen(t.Context(), old.keys.feed(0)).Result(); err != nil || n > 101 {
		t.Errorf("of 200 entries that matter to nobody %d are left, %v", n-1, err)
	}
}

func TestFeedOverwrittenKey(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	s := f.login("ana")
	f.raw.Set(t.Context(), f.keys.feed(0), "x", 0)
	if _, err := f.Revoke(t.Context(), "ana", s.ID, session.EndLogout, f.op()); !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
	f.wantActions("login") // and nothing halfway
	f.raw.Del(t.Context(), f.keys.feed(0))
	f.logout(s)
}

func TestFeedOverARestartOfRedis(t *testing.T) {
	t.Parallel()
	rd := testenv.OwnRedis(t)
	f := openFixture(t, rd.URL(), "sg", func(o *RedisOptions) { o.Timeout = time.Second })
	feed, cursor := f.feed(nil)
	s, other := f.login("ana"), f.login("ana")
	f.logout(s)
	cursor = f.wantRead(feed, cursor, s.ID).Cursor

	got := make(chan error, 1)
	go func() { _, err := feed.Read(t.Context(), cursor, patience); got <- err }()
	if err := rd.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("who waits while Redis goes away is told %v", err)
	}
	if _, err := feed.Read(t.Context(), cursor, patience); !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("while Redis is away: %v", err)
	}
	if err := rd.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.eventually(f.Ping)
	f.logout(other)
	var page session.Revocations
	f.eventually(func(ctx context.Context) (err error) {
		page, err = feed.Read(ctx, cursor, patience)
		return err
	})
	if !slices.Equal(sidsOf(page), []session.ID{other.ID}) { // nothing is lost, so no reset
		t.Errorf("after the restart: %+v", page)
	}
	if n := feed.Stats().Resets; n != 0 {
		t.Errorf("%d resets", n)
	}
}

func TestFeedClose(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	feed, cursor := f.feed(nil)
	got := make(chan error, 1)
	go func() { _, err := feed.Read(t.Context(), cursor, patience); got <- err }()
	if err := errors.Join(feed.Close(), feed.Close()); err != nil {
		t.Error(err)
	}
	if err := <-got; !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
	unused := NewFeed(f.Redis, FeedOptions{})
	if err := unused.Close(); err != nil {
		t.Error(err)
	}
}
