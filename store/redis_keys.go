package store

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// MirroredKeys returns the copy of the signing keys: kid → sealed.
func (r *Redis) MirroredKeys(ctx context.Context) (map[string]string, error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	keys, err := r.db.HGetAll(ctx, r.keys.signingKeys()).Result()
	return keys, wrap("get signing keys", err)
}

// MirrorKeys replaces the copy of the signing keys, all at once. It may be
// repeated.
func (r *Redis) MirrorKeys(ctx context.Context, keys map[string]string) error {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	_, err := r.db.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.Del(ctx, r.keys.signingKeys())
		if len(keys) > 0 {
			p.HSet(ctx, r.keys.signingKeys(), keys)
		}
		return nil
	})
	return wrap("mirror signing keys", err)
}
