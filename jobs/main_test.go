package jobs

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/sessiongate/sessiongate/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// TestNothingIsLeftRunning goes through the life of a gateway's jobs and looks
// for goroutines that outlive it. It is not parallel: the others wait, and so
// have none of their own. (Those in a synctest bubble could not end with any.)
func TestNothingIsLeftRunning(t *testing.T) {
	testenv.Redis(t)
	testenv.Postgres(t)
	servers := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, servers) }) // after all other cleanups

	w := openWorld(t, nil)
	reg := prometheus.NewRegistry()
	deps := w.deps(reg)
	table, err := All(deps)
	w.must(err)
	s, err := NewScheduler(table, reg, deps.Log)
	w.must(err)
	s.Start()
	ana := w.login("ana")
	deps.Tracker.Seen(ana.Token(), w.redis.Clock())
	w.eventually("the login is in the log", func() bool { return w.count("SELECT count(*) FROM session_logs") == 1 })
	w.logout(ana)
	w.must(s.Stop(t.Context()))
	for _, last := range []string{"activity", "flush"} {
		if _, err := s.RunNow(t.Context(), last); err != nil {
			t.Error(err)
		}
	}
	if n := w.backlog(); n != 0 {
		t.Errorf("%d events are left after the last flush", n)
	}
}
