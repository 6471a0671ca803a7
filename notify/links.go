package notify

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/sessiongate/sessiongate/session"
)

// Links make and read the "this wasn't me" links. Their token is
//
//	version (1 byte) ‖ event id (16) ‖ Unix time at which it ends (8) ‖ HMAC-SHA256
//
// in base64url. It says which event is disowned, and who has it can do nothing but
// that. That it works once is for those who keep what was disowned.
type Links struct {
	base string
	life time.Duration
	key  []byte
}

const (
	linkVersion = 1
	linkBytes   = 1 + 16 + 8
)

// NewLinks returns links that begin with base and are good for life, counted from
// the event: sent again, a message has the same link.
func NewLinks(base string, secret []byte, life time.Duration) (*Links, error) {
	key, err := derive(secret, "link")
	return &Links{base: base, life: life, key: key}, err
}

// derive makes a key for one purpose.
func derive(secret []byte, purpose string) ([]byte, error) {
	key, err := hkdf.Key(sha256.New, secret, nil, "sessiongate notify "+purpose, 32)
	if err != nil {
		return nil, fmt.Errorf("notify: derive a key: %w", err)
	}
	return key, nil
}

// URL returns the link that disowns the event.
func (l *Links) URL(e *session.Event) (string, error) {
	token, err := l.token(e.ID, e.CreatedAt.Add(l.life))
	if err != nil {
		return "", err
	}
	return l.base + "/notices/" + token, nil
}

func (l *Links) token(id session.EventID, until time.Time) (string, error) {
	raw, err := uuid.Parse(string(id))
	if err != nil {
		return "", fmt.Errorf("notify: make link: %w", err)
	}
	b := append(make([]byte, 0, linkBytes+sha256.Size), linkVersion)
	b = append(b, raw[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(until.Unix()))
	return base64.RawURLEncoding.EncodeToString(append(b, l.mac(b)...)), nil
}

func (l *Links) mac(b []byte) []byte {
	mac := hmac.New(sha256.New, l.key)
	mac.Write(b)
	return mac.Sum(nil)
}

// Event returns the event that a token disowns; ok is false for what is not a
// token of ours, or is one no more. It needs nothing but the key.
func (l *Links) Event(token string, now time.Time) (id session.EventID, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) != linkBytes+sha256.Size || b[0] != linkVersion ||
		!hmac.Equal(b[linkBytes:], l.mac(b[:linkBytes])) {
		return "", false
	}
	until := time.Unix(int64(binary.BigEndian.Uint64(b[17:])), 0)
	return session.EventID(uuid.UUID(b[1:17]).String()), now.Before(until)
}
