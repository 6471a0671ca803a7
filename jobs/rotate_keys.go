package jobs

import "context"

// keyring is the signing keys that the gateways share, as tokens.Shared does.
type keyring interface {
	// Rotate publishes the next key and destroys old ones, where that is due. It
	// returns how many it changed. Of any number of gateways one does it.
	Rotate(ctx context.Context) (changed int, err error)
	// Load reads the keys that others made.
	Load(ctx context.Context) error
}

// rotateKeys gives the tokens a new key now and then.
type rotateKeys struct{ keys keyring }

// Run returns how many keys it changed.
func (r *rotateKeys) Run(ctx context.Context) (int, error) { return r.keys.Rotate(ctx) }

// loadKeys lets this gateway know what others did. It is a job of its own because
// it goes on while Postgres is away, and rotation does not.
type loadKeys struct{ keys keyring }

// Run reads once. Nothing is done that would be worth counting.
func (l *loadKeys) Run(ctx context.Context) (int, error) { return 0, l.keys.Load(ctx) }
