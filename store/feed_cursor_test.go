package store

import (
	"math"
	"strings"
	"testing"
)

func TestFeedCursor(t *testing.T) {
	t.Parallel()
	for _, places := range [][]place{
		{{}},
		{{7, streamID{1763956200123, 4}}},
		{{math.MaxInt64, streamID{math.MaxInt64, math.MaxInt64}}},
		make([]place, 64),
	} {
		want := position{lives: livesOf([]string{"a", "b"}), places: places}
		got, err := parsePosition(want.cursor(), len(places))
		if err != nil || got.cursor() != want.cursor() || got.places[0] != places[0] {
			t.Errorf("%v comes back as %v, %v", want, got, err)
		}
		if _, err := parsePosition(want.cursor(), len(places)+1); err == nil {
			t.Error("a cursor for fewer partitions is accepted")
		}
	}
}

func TestFeedCursorRefuses(t *testing.T) {
	t.Parallel()
	good := position{places: []place{{300, streamID{1763956200123, 300}}}}.cursor()
	for name, bad := range map[string]string{
		"nothing":             "",
		"no base64":           "!" + good[1:],
		"padding":             good + "=",
		"another version":     "Ag" + good[2:],
		"cut short":           good[:len(good)-2],
		"too long":            good + "AA",
		"far too long":        good + strings.Repeat("A", 1000),
		"trailing bits":       good[:len(good)-1] + "B",
		"a number spelt long": position{places: []place{{}}}.cursor()[:12] + "gACAAIAA",
	} {
		if p, err := parsePosition(bad, 1); err == nil {
			t.Errorf("%s: %q is accepted as %v", name, bad, p)
		}
	}
}

// FuzzFeedCursor: whatever a reader sends is refused, or is the one spelling of a
// position.
func FuzzFeedCursor(f *testing.F) {
	f.Add(position{places: make([]place, 2)}.cursor(), 2)
	f.Add(position{places: []place{{300, streamID{1763956200123, 4}}}}.cursor(), 1)
	f.Add("AQ", 1)
	f.Fuzz(func(t *testing.T, s string, partitions int) {
		partitions = 1 + (partitions&math.MaxInt32)%64
		p, err := parsePosition(s, partitions)
		if err == nil && (p.cursor() != s || len(p.places) != partitions) {
			t.Errorf("%q is read as %v, which is written %q", s, p, p.cursor())
		}
	})
}
