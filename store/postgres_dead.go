package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/sessiongate/sessiongate/session"
	schema "github.com/sessiongate/sessiongate/sql"
)

var insertSessionLogsDead = schema.Query("insert_session_logs_dead")

// deadLetter is an entry that can't be written, as a row that always can.
type deadLetter struct {
	partition          int
	streamID, digest   string
	eventID, sessionID string
	sqlstate, cause    string
	payload            string
}

// The most of an entry that a dead letter keeps. Real ones are far below it.
const (
	deadFields     = 64
	deadNameBytes  = 256
	deadValueBytes = 8 << 10
	deadCauseBytes = 512
)

func newDeadLetter(e *Entry, sqlstate string, cause error) deadLetter {
	fields := e.Fields
	if fields == nil {
		fields = fieldsOf(&e.Event)
	}
	d := deadLetter{
		partition: e.Partition,
		streamID:  plain(e.StreamID, deadNameBytes),
		digest:    digest(fields),
		sqlstate:  sqlstate,
		cause:     session.CleanText(cause.Error(), deadCauseBytes),
		payload:   payload(fields),
	}
	// Only what is an id: sweep and reconcile look for the session's.
	if id, err := session.ParseEventID(fields["id"]); err == nil {
		d.eventID = string(id)
	}
	if id, err := session.ParseID(fields["sid"]); err == nil {
		d.sessionID = string(id)
		if fields["ends"] != "" {
			d.eventID = string(session.EndingID(id))
		}
	}
	return d
}

// park writes dead letters and counts the new ones. One that is there already
// stays as it is.
func (p *Postgres) park(ctx context.Context, letters []deadLetter, r *WriteResult) error {
	if len(letters) == 0 {
		return nil
	}
	c := newColumns(8, len(letters))
	for _, d := range letters {
		c.add(strconv.Itoa(d.partition), d.streamID, d.digest, d.eventID, d.sessionID, d.sqlstate, d.cause,
			d.payload)
	}
	n, err := p.update(ctx, insertSessionLogsDead, c.args()...)
	r.Dead += int(n)
	if err != nil {
		return fmt.Errorf("park dead letters: %w", err)
	}
	return nil
}

func fieldsOf(e *session.Event) map[string]string {
	pairs := e.Fields()
	fields := make(map[string]string, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		fields[pairs[i]] = pairs[i+1]
	}
	return fields
}

// digest tells apart two entries with the same stream id, which a failover can
// give out again.
func digest(fields map[string]string) string {
	h := sha256.New()
	write := func(s string) {
		h.Write(binary.AppendUvarint(nil, uint64(len(s))))
		h.Write([]byte(s))
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		write(name)
		write(fields[name])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// payload writes the fields as JSON that jsonb takes.
func payload(fields map[string]string) string {
	kept := make(map[string]string, min(len(fields), deadFields))
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if len(kept) == deadFields {
			break
		}
		kept[plain(name, deadNameBytes)] = plain(fields[name], deadValueBytes)
	}
	b, err := json.Marshal(kept)
	if err != nil {
		panic("store: marshal texts: " + err.Error()) // a map of texts always can be
	}
	return string(b)
}

// plain returns s as Postgres takes it: what is no text there (invalid UTF-8,
// NUL) as a quoted Go string, from which strconv.Unquote gets it back; what is
// too long cut, with its length at the end.
func plain(s string, limit int) string {
	tail := ""
	if len(s) > limit {
		tail = fmt.Sprintf("… (%d bytes)", len(s))
		for limit > 0 && !utf8.RuneStart(s[limit]) {
			limit--
		}
		s = s[:limit]
	}
	if !storable(s) {
		s = strconv.Quote(s)
	}
	return s + tail
}
