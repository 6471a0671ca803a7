package session

import (
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"
)

// A User is somebody who can sign in, or a stub for an application's own user
// whose sessions a trusted backend opens.
type User struct {
	ID           string
	Identifier   string // what they type to sign in, canonical; "" for a stub
	PasswordHash string // PHC string (argon2id) or bcrypt; "" for a stub
	Disabled     bool
	Roles        []string
	Email        string // where they are told of what happens to their sessions; "" for nowhere
	CreatedAt    time.Time
}

// Bounds of what a token says of its user. A token has to fit into a header line.
const (
	MaxUsernameBytes = 320 // as long as an identifier can get
	MaxRoles         = 16
	MaxRoleBytes     = 64
	MaxRolesBytes    = 512 // all of them, with one character between two
)

// CheckUsername reports why s can't be what a user goes by, as a phrase for the
// caller, or nil. "" is nobody's name and can.
func CheckUsername(s string) error {
	switch {
	case len(s) > MaxUsernameBytes:
		return fmt.Errorf("must be at most %d bytes, is %d", MaxUsernameBytes, len(s))
	case !utf8.ValidString(s):
		return fmt.Errorf("must be valid UTF-8")
	}
	for _, r := range s {
		if unicode.IsControl(r) || isBreaking(r) {
			return fmt.Errorf("must not contain control characters")
		}
	}
	return nil
}

// CheckRoles reports why a user can't have these roles, as a phrase for the
// caller, or nil. Programs read lists of roles that are separated by spaces or
// commas, and some of them XML or shell: so a role has none of what could make
// two of one.
func CheckRoles(roles []string) error {
	if len(roles) > MaxRoles {
		return fmt.Errorf("must be at most %d, are %d", MaxRoles, len(roles))
	}
	total := len(roles)
	for _, role := range roles {
		if !isRole(role) {
			return fmt.Errorf("must have 1 to %d letters, digits, '.', '_', ':', '/', '@', '+' and '-' each", MaxRoleBytes)
		}
		total += len(role)
	}
	if total > MaxRolesBytes+1 {
		return fmt.Errorf("must be at most %d bytes together", MaxRolesBytes)
	}
	return nil
}

func isRole(s string) bool {
	if s == "" || len(s) > MaxRoleBytes {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case c == '.' || c == '_' || c == ':' || c == '/' || c == '@' || c == '+' || c == '-':
		default:
			return false
		}
	}
	return true
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
	// Active: it was the user who did something. A client that asks about its own
	// session does nothing for it.
	Active bool
}
