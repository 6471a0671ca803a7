package store

import (
	"errors"

	"github.com/sessiongate/sessiongate/session"
)

// ErrEpochChanged: the partition's data is not the data the caller looked at.
// Whatever was concluded from it is to be thrown away.
var ErrEpochChanged = errors.New("store: the partition's epoch has changed")

// An Entry is one entry of a partition's event stream on its way to Postgres.
type Entry struct {
	Partition int
	StreamID  string            // "<ms>-<seq>"; to acknowledge with, never an identity
	Event     session.Event     // valid only where Err is nil
	Err       error             // wraps session.ErrMalformedEvent
	Fields    map[string]string // as found in the stream; nil where the event says it all
}
