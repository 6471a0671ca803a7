package store

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sessiongate/sessiongate/session"
)

// sessionHash is what Create writes to a session's hash; doc.go names the fields.
type sessionHash struct {
	access, device, userAgent string // as text or reference
	authTime                  string
	texts                     []any // digest and text in turn
}

// idleText is what the scripts are told of an idle timeout.
func idleText(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }

func newHash(s *session.Session) (h sessionHash) {
	h.access = h.intern(session.PackAccess(session.Access{
		ClientID: s.ClientID, Scope: s.Scope, AMR: s.AMR, Username: s.Username, Roles: s.Roles,
	}))
	h.device = h.intern(session.PackDevice(s.Device))
	h.userAgent = h.intern(s.UserAgent)
	if !s.AuthTime.IsZero() && s.AuthTime.Unix() != s.ID.Time().Unix() {
		h.authTime = strconv.FormatInt(s.AuthTime.Unix(), 10)
	}
	return h
}

// maxInline keeps a value, with its encoding, within the 64 bytes up to which
// Redis keeps a hash compact.
const maxInline = 64

// intern returns the text as it is kept in the hash: itself where it is short,
// and otherwise a reference, with the text noted to be stored once.
func (h *sessionHash) intern(text string) string {
	if len(text) <= maxInline && !strings.HasPrefix(text, "@") {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	digest := base64.RawURLEncoding.EncodeToString(sum[:12]) // 96 bits: no second text will fit
	h.texts = append(h.texts, digest, text)
	return "@" + digest
}

// decode reads a session's hash: all but ExpiresAt, which is the score in the
// user's zset, and the uses that Redis keeps apart. texts are those that
// r.lookUp found for it.
func decode(sid session.ID, hash, texts map[string]string) (session.Session, error) {
	place := session.UnpackPlace(hash["n"])
	s := session.Session{
		ID: sid, UserID: hash["u"], CreatedAt: sid.Time(),
		IP: place.IP, Country: place.Country, ASN: place.ASN, GrantID: session.ID(hash["m"]),
	}
	var rotated any
	if at, ok := hash["r"]; ok {
		rotated = at
	}
	if err := readGeneration(&s, hash["g"], rotated); err != nil {
		return s, err
	}
	s.LastActivity = s.RotatedAt
	s.AuthTime = s.CreatedAt
	for field, to := range map[string]*time.Time{"a": &s.AbsoluteExpiresAt, "t": &s.AuthTime} {
		text, ok := hash[field]
		if !ok {
			continue
		}
		sec, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return s, fmt.Errorf("%w: field %s of session is %q, want Unix seconds", session.ErrUnavailable, field, text)
		}
		*to = time.Unix(sec, 0).UTC()
	}
	if text, ok := hash["i"]; ok {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil || n == 0 {
			return s, fmt.Errorf("%w: field i of session is %q, want seconds", session.ErrUnavailable, text)
		}
		s.Idle, s.ActiveAt = time.Duration(n)*time.Second, s.CreatedAt
	}
	access := session.UnpackAccess(follow(hash["k"], texts))
	s.ClientID, s.Scope, s.AMR = access.ClientID, access.Scope, access.AMR
	s.Username, s.Roles = access.Username, access.Roles
	s.Device = session.UnpackDevice(follow(hash["d"], texts))
	s.UserAgent = follow(hash["w"], texts)
	return s, nil
}

// follow returns the text that a value stands for. One that is gone is empty: it
// is for people to read, and nothing is decided by it.
func follow(value string, texts map[string]string) string {
	if digest, isRef := strings.CutPrefix(value, "@"); isRef {
		return texts[digest]
	}
	return value
}

// lookUp returns the texts that the hashes refer to, by digest. No round trip
// where there are none, or all are known to this gateway; else one.
func (r *Redis) lookUp(ctx context.Context, partition int, hashes ...map[string]string) (map[string]string, error) {
	found := make(map[string]string, 3)
	var digests, keys []string
	for _, hash := range hashes {
		for _, field := range []string{"k", "d", "w"} {
			digest, isRef := strings.CutPrefix(hash[field], "@")
			if !isRef {
				continue
			}
			if text, known := r.texts.get(digest); known {
				found[digest] = text
				continue
			}
			digests = append(digests, digest)
			keys = append(keys, r.keys.text(partition, digest))
		}
	}
	if len(keys) == 0 {
		return found, nil
	}
	values, err := r.db.MGet(ctx, keys...).Result()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", session.ErrUnavailable, err)
	}
	for i, value := range values {
		if text, ok := value.(string); ok {
			found[digests[i]] = text
			r.texts.put(digests[i], text)
		}
	}
	return found, nil
}
