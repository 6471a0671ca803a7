package tokens

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// A Keyring is the key that signs and all keys that verify. Which of them does
// what may depend on the time; so gateways that hold the same keys agree without
// a message, and a key takes over at one moment everywhere.
//
// Replace exchanges all keys at once, without a lock for those who sign and
// verify.
type Keyring struct {
	now     atomic.Pointer[ring]
	refresh func() // looks for keys that are missing here; nil: there are none
}

// ring is the keys of a Keyring at one time. It is immutable.
type ring struct {
	byHeader map[string]*Scheduled
	ordered  []Scheduled
}

// Scheduled is a key and when it does its work. A zero time is no bound.
type Scheduled struct {
	Key           *Key
	SignsFrom     time.Time
	SignsUntil    time.Time
	VerifiesUntil time.Time
}

func (s *Scheduled) verifies(now time.Time) bool {
	return s.VerifiesUntil.IsZero() || now.Before(s.VerifiesUntil)
}

func (s *Scheduled) signs(now time.Time) bool {
	return s.Key.sign != nil && s.verifies(now) &&
		!now.Before(s.SignsFrom) && (s.SignsUntil.IsZero() || now.Before(s.SignsUntil))
}

// NewKeyring returns a keyring that signs with active, and verifies with active
// and the others: keys that signed before, and keys that will sign next and are
// published early. They may be of different algorithms.
func NewKeyring(active *Key, others ...*Key) (*Keyring, error) {
	if active == nil || active.sign == nil {
		return nil, errors.New("tokens: the keyring has no key to sign with")
	}
	keys := []Scheduled{{Key: active}}
	for _, key := range others {
		keys = append(keys, Scheduled{Key: key, SignsUntil: time.Unix(0, 0)})
	}
	k := new(Keyring)
	return k, k.Replace(keys)
}

// Replace exchanges the keys. Tokens that only a key verified that is gone are
// refused from then on, those in the cache of a Verifier too.
func (k *Keyring) Replace(keys []Scheduled) error {
	r := &ring{byHeader: make(map[string]*Scheduled, len(keys)), ordered: slices.Clone(keys)}
	for i := range r.ordered {
		s := &r.ordered[i]
		if s.Key == nil || s.Key.verify == nil {
			return errors.New("tokens: the keyring was given an empty key")
		}
		if _, ok := r.byHeader[s.Key.header]; ok {
			return fmt.Errorf("tokens: the keyring was given the %v twice", s.Key)
		}
		r.byHeader[s.Key.header] = s
	}
	k.now.Store(r)
	return nil
}

// Active returns the key that signs at the given moment: of those whose time it
// is, the one that began last. Where it is nobody's, any that verifies will do:
// everybody knows that one already. nil if there is none.
func (k *Keyring) Active(now time.Time) *Key {
	r := k.now.Load()
	if r == nil {
		return nil
	}
	var best, other *Scheduled
	for i := range r.ordered {
		s := &r.ordered[i]
		switch {
		case s.signs(now):
			if best == nil || s.SignsFrom.After(best.SignsFrom) {
				best = s
			}
		case s.Key.sign != nil && s.verifies(now) && other == nil:
			other = s
		}
	}
	switch {
	case best != nil:
		return best.Key
	case other != nil:
		return other.Key
	}
	return nil
}

// find returns the key that verifies the tokens with this header at the given
// moment, or nil.
func (k *Keyring) find(header string, now time.Time) *Key {
	s := k.lookUp(header)
	if s == nil && k.refresh != nil && isHeader(header) {
		k.refresh()
		s = k.lookUp(header)
	}
	if s == nil || !s.verifies(now) {
		return nil
	}
	return s.Key
}

func (k *Keyring) lookUp(header string) *Scheduled {
	if r := k.now.Load(); r != nil {
		return r.byHeader[header]
	}
	return nil
}

// isHeader says whether a first segment is one that another gateway may have
// written with a key that is not known here. It bounds what strangers can cause,
// and proves nothing.
func isHeader(first string) bool {
	if len(first) > 200 {
		return false
	}
	raw, err := segment.DecodeString(first)
	if err != nil {
		return false
	}
	var h header
	if json.Unmarshal(raw, &h) != nil || encodeHeader(h) != first || h.Type != "at+jwt" {
		return false
	}
	id, err := base64.RawURLEncoding.DecodeString(h.ID)
	return err == nil && slices.Contains(algorithms, h.Algorithm) && (len(id) == 16 || len(id) == 32)
}
