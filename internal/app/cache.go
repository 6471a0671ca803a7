package app

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sessiongate/sessiongate/store"
)

// registerCache shows how session_cache fares, where it is on.
func registerCache(reg prometheus.Registerer, stats func() (store.TrackingStats, bool)) error {
	if _, on := stats(); !on {
		return nil
	}
	gauge := func(name, help string, of func(store.TrackingStats) float64) error {
		return reg.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sessiongate_session_cache_" + name, Help: help},
			func() float64 { s, _ := stats(); return of(s) }))
	}
	counter := func(name, help string, of func(store.TrackingStats) int64) error {
		return reg.Register(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "sessiongate_session_cache_" + name, Help: help},
			func() float64 { s, _ := stats(); return float64(of(s)) }))
	}
	return errors.Join(
		gauge("trusted", "1 while Redis tells what changes and sessions are answered from memory, else 0.",
			func(s store.TrackingStats) float64 {
				if s.Trusted {
					return 1
				}
				return 0
			}),
		gauge("sessions", "Sessions in memory.", func(s store.TrackingStats) float64 { return float64(s.Sessions) }),
		counter("hits_total", "Validations that were answered from memory.", func(s store.TrackingStats) int64 { return s.Hits }),
		counter("misses_total", "Validations for which Redis was asked while the memory was trusted.",
			func(s store.TrackingStats) int64 { return s.Misses }),
		counter("changes_total", "Keys of which Redis told that they have changed.",
			func(s store.TrackingStats) int64 { return s.Changes }),
		counter("flushes_total", "Times that all was forgotten, since Redis could not be relied upon to tell of a change.",
			func(s store.TrackingStats) int64 { return s.Flushes }),
	)
}
