package app

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sessiongate/sessiongate/handlers"
	"github.com/sessiongate/sessiongate/session"
	"github.com/sessiongate/sessiongate/store"
)

func (g *gateway) openFeed(down *stack) error {
	g.feed = store.NewFeed(g.redis, store.FeedOptions{MaxReaders: g.cfg.Feed.MaxReaders})
	down.push("feed", func(context.Context) error { return g.feed.Close() })
	return registerFeed(g.reg, g.feed.Stats)
}

// watcher is the feed as handlers watch single sessions by it.
type watcher struct{ feed *store.Feed }

func (w watcher) Watch(sid session.ID) (handlers.SessionWatch, error) { return w.feed.Watch(sid) }

func registerFeed(reg prometheus.Registerer, stats func() store.FeedStats) error {
	return errors.Join(
		reg.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "sessiongate_feed_readers",
			Help: "Readers of the feed of revocations: event streams and waiting requests.",
		}, func() float64 { return float64(stats().Readers) })),
		reg.Register(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "sessiongate_feed_entries_total",
			Help: "Entries of the feed of revocations that this gateway has read; it reads while somebody does.",
		}, func() float64 { return float64(stats().Entries) })),
		reg.Register(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "sessiongate_feed_resets_total",
			Help: "Readers of the feed that were told to drop their cache, since entries they needed were lost.",
		}, func() float64 { return float64(stats().Resets) })),
	)
}
