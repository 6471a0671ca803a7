package store

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/sessiongate/sessiongate/session"
)

// feedEntry is an entry of a partition's feed, with the place right after it.
type feedEntry struct {
	place
	revocation session.Revocation
}

// errFeedGap: an entry is missing, or the feed is not the one it was.
var errFeedGap = errors.New("the feed has a gap")

// decodeFeedEntry reads an entry as announce in lua/prelude.lua wrote it.
func decodeFeedEntry(m redis.XMessage) (e feedEntry, err error) {
	text := func(name string) string { s, _ := m.Values[name].(string); return s }
	r := &e.revocation
	var errs [5]error
	e.id, errs[0] = parseStreamID(m.ID)
	e.n, errs[1] = strconv.ParseUint(text("n"), 10, 63)
	r.At, errs[2] = msTime(text("at"))
	r.Until, errs[3] = msTime(text("until"))
	r.SessionID, errs[4] = session.ParseID(text("sid"))
	r.UserID, r.Reason = text("user"), session.EndReason(text("reason"))
	if err := errors.Join(errs[:]...); err != nil {
		return feedEntry{}, fmt.Errorf("%w: entry %s is not one of ours: %w", errFeedGap, m.ID, err)
	}
	return e, nil
}

// shelf is what a gateway has in memory of a partition's feed: the entries from
// start on, without a gap.
type shelf struct {
	start   place
	entries []feedEntry
}

// head is the place after the last entry.
func (s *shelf) head() place {
	if n := len(s.entries); n > 0 {
		return s.entries[n-1].place
	}
	return s.start
}

// add puts entries behind the last, and forgets the oldest beyond limit. It
// returns errFeedGap if they do not follow.
func (s *shelf) add(entries []feedEntry, limit int) error {
	for _, e := range entries {
		if e.n != s.head().n+1 {
			return fmt.Errorf("%w: entry %d follows %d", errFeedGap, e.n, s.head().n)
		}
		s.entries = append(s.entries, e)
	}
	if over := len(s.entries) - limit; over > 0 {
		s.start = s.entries[over-1].place
		s.entries = append([]feedEntry(nil), s.entries[over:]...) // let go of the others
	}
	return nil
}

// reach is where a reader's place lies, seen from a shelf.
type reach int

const (
	within reach = iota // the entries after it are on the shelf
	behind              // the first of them are in Redis only
	ahead               // beyond the last: another gateway knew more
	apart               // of another history
)

// after returns what follows the place.
func (s *shelf) after(at place) ([]feedEntry, reach) {
	switch {
	case at.n < s.start.n:
		return nil, behind
	case at.n > s.head().n:
		return nil, ahead
	}
	i := at.n - s.start.n
	known := s.start
	if i > 0 {
		known = s.entries[i-1].place
	}
	if known != at {
		return nil, apart
	}
	return s.entries[i:], within
}
