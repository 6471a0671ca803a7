package session

import "errors"

// These are the answers a caller can act on. Anything else that comes out of a
// store is a fault of the infrastructure and reaches the client as a 500 or, if
// it wraps ErrUnavailable, as a 503.
var (
	// ErrEnded: the session is over, whichever way, or never was.
	ErrEnded = errors.New("session has ended")
	// ErrSuperseded: the session is live, but this token of it has been replaced.
	ErrSuperseded = errors.New("token has been superseded")
	// ErrReused: a token older than the previous one was used to refresh. The
	// session has been ended because of it (RFC 9700 §4.14.2).
	ErrReused = errors.New("superseded token was used to refresh")
	// ErrNotFound: no such thing, or it is not the caller's.
	ErrNotFound = errors.New("not found")
	// ErrInvalidToken: not a token of ours, whatever the reason.
	ErrInvalidToken = errors.New("token is not valid")
	// ErrTokenExpired: ours, but past its exp.
	ErrTokenExpired = errors.New("token has expired")
	// ErrInvalidCredentials: wrong password, unknown or disabled user; which of
	// them is for the audit log alone.
	ErrInvalidCredentials = errors.New("invalid credentials")
	// ErrNotRemembered: a refresh token that begins no session, whatever the reason.
	ErrNotRemembered = errors.New("device is not remembered")
	// ErrWrongPassword: who is signed in gave a current password that isn't theirs.
	ErrWrongPassword = errors.New("wrong password")
	// ErrTooManySessions: the user has as many as one may have, and none is evicted.
	ErrTooManySessions = errors.New("too many sessions")
	// ErrConflict: what was to be replaced is another one by now.
	ErrConflict = errors.New("changed meanwhile")
	// ErrSignInRefused: a backend vouches for the user, but the rules about unusual
	// sign-ins or countries say no. Who types a password gets ErrInvalidCredentials.
	ErrSignInRefused = errors.New("sign-in refused")
	// ErrUnavailable: a store could not say. Never to be taken for a "no".
	ErrUnavailable = errors.New("store is unavailable")
	// ErrOverloaded: too much of this work is under way; try again shortly.
	ErrOverloaded = errors.New("overloaded")
	// ErrMalformedID: not a session or event id.
	ErrMalformedID = errors.New("malformed id")
	// ErrMalformedUserID: not a possible user id.
	ErrMalformedUserID = errors.New("malformed user id")
	// ErrMalformedEvent: a stream entry that no version of the gateway wrote.
	ErrMalformedEvent = errors.New("malformed event")
	// ErrNoticeRefused: this notice will never be taken, however often it is sent.
	ErrNoticeRefused = errors.New("notice was refused")
	// ErrNoticeGone: there is nobody left to be told.
	ErrNoticeGone = errors.New("target of the notice is gone")
	// ErrTooMany: the caller has as many of these as anybody may have.
	ErrTooMany = errors.New("too many")
)
