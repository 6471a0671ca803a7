package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// stack holds what has to be undone, last one first.
type stack []step

type step struct {
	name string
	undo func(context.Context) error
}

func (s *stack) push(name string, undo func(context.Context) error) {
	*s = append(*s, step{name, undo})
}

// unwind undoes all of it, whatever fails on the way.
func (s stack) unwind(ctx context.Context) error {
	var errs []error
	for _, st := range slices.Backward(s) {
		if err := st.undo(ctx); err != nil {
			errs = append(errs, fmt.Errorf("app: stop %s: %w", st.name, err))
		}
	}
	return errors.Join(errs...)
}
