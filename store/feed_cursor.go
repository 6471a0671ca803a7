package store

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// streamID is the id of an entry of a stream; the zero value is before all.
type streamID struct{ ms, seq uint64 }

func (id streamID) String() string {
	return strconv.FormatUint(id.ms, 10) + "-" + strconv.FormatUint(id.seq, 10)
}

func parseStreamID(s string) (streamID, error) {
	left, right, ok := strings.Cut(s, "-")
	ms, errMs := strconv.ParseUint(left, 10, 64)
	seq, errSeq := strconv.ParseUint(right, 10, 64)
	if !ok || errMs != nil || errSeq != nil {
		return streamID{}, fmt.Errorf("%q is not the id of a stream's entry", s)
	}
	return streamID{ms, seq}, nil
}

// place is right after an entry of a partition's feed, known by its number and
// its id: by the number a reader sees that an entry is missing, by the id that
// the number belongs to another history (a failover that lost the last writes).
type place struct {
	n  uint64 // how many came up to here in this epoch
	id streamID
}

// lives is a digest of the epochs of all partitions: places are comparable only
// within the same one.
type lives [8]byte

func livesOf(epochs []string) (d lives) {
	sum := sha256.Sum256([]byte(strings.Join(epochs, " ")))
	copy(d[:], sum[:])
	return d
}

// position is a place in each partition.
type position struct {
	lives  lives
	places []place
}

// cursorVersion is the first byte of a cursor. A gateway that does not know it
// has the reader start afresh, which is always safe.
const cursorVersion = 1

// maxPlaceBytes is the most that a place takes in a cursor.
const maxPlaceBytes = 3 * binary.MaxVarintLen64

func (p position) cursor() string {
	b := make([]byte, 0, 1+len(p.lives)+16*len(p.places))
	b = append(b, cursorVersion)
	b = append(b, p.lives[:]...)
	for _, at := range p.places {
		for _, number := range []uint64{at.n, at.id.ms, at.id.seq} {
			b = binary.AppendUvarint(b, number)
		}
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

var errFeedCursor = errors.New("not a cursor of this feed")

// parsePosition reads what cursor wrote, and no second spelling of it.
func parsePosition(s string, partitions int) (position, error) {
	if len(s) > base64.RawURLEncoding.EncodedLen(1+len(lives{})+maxPlaceBytes*partitions) {
		return position{}, errFeedCursor
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) < 1+len(lives{}) || b[0] != cursorVersion {
		return position{}, errFeedCursor
	}
	p := position{places: make([]place, partitions)}
	b = b[1+copy(p.lives[:], b[1:]):]
	for i := range p.places {
		at := &p.places[i]
		for _, number := range []*uint64{&at.n, &at.id.ms, &at.id.seq} {
			n := 0
			if *number, n = binary.Uvarint(b); n <= 0 || *number > math.MaxInt64 {
				return position{}, errFeedCursor
			}
			b = b[n:]
		}
	}
	if len(b) > 0 || p.cursor() != s {
		return position{}, errFeedCursor
	}
	return p, nil
}
