package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessiongate/sessiongate/session"
)

// Feed reads the feeds of all partitions for everybody who asks this gateway: one
// goroutine over one connection of its own, however many wait. It starts with the
// first reader. Close ends it.
type Feed struct {
	redis *Redis
	db    *redis.Client // one connection
	opt   FeedOptions
	begin sync.Once
	done  sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	err     error         // why shelves can't be relied on; nil: they are complete to the second
	changed chan struct{} // closed and made anew with each change of what is below, and of err
	lives   lives
	shelves []shelf // nil until the first look
	watches map[session.ID]map[*Watch]struct{}
	stats   FeedStats
}

// FeedOptions bound what a Feed takes up.
type FeedOptions struct {
	MaxReaders int           // at the same time
	InMemory   int           // entries of each partition
	Page       int           // entries that one Read returns, at most
	Block      time.Duration // longest time without a look at whether Redis is still the same
}

// FeedStats are numbers for metrics.
type FeedStats struct {
	Readers int
	Entries uint64 // read from Redis since the start
	Resets  uint64 // readers told to start afresh
}

// Bounds that serve; tests take others.
const (
	feedInMemory = 4096
	feedPage     = 1000
	feedBlock    = time.Second
)

// errFeedStarting and errFeedClosed are why there is nothing to read.
var (
	errFeedStarting = fmt.Errorf("store: read the feed: %w: it has not been found yet", session.ErrUnavailable)
	errFeedClosed   = fmt.Errorf("store: read the feed: %w: the gateway is going down", session.ErrUnavailable)
)

// NewFeed returns the feed of the partitions of r. Zero options mean the usual.
func NewFeed(r *Redis, o FeedOptions) *Feed {
	if o.InMemory == 0 {
		o.InMemory = max(feedInMemory/r.Partitions(), 64)
	}
	if o.Page == 0 {
		o.Page = feedPage
	}
	if o.Block == 0 {
		o.Block = feedBlock
	}
	own := *r.db.Options()
	// One goroutine uses it, so it opens one connection. The pool could hold more
	// because after as many failures to connect as that it pauses for a second.
	own.PoolSize, own.MinIdleConns, own.MaxRetries = 10, 0, -1
	return &Feed{
		redis: r, db: redis.NewClient(&own), opt: o,
		err: errFeedStarting, changed: make(chan struct{}),
		watches: make(map[session.ID]map[*Watch]struct{}),
	}
}

// Close ends all reads and closes the connection.
func (f *Feed) Close() error {
	f.mu.Lock()
	already := f.closed
	f.closed = true
	f.setLocked(errFeedClosed)
	f.mu.Unlock()
	if already {
		return nil
	}
	f.begin.Do(func() {}) // it does not begin any more
	err := f.db.Close()   // and ends a read that blocks
	f.done.Wait()
	return err
}

// Stats returns the numbers as of now.
func (f *Feed) Stats() FeedStats {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stats
}

// Join counts a reader in; it must leave when it is done. The error is
// session.ErrOverloaded if there are too many.
func (f *Feed) Join() (leave func(), err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.joinLocked(); err != nil {
		return nil, err
	}
	return sync.OnceFunc(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.stats.Readers--
	}), nil
}

func (f *Feed) joinLocked() error {
	if f.stats.Readers >= f.opt.MaxReaders {
		return fmt.Errorf("store: read the feed: %w: there are %d readers", session.ErrOverloaded, f.stats.Readers)
	}
	f.stats.Readers++
	return nil
}

// setLocked changes the state and wakes all readers.
func (f *Feed) setLocked(err error) {
	if !errors.Is(f.err, errFeedClosed) {
		f.err = err
	}
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *Feed) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.setLocked(err)
}

func (f *Feed) isClosed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closed
}

// follow keeps the shelves up to date until Close. After a failure it starts over
// with a look at where the feed is; after a gap on empty shelves, so that each
// reader finds out whether it missed something.
func (f *Feed) follow() {
	var lastGap time.Time
	afresh, pause := false, minFeedPause
	for !f.isClosed() {
		began := time.Now()
		err := f.followOnce(afresh)
		afresh = errors.Is(err, errFeedGap)
		if afresh && time.Since(lastGap) > maxFeedPause {
			f.redis.opt.Log.Warn("the feed of revocations was interrupted; its readers start afresh", "err", err)
			lastGap = time.Now()
			continue
		}
		f.set(fmt.Errorf("store: read the feed: %w: %w", session.ErrUnavailable, err))
		if time.Since(began) > maxFeedPause {
			pause = minFeedPause
		}
		f.rest(pause)
		pause = min(2*pause, maxFeedPause)
	}
}

// The pause after a failure.
const (
	minFeedPause = 20 * time.Millisecond
	maxFeedPause = time.Second
)

// rest waits, or until Close.
func (f *Feed) rest(pause time.Duration) {
	over := time.NewTimer(pause)
	defer over.Stop()
	for {
		f.mu.Lock()
		closed, changed := f.closed, f.changed
		f.mu.Unlock()
		if closed {
			return
		}
		select {
		case <-over.C:
			return
		case <-changed:
		}
	}
}

// followOnce reads until something fails.
func (f *Feed) followOnce(afresh bool) error {
	ctx := context.Background()
	now, err := f.redis.feedPosition(ctx, f.db)
	if err != nil {
		return err
	}
	f.adopt(now, afresh)
	for looked := time.Now(); ; {
		found, err := f.read(ctx)
		if err != nil {
			return err
		}
		if err := f.add(found); err != nil {
			return err
		}
		if time.Since(looked) < f.opt.Block {
			continue
		}
		if now, err = f.redis.feedPosition(ctx, f.db); err != nil {
			return err
		}
		if !f.continues(now) {
			return fmt.Errorf("%w: Redis has other data", errFeedGap)
		}
		looked = time.Now()
	}
}

// adopt goes on from where the shelves end if that leads to the position found,
// and else begins there, with empty shelves.
func (f *Feed) adopt(now position, afresh bool) {
	goOn := !afresh && f.continues(now)
	f.mu.Lock()
	defer f.mu.Unlock()
	if !goOn {
		if f.shelves != nil {
			f.missedLocked()
		}
		f.lives = now.lives
		f.shelves = make([]shelf, len(now.places))
		for p := range f.shelves {
			f.shelves[p].start = now.places[p]
		}
	}
	f.setLocked(nil)
}

// continues says whether the position found lies on the way from where the
// shelves end.
func (f *Feed) continues(now position) bool {
	heads, _, _ := f.state()
	return len(heads.places) > 0 && now.lives == heads.lives && leadsTo(heads.places, now.places)
}

// leadsTo says whether the later places may follow from the earlier ones.
func leadsTo(earlier, later []place) bool {
	for p := range earlier {
		if later[p].n < earlier[p].n || later[p].n == earlier[p].n && later[p].id != earlier[p].id {
			return false
		}
	}
	return true
}

// read waits for what comes after the shelves, and returns it by partition.
func (f *Feed) read(ctx context.Context) (map[int][]feedEntry, error) {
	n := len(f.shelves) // written by this goroutine alone
	streams := make([]string, 2*n)
	partitions := make(map[string]int, n)
	for p := range n {
		streams[p], streams[n+p] = f.redis.keys.feed(p), f.shelves[p].head().id.String()
		partitions[streams[p]] = p
	}
	ctx, cancel := context.WithTimeout(ctx, f.opt.Block+f.redis.opt.Timeout)
	defer cancel()
	replies, err := f.db.XRead(ctx, &redis.XReadArgs{
		Streams: streams, Count: int64(f.opt.Page), Block: f.opt.Block,
	}).Result()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	found := make(map[int][]feedEntry, len(replies))
	for _, reply := range replies {
		p := partitions[reply.Stream]
		if found[p], err = decodeFeed(reply.Messages); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func decodeFeed(messages []redis.XMessage) ([]feedEntry, error) {
	entries := make([]feedEntry, len(messages))
	for i, m := range messages {
		var err error
		if entries[i], err = decodeFeedEntry(m); err != nil {
			return nil, err
		}
	}
	return entries, nil
}

func (f *Feed) add(found map[int][]feedEntry) error {
	if len(found) == 0 {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for p, entries := range found {
		if err := f.shelves[p].add(entries, f.opt.InMemory); err != nil {
			return fmt.Errorf("%s: %w", strings.TrimSuffix(f.redis.keys.tags[p], ":"), err)
		}
		f.tellLocked(entries)
		f.stats.Entries += uint64(len(entries))
	}
	f.setLocked(nil)
	return nil
}
