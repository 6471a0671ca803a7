package session

import "time"

// A User is somebody who can sign in, or a stub for an application's own user
// whose sessions a trusted backend opens.
type User struct {
	ID           string
	Identifier   string // what they type to sign in, canonical; "" for a stub
	PasswordHash string // PHC string (argon2id) or bcrypt; "" for a stub
	Disabled     bool
	Roles        []string
	CreatedAt    time.Time
}

// A Log is one row of session_logs as its user may read it.
type Log struct {
	ID        EventID
	CreatedAt time.Time
	SessionID ID // "" for a failed login
	Action    Action
	Success   bool
	Error     string
	Reason    string
	Device    string
	IP        string
	UserAgent string
	Country   string
}

// Use says that a session was used: seen alive by an introspection, a
// forward-auth or the user's own request.
type Use struct {
	SessionID  ID
	UserID     string
	At         time.Time
	Generation int64 // of the token that was used
}
