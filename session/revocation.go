package session

import "time"

// A Revocation is one entry of the feed that lets caches of answers forget a
// session: it ended before its time.
type Revocation struct {
	SessionID ID
	UserID    string
	Reason    EndReason
	At        time.Time // when it ended, or was found to have ended
	Until     time.Time // when it stops mattering: no token of the session is good after that
	Cursor    string    // the place in the feed right after it
}

// Revocations is a stretch of the feed.
type Revocations struct {
	List   []Revocation // of one user in the order of their ends
	Cursor string       // the place right after the last
	// Reset says that entries between the reader's place and Cursor are lost: any
	// session may have ended. List is empty then.
	Reset bool
}
