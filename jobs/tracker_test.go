package jobs

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/sessiongate/sessiongate/session"
)

// taker remembers what it took, and takes no more calls than it is told to.
type taker struct {
	mu    sync.Mutex
	calls int // before it fails; -1: never
	took  [][]session.Use
}

func (s *taker) Use(_ context.Context, uses []session.Use) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls == 0 {
		return errDown
	}
	s.calls--
	s.took = append(s.took, slices.Clone(uses))
	return nil
}

// all returns what came, by session, and fails the test if one came twice.
func (s *taker) all(t *testing.T) map[session.ID]session.Use {
	t.Helper()
	all := make(map[session.ID]session.Use)
	for _, u := range slices.Concat(s.took...) {
		if _, ok := all[u.SessionID]; ok {
			t.Errorf("%s came twice", u.SessionID)
		}
		all[u.SessionID] = u
	}
	return all
}

func newTestTracker(t testing.TB, sink useSink) *Tracker {
	t.Helper()
	tracker, err := NewTracker(sink, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return tracker
}

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func tokenOf(n int) session.Token {
	return session.Token{SessionID: session.ID(fmt.Sprintf("sid-%06d", n)), UserID: fmt.Sprintf("user-%d", n)}
}

func TestTrackerSendsEachSessionOnce(t *testing.T) {
	t.Parallel()
	sink := &taker{calls: -1}
	tracker := newTestTracker(t, sink)
	first, second := tokenOf(1), tokenOf(2)
	tracker.Seen(first, noon.Add(2*time.Second))
	first.Generation = 5
	tracker.Seen(first, noon) // later in order, earlier in time, a newer token
	first.Generation = 4
	tracker.Seen(first, noon.Add(time.Second))
	tracker.Seen(second, noon)

	if done, err := tracker.Run(t.Context()); done != 2 || err != nil {
		t.Fatalf("Run = %d, %v", done, err)
	}
	want := map[session.ID]session.Use{
		first.SessionID:  {SessionID: first.SessionID, UserID: "user-1", At: noon.Add(2 * time.Second), Generation: 5, Active: true},
		second.SessionID: {SessionID: second.SessionID, UserID: "user-2", At: noon, Active: true},
	}
	for id, got := range sink.all(t) {
		if got != want[id] {
			t.Errorf("got %+v, want %+v", got, want[id])
		}
	}
	if done, err := tracker.Run(t.Context()); done != 0 || err != nil || len(sink.took) != 1 {
		t.Errorf("nothing was left, and Run = %d, %v with %d calls", done, err, len(sink.took))
	}
}

func TestTrackerKeepsWhatIsNotTaken(t *testing.T) {
	t.Parallel()
	sink := &taker{calls: 2}
	tracker := newTestTracker(t, sink)
	tracker.perCall = 10
	for n := range 45 {
		tracker.Seen(tokenOf(n), noon)
	}
	done, err := tracker.Run(t.Context())
	if done != 20 || err == nil || !strings.Contains(err.Error(), "25 sessions") {
		t.Fatalf("Run = %d, %v, want 20 and an error about 25", done, err)
	}
	var kept session.Token // one that waits
	for n, took := 0, sink.all(t); ; n++ {
		if _, ok := took[tokenOf(n).SessionID]; !ok {
			kept = tokenOf(n)
			break
		}
	}
	tracker.Seen(kept, noon.Add(time.Second))
	sink.calls = -1
	if done, err := tracker.Run(t.Context()); done != 25 || err != nil {
		t.Fatalf("Run = %d, %v, want the other 25", done, err)
	}
	took := sink.all(t)
	if len(took) != 45 {
		t.Errorf("%d of 45 sessions came", len(took))
	}
	if got := took[kept.SessionID].At; !got.Equal(noon.Add(time.Second)) {
		t.Errorf("a use that waited came as of %v, want the later one", got)
	}
}

func TestTrackerIsBounded(t *testing.T) {
	t.Parallel()
	sink := &taker{}
	tracker := newTestTracker(t, sink)
	tracker.limit = 2
	const sessions = 10 * 2 * trackerShards
	for range 3 {
		for n := range sessions {
			tracker.Seen(tokenOf(n), noon)
		}
		if _, err := tracker.Run(t.Context()); err == nil {
			t.Fatal("the sink took something")
		}
	}
	if got := testutil.ToFloat64(tracker.metrics.dropped); got < 3*sessions*8/10 {
		t.Errorf("%v uses dropped, want most of %d", got, 3*sessions)
	}
	sink.calls = -1
	if done, err := tracker.Run(t.Context()); done != 2*trackerShards || err != nil {
		t.Errorf("Run = %d, %v, want %d", done, err, 2*trackerShards)
	}
}

func TestTrackerUnderLoad(t *testing.T) {
	t.Parallel()
	sink := &taker{calls: -1}
	tracker := newTestTracker(t, sink)
	const writers, sessions, rounds = 8, 200, 50
	group(writers+1, func(i int) {
		if i == writers { // the job, several times while they write
			for range 20 {
				if _, err := tracker.Run(t.Context()); err != nil {
					t.Error(err)
				}
			}
			return
		}
		for round := range rounds {
			for n := range sessions {
				tracker.Seen(tokenOf(n), noon.Add(time.Duration(round*writers+i)*time.Millisecond))
			}
		}
	})
	if _, err := tracker.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	latest := make(map[session.ID]time.Time)
	for _, u := range slices.Concat(sink.took...) {
		if u.At.After(latest[u.SessionID]) {
			latest[u.SessionID] = u.At
		}
	}
	for n := range sessions {
		if got, want := latest[tokenOf(n).SessionID], noon.Add((rounds*writers-1)*time.Millisecond); !got.Equal(want) {
			t.Fatalf("the last use of session %d came as of %v, want %v", n, got, want)
		}
	}
}

// BenchmarkSeen is what validation pays for activity.
func BenchmarkSeen(b *testing.B) {
	tracker := newTestTracker(b, &taker{calls: -1})
	tokens := make([]session.Token, 10_000)
	for n := range tokens {
		tokens[n] = tokenOf(n)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for n := 0; pb.Next(); n++ {
			tracker.Seen(tokens[n%len(tokens)], noon)
		}
	})
}
