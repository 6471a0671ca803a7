package foreign

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// patience is how long a condition may take that should hold within a second or
// two: other tests share the machine.
const patience = 30 * time.Second

const pollEvery = 40 * time.Millisecond

// errFinal is wrapped by errors that waiting won't mend.
var errFinal = errors.New("final")

// eventually waits until check returns nil, and returns its last error if it never
// does.
func eventually(ctx context.Context, check func(context.Context) error) error {
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	limit := time.After(patience)
	for {
		err := check(ctx)
		if err == nil || errors.Is(err, errFinal) {
			return err
		}
		select {
		case <-poll.C:
		case <-limit:
			return fmt.Errorf("not within %v: %w", patience, err)
		case <-ctx.Done():
			return err
		}
	}
}
