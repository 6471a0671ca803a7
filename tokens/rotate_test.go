package tokens

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/session"
)

// The life of a key: published an hour before it signs, and good until its last
// token is over.
func TestSharedLife(t *testing.T) {
	t.Parallel()
	shelf, c := &shelf{}, &clock{born}
	n := newNode(t, shelf, c, nil).mustStart(t)
	steps := []struct {
		at      time.Duration
		changed int
		states  string
		public  int
	}{
		{0, 0, "current", 1},
		{testEvery - testAhead - time.Second, 0, "current", 1},
		{testEvery - testAhead, 2, "current next", 2},
		{testEvery - testAhead, 0, "current next", 2},
		{testEvery - time.Millisecond, 0, "current next", 2},
		{testEvery, 0, "previous current", 2},
		{testEvery + testLinger - time.Millisecond, 0, "previous current", 2},
		{testEvery + testLinger, 0, "retired current", 1},
		{testEvery + testLinger + keepSealed - 1, 0, "retired current", 1},
		{testEvery + testLinger + keepSealed, 1, "retired current", 1},
		{2*testEvery - testAhead, 2, "retired current next", 2},
	}
	for _, step := range steps {
		c.t = born.Add(step.at)
		changed, err := n.Rotate(t.Context())
		if err != nil || changed != step.changed {
			t.Errorf("after %v: %d changed (%v), want %d", step.at, changed, err, step.changed)
		}
		if got := shelf.states(c.t); got != step.states {
			t.Errorf("after %v: %s, want %s", step.at, got, step.states)
		}
		if got := len(n.Keyring().JWKS(c.t).Keys); got != step.public {
			t.Errorf("after %v: %d keys are public, want %d", step.at, got, step.public)
		}
	}
	if len(shelf.keys[0].Sealed) != 0 || len(shelf.keys[1].Sealed) == 0 {
		t.Error("the old key is still there, or the one in use is not")
	}
	// Everybody slept over two turns: the next key is late, and is still published
	// before it signs.
	c.t = born.Add(4 * testEvery)
	if _, err := n.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	last := shelf.keys[len(shelf.keys)-1]
	if last.State(c.t) != session.KeyNext || last.SignsFrom.Sub(c.t) != testAhead {
		t.Errorf("a late key: %s, signs in %v", last.State(c.t), last.SignsFrom.Sub(c.t))
	}
}

func TestSharedRetire(t *testing.T) {
	t.Parallel()
	type world struct {
		*shelf
		*clock
		n node
	}
	newWorld := func(t *testing.T) world {
		w := world{shelf: &shelf{}, clock: &clock{born}}
		w.n = newNode(t, w.shelf, w.clock, nil).mustStart(t)
		return w
	}
	publish := func(t *testing.T, w world, atOnce bool) {
		if err := w.n.Publish(t.Context(), atOnce); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name   string
		before func(*testing.T, world)
		retire int
		states string
	}{
		{"the only one", func(*testing.T, world) {}, 0, "retired current"},
		{"the current one, with a next", func(t *testing.T, w world) { publish(t, w, false) }, 0, "retired current"},
		{"the next one", func(t *testing.T, w world) { publish(t, w, false) }, 1, "current retired"},
		{"the previous one", func(t *testing.T, w world) { publish(t, w, true) }, 0, "retired current"},
		{"the current one, with a previous", func(t *testing.T, w world) { publish(t, w, true) }, 1, "previous retired current"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			tt.before(t, w)
			w.t = born.Add(time.Minute)
			tokens := map[string]string{w.n.Keyring().Active(w.t).ID(): w.n.issue(t, w.clock)}
			kid := w.keys[tt.retire].ID
			if err := w.n.Retire(t.Context(), kid); err != nil {
				t.Fatal(err)
			}
			if got := w.states(w.t); got != tt.states {
				t.Errorf("%s, want %s", got, tt.states)
			}
			for by, raw := range tokens {
				_, err := w.n.Verify(raw)
				if refused := err != nil; refused != (by == kid) {
					t.Errorf("a token of key %s after %s has been retired: %v", by, kid, err)
				}
			}
			if w.n.Keyring().Active(w.t).ID() == kid {
				t.Error("it still signs")
			}
			for _, k := range w.n.Keyring().JWKS(w.t).Keys {
				if k.ID == kid {
					t.Error("it is still published")
				}
			}
			if err := w.n.Retire(t.Context(), kid); !errors.Is(err, ErrNoSuchKey) {
				t.Errorf("again: %v", err)
			}
			// The chain is whole: the next turn comes as always.
			w.t = born.Add(testEvery + testAhead)
			if _, err := w.n.Rotate(t.Context()); err != nil {
				t.Error(err)
			}
			if got := w.states(w.t); strings.Count(got, "current") != 1 || !strings.HasSuffix(got, "next") {
				t.Errorf("a month later: %s", got)
			}
		})
	}
}

// A verified token is remembered; withdrawing its key reaches it all the same.
func TestRetireReachesTheCache(t *testing.T) {
	t.Parallel()
	shelf, c := &shelf{}, &clock{born}
	n := newNode(t, shelf, c, nil).mustStart(t)
	raw := n.issue(t, c)
	if _, err := n.Verify(raw); err != nil {
		t.Fatal(err)
	}
	if err := n.Retire(t.Context(), shelf.keys[0].ID); err != nil {
		t.Fatal(err)
	}
	wantInvalid(t, n.Verifier, raw)
}

func TestSharedPublish(t *testing.T) {
	t.Parallel()
	shelf, c := &shelf{}, &clock{born}
	n := newNode(t, shelf, c, nil).mustStart(t)
	other := newNode(t, shelf, c, nil).mustStart(t)
	c.t = born.Add(time.Hour)
	if err := n.Publish(t.Context(), false); err != nil || shelf.states(c.t) != "current next" {
		t.Fatalf("%s, %v", shelf.states(c.t), err)
	}
	if next := shelf.keys[1].SignsFrom.Sub(c.t); next != testAhead {
		t.Errorf("it signs in %v", next)
	}
	if err := n.Publish(t.Context(), false); !errors.Is(err, ErrNextIsPublished) {
		t.Errorf("twice: %v", err)
	}
	if err := n.Publish(t.Context(), true); err != nil || shelf.states(c.t) != "previous current" {
		t.Fatalf("%s, %v", shelf.states(c.t), err)
	}
	if end := shelf.keys[0].VerifiesUntil.Sub(c.t); end != testLinger {
		t.Errorf("the old one verifies for %v", end)
	}
	// A gateway that has not read since meets the new key and looks for it.
	raw := n.issue(t, c)
	if _, err := other.Verify(raw); err != nil {
		t.Errorf("a key that another gateway made at once: %v", err)
	}
	if _, err := n.Verify(other.issue(t, c)); err != nil {
		t.Error(err)
	}
}

// Another algorithm in the configuration is a reason to publish a key.
func TestSharedChangesAlgorithm(t *testing.T) {
	t.Parallel()
	shelf, c := &shelf{}, &clock{born}
	newNode(t, shelf, c, nil).mustStart(t)
	c.t = born.Add(time.Minute)
	n := newNode(t, shelf, c, func(o *SharedOptions) { o.Algorithm = ES256 }).mustStart(t)
	if got := shelf.states(c.t); got != "current next" || n.Keyring().Active(c.t).Algorithm() != EdDSA {
		t.Errorf("%s", got)
	}
	c.t = c.t.Add(testAhead)
	if got := n.Keyring().Active(c.t).Algorithm(); got != ES256 {
		t.Errorf("it signs with %s", got)
	}
}
