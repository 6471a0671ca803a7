package jobs

import "context"

// keyRotator is the signing keys that the gateways share, as tokens.Shared does.
type keyRotator interface {
	// Rotate publishes the next key and destroys old ones, where that is due. It
	// returns how many it changed. Of any number of gateways one does it.
	Rotate(ctx context.Context) (changed int, err error)
}

// keyLoader is the signing keys that others make, as tokens.Shared and
// tokens.Directory do.
type keyLoader interface {
	// Load reads them again. An error leaves those in use that are known.
	Load(ctx context.Context) error
}

// rotateKeys gives the tokens a new key now and then.
type rotateKeys struct{ keys keyRotator }

// Run returns how many keys it changed.
func (r *rotateKeys) Run(ctx context.Context) (int, error) { return r.keys.Rotate(ctx) }

// loadKeys lets this gateway know what others did. It is a job of its own because
// it goes on while Postgres is away, and rotation does not.
type loadKeys struct{ keys keyLoader }

// Run reads once. Nothing is done that would be worth counting.
func (l *loadKeys) Run(ctx context.Context) (int, error) { return 0, l.keys.Load(ctx) }
