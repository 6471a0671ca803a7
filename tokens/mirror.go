package tokens

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/sessiongate/sessiongate/session"
)

func mirrorContext(kid string) []byte { return []byte("sessiongate mirrored key\n" + kid) }

// readMirror returns the keys as the mirror has them. The times are sealed
// together with the key: who can write to Redis must not be able to prolong one.
func (s *Shared) readMirror(ctx context.Context) ([]session.SigningKey, error) {
	rows, err := s.opt.Mirror.MirroredKeys(ctx)
	if err != nil {
		return nil, err
	}
	keys := make([]session.SigningKey, 0, len(rows))
	for kid, row := range rows {
		k, err := s.openRow(ctx, kid, row)
		if err != nil {
			return nil, fmt.Errorf("tokens: open the copy of key %.43q: %w", kid, err)
		}
		keys = append(keys, k)
	}
	return keys, nil
}

func (s *Shared) openRow(ctx context.Context, kid, row string) (k session.SigningKey, err error) {
	sealed, err := base64.StdEncoding.DecodeString(row)
	if err != nil {
		return k, ErrSealed
	}
	text, err := s.opt.Sealer.Open(ctx, sealed, mirrorContext(kid))
	if err != nil {
		return k, err
	}
	if err := json.Unmarshal(text, &k); err != nil || k.ID != kid {
		return k, ErrSealed
	}
	return k, nil
}

// renewMirror writes the keys to the mirror unless it has them. It reads them
// again while nobody can change them, so the last to write writes the truth.
func (s *Shared) renewMirror(ctx context.Context, keys []session.SigningKey) error {
	mirrored, err := s.readMirror(ctx)
	if err != nil && !errors.Is(err, ErrSealed) {
		return fmt.Errorf("tokens: look at the copy of the keys: %w", err)
	}
	if err == nil && sameKeys(mirrored, s.working(keys)) {
		return nil
	}
	return s.opt.Ledger.ChangeSigningKeys(ctx, func(now []session.SigningKey) ([]session.SigningKey, error) {
		rows := make(map[string]string)
		for _, k := range s.working(now) {
			text, err := json.Marshal(k)
			if err != nil {
				return nil, fmt.Errorf("tokens: encode key: %w", err)
			}
			sealed, err := s.opt.Sealer.Seal(ctx, text, mirrorContext(k.ID))
			if err != nil {
				return nil, err
			}
			rows[k.ID] = base64.StdEncoding.EncodeToString(sealed)
		}
		return nil, s.opt.Mirror.MirrorKeys(ctx, rows)
	})
}

// working returns the keys that are not retired.
func (s *Shared) working(keys []session.SigningKey) []session.SigningKey {
	now := s.opt.Now()
	return slices.DeleteFunc(slices.Clone(keys), func(k session.SigningKey) bool { return k.State(now) == session.KeyRetired })
}

func sameKeys(a, b []session.SigningKey) bool {
	if len(a) != len(b) {
		return false
	}
	for _, k := range a {
		same := func(o session.SigningKey) bool {
			return o.ID == k.ID && o.ChangedAt.Equal(k.ChangedAt) && bytes.Equal(o.Sealed, k.Sealed)
		}
		if !slices.ContainsFunc(b, same) {
			return false
		}
	}
	return true
}
