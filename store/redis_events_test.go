package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessiongate/sessiongate/session"
)

func streamIDs(entries []Entry) []string {
	ids := make([]string, len(entries))
	for i, e := range entries {
		ids[i] = e.StreamID
	}
	return ids
}

func (f *fixture) read(limit int) []Entry {
	f.Helper()
	entries, err := f.ReadEvents(f.Context(), 0, limit)
	if err != nil {
		f.Fatal(err)
	}
	return entries
}

func TestReadAndAckEvents(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	for _, user := range []string{"1", "2", "3"} {
		f.login(user)
	}
	first := f.read(2)
	if len(first) != 2 || first[0].Event.UserID != "1" {
		t.Fatalf("read %d entries, want the first 2", len(first))
	}
	if again := f.read(2); !slices.Equal(streamIDs(again), streamIDs(first)) {
		t.Errorf("what was not acknowledged is not read again: %v", streamIDs(again))
	}
	if err := f.AckEvents(t.Context(), 0, streamIDs(first)); err != nil {
		t.Fatal(err)
	}
	rest := f.read(2)
	if len(rest) != 1 || rest[0].Event.UserID != "3" {
		t.Fatalf("then read %d entries, want the third", len(rest))
	}
	if n, oldest, err := f.Backlog(t.Context(), 0); err != nil || n != 1 || oldest.IsZero() {
		t.Errorf("backlog is %d since %v, error %v; want 1", n, oldest, err)
	}
	for range 2 {
		if err := f.AckEvents(t.Context(), 0, streamIDs(rest)); err != nil {
			t.Fatal(err)
		}
	}
	if n, oldest, err := f.Backlog(t.Context(), 0); err != nil || n != 0 || !oldest.IsZero() {
		t.Errorf("backlog is %d since %v, error %v; want none", n, oldest, err)
	}
	if p := f.raw.XPending(t.Context(), f.keys.events(0), group).Val(); p.Count != 0 {
		t.Errorf("%d entries are pending, want none", p.Count)
	}
}

func TestEventsOfADeadGatewayAreClaimed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.login("1")
	if n := len(f.read(10)); n != 1 {
		t.Fatalf("the first gateway read %d entries, want 1", n)
	}
	open := func(name string, idle time.Duration) *fixture {
		return openFixture(t, f.url, f.keys.root, func(o *RedisOptions) { o.Instance, o.ClaimIdle = name, idle })
	}
	if n := len(open("gateway-2", time.Hour).read(10)); n != 0 {
		t.Errorf("another took %d entries from under a gateway that may be alive", n)
	}
	heir := open("gateway-3", time.Millisecond)
	heir.eventually(func(context.Context) error {
		if n := len(heir.read(10)); n != 1 {
			return fmt.Errorf("the heir read %d entries, want 1", n)
		}
		return nil
	})
}

func TestLostGroupIsMadeAgainFromTheStart(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.raw.Del(t.Context(), f.keys.events(0))
	f.login("1")
	if n := len(f.read(10)); n != 1 {
		t.Errorf("read %d entries, want the one that was there before the group", n)
	}
}

func TestVanishedEntriesAreNotReadForEver(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.login("1")
	f.login("2")
	entries := f.read(10)
	f.raw.XDel(t.Context(), f.keys.events(0), entries[0].StreamID)
	if got := f.read(10); len(got) != 1 || got[0].Event.UserID != "2" {
		t.Errorf("read %v, want the entry that is left", streamIDs(got))
	}
	if p := f.raw.XPending(t.Context(), f.keys.events(0), group).Val(); p.Count != 1 {
		t.Errorf("%d entries are pending, want 1", p.Count)
	}
}

func TestMalformedEntriesCarryTheirError(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.raw.XAdd(t.Context(), &redis.XAddArgs{Stream: f.keys.events(0), Values: []string{"hello", "\xff\x00"}})
	f.login("1")
	got := f.read(10)
	if len(got) != 2 || !errors.Is(got[0].Err, session.ErrMalformedEvent) || got[1].Err != nil {
		t.Fatalf("entries are %+v", got)
	}
	if got[0].Fields["hello"] != "\xff\x00" {
		t.Errorf("fields are %q, want them as found", got[0].Fields)
	}
}

func TestAppendedEventReadsBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	e := f.op()
	e.Action, e.Error = session.ActionLogin, "wrong password"
	e.UserID, e.Reason = "42", "x"
	if err := f.Append(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	got := f.appended()[0]
	if got.ID != e.ID || got.Error != e.Error || got.Success || got.UserID != "42" || got.Origin != e.Origin {
		t.Errorf("event is %+v, want %+v", got, e)
	}
}

func TestFence(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	fence := func() Fence {
		t.Helper()
		fence, err := f.Fence(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		return fence
	}
	passed := func(fence Fence, want bool) {
		t.Helper()
		if got, err := f.Passed(t.Context(), fence); err != nil || got != want {
			t.Errorf("passed is %v, error %v; want %v", got, err, want)
		}
	}
	empty := fence()
	passed(empty, true)
	f.login("1")
	passed(empty, true) // what came later does not hold it up
	behind := fence()
	passed(behind, false)
	entries := f.read(10)
	passed(behind, false) // read is not written
	f.login("2")
	if err := f.AckEvents(t.Context(), 0, streamIDs(entries)); err != nil {
		t.Fatal(err)
	}
	passed(behind, true)

	f.raw.Del(t.Context(), f.keys.partitionMeta(0))
	if _, err := f.Passed(t.Context(), behind); !errors.Is(err, ErrEpochChanged) {
		t.Errorf("without its epoch: error is %v, want ErrEpochChanged", err)
	}
	before := behind.Epoch
	after, since, err := f.Epoch(t.Context(), 0)
	if err != nil || after == before || since.IsZero() {
		t.Errorf("new epoch is %q since %v, error %v; want another than %q", after, since, err, before)
	}
	if _, err := f.Passed(t.Context(), behind); !errors.Is(err, ErrEpochChanged) {
		t.Errorf("in a new epoch: error is %v, want ErrEpochChanged", err)
	}
	if again, _, err := f.Epoch(t.Context(), 0); err != nil || again != after {
		t.Errorf("epoch is %q, error %v; want it to stay %q", again, err, after)
	}
}

func TestUse(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	s, gone, unlisted := f.login("42"), f.login("42"), f.login("43")
	s = f.refresh(s.Token())
	f.raw.Del(t.Context(), f.keys.session("42", gone.ID))
	f.raw.Del(t.Context(), f.keys.user("43"))
	at := f.Clock()
	uses := []session.Use{
		{SessionID: s.ID, UserID: "42", At: at, Generation: 1},
		{SessionID: gone.ID, UserID: "42", At: at},
		{SessionID: unlisted.ID, UserID: "43", At: at},
	}
	earlier := uses[0]
	earlier.At = at.Add(-time.Second)
	for _, batch := range [][]session.Use{uses, {earlier}} {
		if err := f.Use(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	f.wantExists(false, f.keys.session("42", gone.ID))
	f.wantExists(false, f.keys.user("43"))
	f.wantExists(false, f.keys.seen("43"))
	if f.hashOf(s)["s"] != "1" {
		t.Error("the use of a successor was not noted")
	}
	if got := f.raw.HGet(t.Context(), f.keys.seen("42"), string(s.ID)).Val(); got != unixMilli(at) {
		t.Errorf("last seen is %s, want %s: it only grows", got, unixMilli(at))
	}
	user, seen := f.raw.PExpireTime(t.Context(), f.keys.user("42")).Val(), f.raw.PExpireTime(t.Context(), f.keys.seen("42")).Val()
	if user != seen {
		t.Errorf("seen expires at %d, want %d as the user's zset", seen.Milliseconds(), user.Milliseconds())
	}
	got, err := f.Activity(t.Context(), 0, 10)
	if err != nil || len(got) != 1 || got[0].SessionID != s.ID || !got[0].At.Equal(at) {
		t.Fatalf("activity is %+v, error %v", got, err)
	}
}

// TestUseOfThePredecessorProvesNothing: only its successor's arrival ends the
// time in which a token that was replaced is good.
func TestUseOfThePredecessorProvesNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	s := f.login("42")
	next := f.refresh(s.Token())
	f.use(s)
	if f.hashOf(next)["s"] == "1" {
		t.Error("a use of the previous token counts as one of the current")
	}
	f.use(next)
	f.refresh(next.Token())
	if f.hashOf(next)["s"] == "1" {
		t.Error("a new generation begins used")
	}
}

func TestClearActivity(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	s, busy := f.login("42"), f.login("43")
	f.use(s)
	f.use(busy)
	written, err := f.Activity(t.Context(), 0, 10)
	if err != nil || len(written) != 2 {
		t.Fatalf("activity is %+v, error %v", written, err)
	}
	later := session.Use{SessionID: busy.ID, UserID: "43", At: f.Clock().Add(time.Second)}
	if err := f.Use(t.Context(), []session.Use{later}); err != nil {
		t.Fatal(err)
	}
	if err := f.ClearActivity(t.Context(), 0, written); err != nil {
		t.Fatal(err)
	}
	left, err := f.Activity(t.Context(), 0, 10)
	if err != nil || len(left) != 1 || left[0].SessionID != busy.ID || !left[0].At.Equal(later.At) {
		t.Errorf("left is %+v, error %v; want only what was used again since", left, err)
	}
}

func TestManyUsesGoInBatches(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(o *RedisOptions) { o.Partitions = 4 })
	uses := make([]session.Use, 0, 1200)
	for range 60 {
		for u := range 20 {
			uses = append(uses, session.Use{SessionID: session.NewID(f.Clock()), UserID: string(rune('a' + u)), At: f.Clock()})
		}
	}
	live := f.login("a")
	uses[1000] = session.Use{SessionID: live.ID, UserID: "a", At: f.Clock()}
	if err := f.Use(t.Context(), uses); err != nil {
		t.Fatal(err)
	}
	got, err := f.Activity(t.Context(), f.PartitionOf("a"), 10)
	if err != nil || len(got) != 1 {
		t.Errorf("activity is %+v, error %v; want the one live session", got, err)
	}
}
