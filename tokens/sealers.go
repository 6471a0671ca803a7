package tokens

import (
	"context"
	"errors"
	"fmt"

	"github.com/sessiongate/sessiongate/session"
)

// Sealers seal with the first of them and open with any: while the sealing key is
// being replaced, and until everything is sealed with the new one.
type Sealers []Sealer

// Seal seals with the first.
func (s Sealers) Seal(ctx context.Context, plaintext, additional []byte) ([]byte, error) {
	return s[0].Seal(ctx, plaintext, additional)
}

// Open tries one after the other. That one of them can't be asked is no answer.
func (s Sealers) Open(ctx context.Context, sealed, additional []byte) ([]byte, error) {
	var away error
	for _, sealer := range s {
		plaintext, err := sealer.Open(ctx, sealed, additional)
		if err == nil {
			return plaintext, nil
		}
		if !errors.Is(err, ErrSealed) {
			away = errors.Join(away, err)
		}
	}
	if away != nil {
		return nil, away
	}
	return nil, ErrSealed
}

// Reseal seals every key anew, so that a sealing key from before is not needed any
// more, and returns how many it sealed. The copy follows.
func (s *Shared) Reseal(ctx context.Context) (int, error) {
	return s.change(ctx, func(keys []session.SigningKey) ([]session.SigningKey, error) {
		now := s.opt.Now()
		var changed []session.SigningKey
		for _, k := range keys {
			if len(k.Sealed) == 0 {
				continue // destroyed
			}
			additional := keyContext(k.Algorithm, k.ID)
			material, err := s.opt.Sealer.Open(ctx, k.Sealed, additional)
			if err != nil {
				return nil, fmt.Errorf("tokens: open key %s: %w", k.ID, err)
			}
			if k.Sealed, err = s.opt.Sealer.Seal(ctx, material, additional); err != nil {
				return nil, err
			}
			k.ChangedAt = now
			changed = append(changed, k)
		}
		return changed, nil
	})
}
