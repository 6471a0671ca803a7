package session

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

// ID names a session: the sid claim (OpenID Connect Front-Channel Logout 1.0
// §3). It is a UUIDv7 in its canonical text form, so its text order is the order
// of creation and Time is the moment the session began. It is public and never a
// credential; the signature of a token is.
type ID string

// EventID names an event and is the key that keeps it single in Postgres. It is
// a UUIDv7 whose time is the event's created_at, except for endings, which use
// EndingID.
type EventID string

// NewID returns a new id for a session that begins at now. It panics when the
// system's random source fails, as crypto/rand does.
func NewID(now time.Time) ID { return ID(newV7(now)) }

// NewEventID returns a new id for an event that happened at now.
func NewEventID(now time.Time) EventID { return EventID(newV7(now)) }

// ParseID accepts exactly the text form that NewID makes. It returns
// ErrMalformedID for anything else: other UUID versions, upper case, braces.
func ParseID(s string) (ID, error) {
	if _, err := parseV7(s); err != nil {
		return "", err
	}
	return ID(s), nil
}

// ParseEventID accepts the id of an event that is not an ending.
func ParseEventID(s string) (EventID, error) {
	if _, err := parseV7(s); err != nil {
		return "", err
	}
	return EventID(s), nil
}

// Time returns the moment inside the id, in UTC with millisecond precision; the
// zero time if the id did not come from NewID or ParseID.
func (id ID) Time() time.Time { return v7Time(string(id)) }

// Time returns the moment inside the id; the zero time for an EndingID.
func (id EventID) Time() time.Time { return v7Time(string(id)) }

// EndingID returns the event id of the one ending that a session has. It is
// derived from the sid, so whoever finds the ending first (the user, a sweep, a
// second gateway) names it the same. It is a UUIDv8 (RFC 9562 §5.8).
func EndingID(sid ID) EventID {
	sum := sha256.Sum256([]byte("sessiongate ending " + string(sid)))
	u := uuid.UUID(sum[:16])
	u[6] = u[6]&0x0f | 0x80
	u[8] = u[8]&0x3f | 0x80
	return EventID(u.String())
}

// tokenID derives the jti of one generation of a session's token. Two tokens of
// a session differ in generation or in iat, so the result is as unique as the
// sid. It is not a secret and need not be: the signature is the credential.
func tokenID(sid ID, generation, issuedAt int64) string {
	buf := make([]byte, 0, 64)
	buf = append(buf, sid...)
	buf = binary.BigEndian.AppendUint64(buf, uint64(generation))
	buf = binary.BigEndian.AppendUint64(buf, uint64(issuedAt))
	sum := sha256.Sum256(buf)
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// CheckUserID reports why s can't name a user, as a phrase for the caller, or
// nil. Ids are the application's own and are never altered, since two users
// could become one.
func CheckUserID(s string) error {
	first, _ := utf8.DecodeRuneInString(s)
	last, _ := utf8.DecodeLastRuneInString(s)
	switch {
	case s == "":
		return fmt.Errorf("%w: must not be empty", ErrMalformedUserID)
	case len(s) > 255:
		return fmt.Errorf("%w: must be at most 255 bytes, is %d", ErrMalformedUserID, len(s))
	case !utf8.ValidString(s):
		return fmt.Errorf("%w: must be valid UTF-8", ErrMalformedUserID)
	case unicode.IsSpace(first) || unicode.IsSpace(last):
		return fmt.Errorf("%w: must not begin or end with a space", ErrMalformedUserID)
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return fmt.Errorf("%w: must not contain control characters", ErrMalformedUserID)
		}
	}
	return nil
}

// newV7 makes a UUIDv7 (RFC 9562 §5.7) for the given moment; uuid.NewV7 would
// take the machine's own clock, and ours is corrected to Redis's.
func newV7(now time.Time) string {
	u, err := uuid.NewRandom()
	if err != nil {
		panic("session: no randomness: " + err.Error())
	}
	ms := uint64(now.UnixMilli())
	binary.BigEndian.PutUint16(u[0:2], uint16(ms>>32))
	binary.BigEndian.PutUint32(u[2:6], uint32(ms))
	u[6] = u[6]&0x0f | 0x70
	return u.String()
}

func parseV7(s string) (uuid.UUID, error) {
	if !isV7(s) {
		return uuid.UUID{}, ErrMalformedID
	}
	return uuid.Parse(s)
}

// isV7 says whether s is a UUIDv7 in its canonical text form (RFC 9562 §4): lower
// case, hyphens in their places, version 7, variant 10.
func isV7(s string) bool {
	if len(s) != 36 || s[14] != '7' || s[19] != '8' && s[19] != '9' && s[19] != 'a' && s[19] != 'b' {
		return false
	}
	for i := range len(s) {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if s[i] != '-' {
				return false
			}
			continue
		}
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// v7Time is asked for each request, and so allocates nothing.
func v7Time(s string) time.Time {
	if !isV7(s) {
		return time.Time{}
	}
	var ms int64
	for i := range 13 { // the first 48 bits
		if c := s[i]; c != '-' {
			ms = ms<<4 | int64(hexValue(c))
		}
	}
	return time.UnixMilli(ms).UTC()
}

func hexValue(digit byte) byte {
	if digit >= 'a' {
		return digit - 'a' + 10
	}
	return digit - '0'
}
