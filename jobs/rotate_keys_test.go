package jobs

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sessiongate/sessiongate/session"
)

// ring is the keys of a gateway whose Postgres is away.
type ring struct{ loaded int }

func (*ring) Rotate(context.Context) (int, error) { return 2, session.ErrUnavailable }

func (r *ring) Load(context.Context) error {
	r.loaded++
	return nil
}

// Keys are rotated where they are shared, and read on while rotation fails.
func TestKeyJobs(t *testing.T) {
	w := newWorld(t, nil)
	without, err := All(w.deps(prometheus.NewRegistry()))
	w.must(err)
	keys := &ring{}
	reg := prometheus.NewRegistry()
	deps := w.deps(reg)
	deps.Keys, deps.Settings.Keys = keys, "@every 30s"
	table, err := All(deps)
	w.must(err)
	if len(table) != len(without)+2 {
		t.Errorf("%d jobs with keys, %d without", len(table), len(without))
	}
	s, err := NewScheduler(table, reg, deps.Log)
	w.must(err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if n, err := s.RunNow(ctx, "rotate_keys"); n != 2 || err == nil {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := s.RunNow(ctx, "load_keys"); err != nil || keys.loaded != 1 {
		t.Errorf("read %d times, %v", keys.loaded, err)
	}
}
