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
	files, err := All(deps) // keys in files are read, and rotated by hand
	w.must(err)
	if len(files) != len(without)+1 {
		t.Errorf("%d jobs with keys in files, %d without", len(files), len(without))
	}
	reg = prometheus.NewRegistry() // All registers
	deps = w.deps(reg)
	deps.Keys, deps.Rotation, deps.Settings.Keys = keys, keys, "@every 30s"
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
