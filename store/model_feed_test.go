package store

import (
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/sessiongate/sessiongate/session"
)

// feedModel is what the feed promises: an entry for each ending that the store was
// told of, once, in order, for every reader from where it is.
type feedModel struct {
	feed  *Feed
	ended [][]session.ID // by step; those of one step are in any order
	marks []mark         // places where a reader has been, oldest first
}

// mark is a cursor and how many steps with endings came before it.
type mark struct {
	cursor string
	steps  int
}

// announce notes the endings of one step.
func (m *machine) announce(sessions ...*modelSession) {
	var sids []session.ID
	for _, s := range sessions {
		if s.live {
			sids = append(sids, s.tokens[0].SessionID)
		}
	}
	if len(sids) > 0 {
		m.ended = append(m.ended, sids)
	}
}

// checkFeed reads on from the latest place, and from one before it.
func (m *machine) checkFeed(rt *rapid.T) {
	last := m.marks[len(m.marks)-1]
	if last.steps < len(m.ended) {
		m.marks = append(m.marks, mark{m.readOn(rt, last), len(m.ended)})
	}
	before := rapid.SampledFrom(m.marks).Draw(rt, "reader")
	m.readOn(rt, before)
	page, err := m.feed.Read(m.f.Context(), m.marks[len(m.marks)-1].cursor, 0)
	if err != nil || page.Reset || len(page.List) > 0 {
		rt.Fatalf("at its end the feed has %d entries more, reset %v, error %v", len(page.List), page.Reset, err)
	}
}

// readOn reads from the place to the end, wants what happened since and nothing
// else, and returns where the end is.
func (m *machine) readOn(rt *rapid.T, from mark) (cursor string) {
	cursor = from.cursor
	var got []session.ID
	want := slices.Concat(m.ended[from.steps:]...)
	for len(got) < len(want) {
		page, err := m.feed.Read(m.f.Context(), cursor, 5*time.Second)
		if err != nil || page.Reset || len(page.List) == 0 {
			rt.Fatalf("after %d of %d endings the feed has %d entries, reset %v, error %v",
				len(got), len(want), len(page.List), page.Reset, err)
		}
		got, cursor = append(got, sidsOf(page)...), page.Cursor
	}
	if len(got) > len(want) {
		rt.Fatalf("the feed has %d entries, want %d", len(got), len(want))
	}
	for _, step := range m.ended[from.steps:] {
		mine := got[:len(step)]
		got = got[len(step):]
		if !slices.Equal(slices.Sorted(slices.Values(mine)), slices.Sorted(slices.Values(step))) {
			rt.Fatalf("the feed has %v, want %v", mine, step)
		}
	}
	return cursor
}
