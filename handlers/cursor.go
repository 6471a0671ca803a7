package handlers

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/sessiongate/sessiongate/internal/problem"
)

// list says which ordering a cursor is a place in.
type list byte

const (
	activeSessions list = 'a' // by last activity, then id, both falling
	endedSessions  list = 'e' // the same
	logRows        list = 'l' // by time, then id, both falling
)

// cursor is a place in a list: right after the row with this time and id. With
// neither it is the beginning of the list. A client gets it as text and has
// nothing to gain by making one up: it can't leave its own rows with it, and
// everything in it is checked.
type cursor struct {
	list list
	at   time.Time // with microseconds, as Postgres keeps them
	id   string
}

// maxMicro is the end of the year 9999 in Unix microseconds.
const maxMicro = 253402300799999999

func (c cursor) String() string {
	var micro int64
	if c.id != "" {
		micro = c.at.UnixMicro()
	}
	text := string(c.list) + "." + strconv.FormatInt(micro, 10) + "." + c.id
	return base64.RawURLEncoding.EncodeToString([]byte(text))
}

var errCursor = &problem.Invalid{Field: "cursor", Reason: "must be the next_cursor of an earlier answer to the same question"}

// parseCursor reads what String wrote for one of the given lists. It accepts no
// second spelling of a cursor.
func parseCursor(s string, lists ...list) (cursor, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(raw) > 64 {
		return cursor{}, errCursor
	}
	kind, rest, _ := strings.Cut(string(raw), ".")
	number, id, _ := strings.Cut(rest, ".")
	micro, err := strconv.ParseInt(number, 10, 64)
	if err != nil || micro < 0 || micro > maxMicro {
		return cursor{}, errCursor
	}
	var c cursor
	for _, l := range lists {
		if kind == string(l) {
			c.list = l
		}
	}
	if id != "" {
		u, err := uuid.Parse(id)
		if err != nil || u.String() != id {
			return cursor{}, errCursor
		}
		c.at, c.id = time.UnixMicro(micro).UTC(), id
	}
	if c.list == 0 || c.String() != s {
		return cursor{}, errCursor
	}
	return c, nil
}
