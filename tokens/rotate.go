package tokens

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sessiongate/sessiongate/session"
)

// What can't be done with a key.
var (
	// ErrNextIsPublished: there is a next key already.
	ErrNextIsPublished = errors.New("the next key has been published already")
	// ErrNoSuchKey: no key that still does anything has this id.
	ErrNoSuchKey = errors.New("there is no such key, or it is retired")
)

// keepSealed is how long after its end a key can still be opened: time enough to
// find out that a clock was wrong. Then it is destroyed.
const keepSealed = 24 * time.Hour

// Rotate does what is due: it publishes the next key, and destroys old ones. Any
// number of gateways may call it at once; one of them does it. It returns how
// many keys it changed.
func (s *Shared) Rotate(ctx context.Context) (done int, err error) {
	keys, err := s.opt.Ledger.SigningKeys(ctx)
	if err != nil {
		return 0, err
	}
	if now := s.opt.Now(); !s.due(keys, now) && len(spent(keys, now)) == 0 {
		return 0, nil
	}
	return s.change(ctx, func(keys []session.SigningKey) ([]session.SigningKey, error) {
		now := s.opt.Now() // another gateway may have been first
		changed := spent(keys, now)
		if !s.due(keys, now) {
			return changed, nil
		}
		added, err := s.succeed(ctx, keys, now, s.nextTurn(keys, now))
		return append(changed, added...), err
	})
}

// Publish publishes the next key before it is due. It signs after the usual time,
// or, if now is set, at once: tokens that it signs may then reach gateways that do
// not know it yet, and these look for it.
func (s *Shared) Publish(ctx context.Context, atOnce bool) error {
	_, err := s.change(ctx, func(keys []session.SigningKey) ([]session.SigningKey, error) {
		now := s.opt.Now()
		next := latest(keys, now)
		switch isNext := next != nil && next.State(now) == session.KeyNext; {
		case isNext && atOnce:
			return s.bringForward(keys, next, now), nil
		case isNext:
			return nil, fmt.Errorf("%w: %s signs from %s", ErrNextIsPublished, next.ID, next.SignsFrom.Format(time.RFC3339))
		case atOnce:
			return s.succeed(ctx, keys, now, now)
		}
		from := now.Add(s.opt.Ahead)
		if next == nil {
			from = s.nextTurn(keys, now)
		}
		return s.succeed(ctx, keys, now, from)
	})
	return err
}

// Retire ends a key at once: whatever it has signed is refused from now on, on
// other gateways with their next Load. If it is the one that signs, the next one
// takes over, or a new one.
func (s *Shared) Retire(ctx context.Context, kid string) error {
	_, err := s.change(ctx, func(keys []session.SigningKey) ([]session.SigningKey, error) {
		now := s.opt.Now()
		for i := range keys {
			if k := &keys[i]; k.ID == kid && k.State(now) != session.KeyRetired {
				return s.retire(ctx, keys, k, now)
			}
		}
		return nil, ErrNoSuchKey
	})
	return err
}

func (s *Shared) retire(ctx context.Context, keys []session.SigningKey, k *session.SigningKey, now time.Time) ([]session.SigningKey, error) {
	state := k.State(now)
	var changed []session.SigningKey
	switch newest := latest(keys, now); {
	case state == session.KeyCurrent && newest.ID != k.ID:
		changed = s.bringForward(keys, newest, now)
	case state == session.KeyCurrent:
		var err error
		if changed, err = s.succeed(ctx, keys, now, now); err != nil {
			return nil, err
		}
	case state == session.KeyNext:
		if before := predecessor(keys, k); before != nil { // goes on
			before.SignsUntil, before.VerifiesUntil, before.ChangedAt = time.Time{}, time.Time{}, now
			changed = append(changed, *before)
		}
	}
	end := *k
	end.VerifiesUntil, end.ChangedAt = now, now
	if end.SignsUntil.IsZero() || end.SignsUntil.After(now) {
		end.SignsUntil = now
	}
	return append(changed, end), nil // after what succeed says of it: the last word counts
}

// change changes the keys in the ledger and reads them again. Whoever can't open
// the keys that are there may not add one: the others could not open that.
func (s *Shared) change(ctx context.Context, do func([]session.SigningKey) ([]session.SigningKey, error)) (int, error) {
	done := 0
	err := s.opt.Ledger.ChangeSigningKeys(ctx, func(keys []session.SigningKey) ([]session.SigningKey, error) {
		if err := s.openAll(ctx, s.working(keys)); err != nil {
			return nil, err
		}
		changed, err := do(keys)
		done = len(changed)
		return changed, err
	})
	if err != nil {
		return 0, err
	}
	return done, s.Load(ctx)
}

func (s *Shared) openAll(ctx context.Context, keys []session.SigningKey) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range keys {
		if _, err := s.open(ctx, &keys[i]); err != nil {
			return err
		}
	}
	return nil
}

// due says whether it is time to publish a key.
func (s *Shared) due(keys []session.SigningKey, now time.Time) bool {
	k := latest(keys, now)
	switch {
	case k == nil:
		return true
	case k.State(now) == session.KeyNext:
		return false
	case k.Algorithm != s.opt.Algorithm:
		return true
	}
	return !now.Before(k.SignsFrom.Add(s.opt.Every - s.opt.Ahead))
}

// nextTurn returns when a key that is published now begins to sign: when the
// current one has signed for its time, but not before everybody knows the new one.
func (s *Shared) nextTurn(keys []session.SigningKey, now time.Time) time.Time {
	k := latest(keys, now)
	soonest := now.Add(s.opt.Ahead)
	switch {
	case k == nil && len(s.opt.Before) == 0:
		return now // nobody has signed anything yet
	case k == nil || k.Algorithm != s.opt.Algorithm:
		return soonest
	}
	if regular := k.SignsFrom.Add(s.opt.Every); regular.After(soonest) {
		return regular
	}
	return soonest
}

// succeed returns a new key that signs from the given moment on, and the key that
// it succeeds.
func (s *Shared) succeed(ctx context.Context, keys []session.SigningKey, now, from time.Time) ([]session.SigningKey, error) {
	key, material, err := GenerateKey(s.opt.Algorithm)
	if err != nil {
		return nil, err
	}
	sealed, err := s.opt.Sealer.Seal(ctx, material, keyContext(key.Algorithm(), key.ID()))
	if err != nil {
		return nil, err
	}
	changed := []session.SigningKey{{
		ID: key.ID(), Algorithm: key.Algorithm(), PublishedAt: now, SignsFrom: from, ChangedAt: now, Sealed: sealed,
	}}
	if old := latest(keys, now); old != nil {
		changed = append(changed, s.hand(*old, from, now))
	}
	return changed, nil
}

// hand returns the key with its end: when its successor begins.
func (s *Shared) hand(old session.SigningKey, from, now time.Time) session.SigningKey {
	old.SignsUntil, old.VerifiesUntil, old.ChangedAt = from, from.Add(s.opt.Linger), now
	return old
}

// bringForward lets the next key sign at once.
func (s *Shared) bringForward(keys []session.SigningKey, next *session.SigningKey, now time.Time) []session.SigningKey {
	var changed []session.SigningKey
	if old := predecessor(keys, next); old != nil {
		changed = append(changed, s.hand(*old, now, now))
	}
	next.SignsFrom, next.ChangedAt = now, now
	return append(changed, *next)
}

// latest returns the key that signs, or will: the one without a successor.
func latest(keys []session.SigningKey, now time.Time) *session.SigningKey {
	var last *session.SigningKey
	for i := range keys {
		k := &keys[i]
		if k.State(now) != session.KeyRetired && k.SignsUntil.IsZero() && (last == nil || k.SignsFrom.After(last.SignsFrom)) {
			last = k
		}
	}
	return last
}

// predecessor returns the key that signs until the given one does.
func predecessor(keys []session.SigningKey, of *session.SigningKey) *session.SigningKey {
	for i := range keys {
		if k := &keys[i]; k.ID != of.ID && k.SignsUntil.Equal(of.SignsFrom) {
			return k
		}
	}
	return nil
}

// spent returns the keys that have been over for so long that they are to be
// destroyed.
func spent(keys []session.SigningKey, now time.Time) []session.SigningKey {
	var over []session.SigningKey
	for _, k := range keys {
		if len(k.Sealed) > 0 && k.State(now) == session.KeyRetired && !now.Before(k.VerifiesUntil.Add(keepSealed)) {
			k.Sealed, k.ChangedAt = nil, now
			over = append(over, k)
		}
	}
	return over
}
