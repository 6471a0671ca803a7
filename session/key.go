package session

import "time"

// A SigningKey is a key that tokens are signed with, as several gateways share
// it: sealed, with the times at which it does its work. Times are UTC with
// millisecond precision; a zero time has not been decided yet.
type SigningKey struct {
	ID            string // kid
	Algorithm     string // alg
	PublishedAt   time.Time
	SignsFrom     time.Time // not before PublishedAt
	SignsUntil    time.Time // when its successor takes over
	VerifiesUntil time.Time // when its last token is over
	ChangedAt     time.Time // of the times above: the later word on a key counts
	Sealed        []byte    // empty once the key has been destroyed
}

// KeyState is what a signing key does.
type KeyState string

// The states, in the order in which a key goes through them.
const (
	KeyNext     KeyState = "next"     // published, so that everybody knows it when it begins to sign
	KeyCurrent  KeyState = "current"  // signs
	KeyPrevious KeyState = "previous" // verifies what it has signed
	KeyRetired  KeyState = "retired"  // does nothing any more
)

// State says what the key does at the given moment. It follows from the times
// alone, so all gateways agree without telling each other.
func (k *SigningKey) State(now time.Time) KeyState {
	switch {
	case !k.VerifiesUntil.IsZero() && !now.Before(k.VerifiesUntil):
		return KeyRetired
	case !k.SignsUntil.IsZero() && !now.Before(k.SignsUntil):
		return KeyPrevious
	case now.Before(k.SignsFrom):
		return KeyNext
	}
	return KeyCurrent
}
