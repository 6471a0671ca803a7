package session

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"time"

	"github.com/google/uuid"
)

// A Grant is a remembered device: for a while, its refresh token begins a new
// session without a password. It ends when a session of the device is ended, by
// whomever; one that merely runs out leaves it.
type Grant struct {
	ID        ID // its own; a UUIDv7, so it tells when the device was first remembered
	UserID    string
	Device    Device
	Place     Place     // of the device's last session
	AuthTime  time.Time // when the password was given
	SessionID ID        // the last session that it began
	UsedAt    time.Time // when that was
	ExpiresAt time.Time // no use of the grant moves it

	Generation int64  // how often its token has been rotated
	Digest     string // of the current token
	Seed       []byte // what a token's successor is made with
}

// A RefreshToken begins a session for a remembered device, once. Its successor
// follows from it and the grant's seed, so that a lost answer can be repeated though
// no token is kept anywhere: the store has digests and the seed, which without a
// token are worth nothing.
type RefreshToken struct {
	Partition  uint8 // where the grant is kept
	GrantID    ID
	Generation uint32
	Secret     [32]byte
}

const (
	refreshPrefix  = "sgr_" // lets scanners find one that has leaked
	refreshVersion = 1
	refreshBytes   = 2 + 16 + 4 + 32 // a multiple of three: no padding, no spare bits
)

// NewRefreshToken returns the first token of a new grant.
func NewRefreshToken(partition uint8, grant ID) RefreshToken {
	t := RefreshToken{Partition: partition, GrantID: grant}
	rand.Read(t.Secret[:]) // never fails (crypto/rand)
	return t
}

// NewSeed returns the seed of a new grant.
func NewSeed() []byte {
	seed := make([]byte, 32)
	rand.Read(seed)
	return seed
}

// IsZero says that there is no token.
func (t RefreshToken) IsZero() bool { return t.GrantID == "" }

// Next returns the token that replaces t.
func (t RefreshToken) Next(seed []byte) RefreshToken {
	mac := hmac.New(sha256.New, seed)
	mac.Write(t.Secret[:])
	next := t
	next.Generation++
	mac.Sum(next.Secret[:0])
	return next
}

// Digest is what the store knows the token by.
func (t RefreshToken) Digest() string {
	sum := sha256.Sum256(append([]byte("sessiongate refresh token "), t.Secret[:]...))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Names says whether t is a token of the grant, current or not. The store has the
// last word: this spares it the tokens that somebody made up.
func (g *Grant) Names(t RefreshToken) bool {
	if t.GrantID != g.ID {
		return false
	}
	current := int64(t.Generation) == g.Generation && hmac.Equal([]byte(t.Digest()), []byte(g.Digest))
	return current || t.Leads(g)
}

// Leads says whether t is an older token of the grant: whether the successors of
// it lead to the current one. A stranger's token doesn't, so it can harm nobody.
func (t RefreshToken) Leads(g *Grant) bool {
	const most = 100_000 // a resumption every half hour for five years; 50 ms
	steps := g.Generation - int64(t.Generation)
	if steps < 1 || steps > most {
		return false
	}
	for range steps {
		t = t.Next(g.Seed)
	}
	return hmac.Equal([]byte(t.Digest()), []byte(g.Digest))
}

// Text is the token as its owner keeps it.
func (t RefreshToken) Text() string {
	id := uuid.MustParse(string(t.GrantID))
	raw := append(make([]byte, 0, refreshBytes), refreshVersion, t.Partition)
	raw = append(raw, id[:]...)
	raw = binary.BigEndian.AppendUint32(raw, t.Generation)
	raw = append(raw, t.Secret[:]...)
	return refreshPrefix + base64.RawURLEncoding.EncodeToString(raw)
}

// String hides the token from logs, as does GoString.
func (t RefreshToken) String() string { return refreshPrefix + "(hidden)" }

// GoString hides the token from %#v.
func (t RefreshToken) GoString() string { return t.String() }

// MarshalText hides the token from encoders, slog among them.
func (t RefreshToken) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// ParseRefreshToken accepts exactly what Text returns, and nothing shorter, longer
// or spelled otherwise: ErrInvalidToken.
func ParseRefreshToken(s string) (RefreshToken, error) {
	text, ok := strings.CutPrefix(s, refreshPrefix)
	if !ok || len(text) != base64.RawURLEncoding.EncodedLen(refreshBytes) || strings.ContainsAny(text, "\r\n") {
		return RefreshToken{}, ErrInvalidToken
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || raw[0] != refreshVersion {
		return RefreshToken{}, ErrInvalidToken
	}
	id, err := ParseID(uuid.UUID(raw[2:18]).String())
	if err != nil {
		return RefreshToken{}, ErrInvalidToken
	}
	return RefreshToken{
		Partition: raw[1], GrantID: id, Generation: binary.BigEndian.Uint32(raw[18:22]), Secret: [32]byte(raw[22:]),
	}, nil
}
