package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/sessiongate/sessiongate/session"
)

// DefaultPrefix is what the keys of the product begin with; only tests use another.
const DefaultPrefix = "sg"

// schemaVersion is what this gateway writes to sg:meta and expects there.
const schemaVersion = "1"

// ErrUnusableRedis: this Redis, as it is set up, can't hold sessions. The text
// says what to change.
var ErrUnusableRedis = errors.New("redis is not usable")

// RedisOptions say which Redis to use and how.
type RedisOptions struct {
	URL        string
	PoolSize   int           // connections; 0: ten a core
	Timeout    time.Duration // of one operation, dialing and retries included
	Partitions int           // fixed for the life of the data
	Prefix     string        // of every key; "" means DefaultPrefix
	Policy     session.Policy
	Instance   string        // this gateway's name among the readers of the events
	ClaimIdle  time.Duration // how long entries read by a gateway that died stay its own
	FeedLength int           // entries that the feed of a partition keeps, about; 0: DefaultFeedLength
	Tracking   bool          // keep where sessions stand in memory while Redis tells what changes
	Log        *slog.Logger
}

// Redis holds the live sessions and the events on their way to Postgres. All of
// its methods are safe for concurrent use, make one round trip unless they say
// otherwise, and take no longer than the Timeout of their options. An error that
// wraps session.ErrUnavailable means that Redis could not say: 503, never 401.
type Redis struct {
	db      *redis.Client
	lookups *lookups
	tracker *tracker // nil where RedisOptions.Tracking is off
	keys    keyspace
	opt     RedisOptions
	offset  atomic.Int64 // Redis's clock less ours, ns
	bound   atomic.Int64 // memory beyond which refresh is refused, bytes; 0: none
	texts   textCache
	claims  []claim       // by stream
	lost    atomic.Uint64 // events that were deleted before they were written
	keep    string        // what the scripts are told that the feed keeps
}

// OpenRedis connects, and checks that this Redis can hold sessions: version 7.0
// or later, maxmemory-policy noeviction, the same number of partitions. It
// returns ErrUnusableRedis where it can't. It makes the keys that are not there
// yet (meta, streams, groups) and may be repeated by any number of gateways.
func OpenRedis(ctx context.Context, o RedisOptions) (*Redis, error) {
	r, err := newRedis(o)
	if err != nil {
		return nil, err
	}
	if err := r.open(ctx); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// InspectRedis is OpenRedis for who only looks: it makes no key, and a Redis that
// holds nothing yet is good.
func InspectRedis(ctx context.Context, o RedisOptions) (*Redis, error) {
	r, err := newRedis(o)
	if err != nil {
		return nil, err
	}
	if err := r.inspect(ctx); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *Redis) inspect(ctx context.Context) error {
	if err := r.checkServer(ctx); err != nil {
		return err
	}
	if err := r.readMeta(ctx); err != nil {
		return err
	}
	_, err := r.SyncClock(ctx)
	return err
}

// readMeta is checkMeta where nothing may be written.
func (r *Redis) readMeta(ctx context.Context) error {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	got, err := r.db.HMGet(ctx, r.keys.meta(), "partitions", "schema").Result()
	if err != nil {
		return wrap("read "+r.keys.meta(), err)
	}
	if got[0] == nil && got[1] == nil {
		return nil
	}
	return r.compareMeta(got)
}

// quiet is go-redis's own logger, made silent: it writes a line to stderr for
// each failed dial, and every failure reaches a caller of ours anyway.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

var silence = sync.OnceFunc(func() { redis.SetLogger(quiet{}) })

func newRedis(o RedisOptions) (*Redis, error) {
	silence()
	ro, err := redis.ParseURL(o.URL)
	if err != nil {
		// The parser's error may repeat the URL, and the password with it.
		return nil, fmt.Errorf("store: %w: the URL can't be parsed, want redis://[user:password@]host:port[/db]",
			ErrUnusableRedis)
	}
	if o.Prefix == "" {
		o.Prefix = DefaultPrefix
	}
	if o.FeedLength == 0 {
		o.FeedLength = DefaultFeedLength
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	ro.PoolSize = o.PoolSize
	ro.Protocol = 2
	ro.DialTimeout, ro.ReadTimeout, ro.WriteTimeout, ro.PoolTimeout = o.Timeout, o.Timeout, o.Timeout, o.Timeout
	ro.ContextTimeoutEnabled = true // off by default: deadlines would not bound a call
	ro.MaxRetries, ro.MinRetryBackoff, ro.MaxRetryBackoff = 2, time.Millisecond, 10*time.Millisecond
	ro.DialerRetries = 1
	ro.DisableIdentity = true
	ro.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	db := redis.NewClient(ro)
	return &Redis{
		db:      db,
		lookups: newLookups(dialLane(db.Options()), o.Timeout),
		keys:    newKeyspace(o.Prefix, o.Partitions),
		opt:     o,
		claims:  make([]claim, 2*o.Partitions),
		keep:    feedKeeps(o),
	}, nil
}

func (r *Redis) open(ctx context.Context) error {
	if err := r.checkServer(ctx); err != nil {
		return err
	}
	if err := r.checkMeta(ctx); err != nil {
		return err
	}
	for p := range r.keys.tags {
		if _, _, err := r.Epoch(ctx, p); err != nil {
			return err
		}
		if err := r.createGroups(ctx, p); err != nil {
			return err
		}
	}
	if _, err := r.SyncClock(ctx); err != nil {
		return err
	}
	r.lookups.remains = r.opt.Tracking
	if r.opt.Tracking {
		r.tracker = startTracker(dialLane(r.db.Options()), r.keys)
	}
	return nil
}

// Close closes the connections.
func (r *Redis) Close() error {
	if r.tracker != nil {
		r.tracker.close()
	}
	r.lookups.close()
	return r.db.Close()
}

// Ping asks whether Redis answers.
func (r *Redis) Ping(ctx context.Context) error {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	return wrap("ping", r.db.Ping(ctx).Err())
}

// bounded limits one operation to the timeout.
func (r *Redis) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, r.opt.Timeout)
}

// Partitions returns how many partitions the keys are spread over.
func (r *Redis) Partitions() int { return len(r.keys.tags) }

// PartitionOf returns the partition that a user's keys are in.
func (r *Redis) PartitionOf(userID string) int { return r.keys.partition(userID) }

// Clock returns the time, corrected to Redis's as of the last SyncClock: the one
// clock that all gateways share.
func (r *Redis) Clock() time.Time {
	return time.Now().Add(time.Duration(r.offset.Load())).UTC().Truncate(time.Millisecond)
}

// SyncClock measures how far this machine's clock is behind Redis's, to within
// half a round trip, and corrects Clock by it. It also looks again at how much
// memory Redis may use. Four round trips; to be repeated now and then.
func (r *Redis) SyncClock(ctx context.Context) (skew time.Duration, err error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	// Of several samples the quickest is the best: what is not known of it is half
	// its round trip.
	for best, i := time.Duration(math.MaxInt64), 0; i < clockSamples; i++ {
		before := time.Now()
		theirs, err := r.db.Time(ctx).Result()
		if err != nil {
			return 0, wrap("read the clock", err)
		}
		if trip := time.Since(before); trip < best {
			best, skew = trip, theirs.Sub(before.Add(trip/2))
		}
	}
	r.offset.Store(int64(skew))

	info, err := r.info(ctx, "memory")
	if err != nil {
		return skew, err
	}
	limit, _ := strconv.ParseInt(info["maxmemory"], 10, 64)
	r.bound.Store(limit / 100 * refreshMemoryPercent)
	return skew, nil
}

const clockSamples = 3

// refreshMemoryPercent is the share of maxmemory beyond which refresh is
// refused: well below the whole, so that logout and revocation keep room.
const refreshMemoryPercent = 95

func (r *Redis) info(ctx context.Context, section string) (map[string]string, error) {
	text, err := r.db.Info(ctx, section).Result()
	if err != nil {
		return nil, wrap("read INFO", err)
	}
	info := make(map[string]string)
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[key] = value
		}
	}
	return info, nil
}

// ServerInfo is what the gateway wants to know of its Redis.
type ServerInfo struct {
	Version         string
	MaxMemoryPolicy string
	MaxMemory       int64 // bytes; 0: no limit
	UsedMemory      int64 // bytes
	AOF             bool
	Replicas        int
}

// Server returns what INFO says of the server. Two round trips.
func (r *Redis) Server(ctx context.Context) (ServerInfo, error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	server, err := r.info(ctx, "everything")
	if err != nil {
		return ServerInfo{}, err
	}
	number := func(key string) int64 {
		n, _ := strconv.ParseInt(server[key], 10, 64)
		return n
	}
	return ServerInfo{
		Version:         server["redis_version"],
		MaxMemoryPolicy: server["maxmemory_policy"],
		MaxMemory:       number("maxmemory"),
		UsedMemory:      number("used_memory"),
		AOF:             server["aof_enabled"] == "1",
		Replicas:        int(number("connected_slaves")),
	}, nil
}

func (r *Redis) checkServer(ctx context.Context) error {
	s, err := r.Server(ctx)
	if err != nil {
		return err
	}
	major, _, _ := strings.Cut(s.Version, ".")
	if n, err := strconv.Atoi(major); err != nil || n < 7 {
		return fmt.Errorf("store: %w: version is %q, want 7.0 or later", ErrUnusableRedis, s.Version)
	}
	if s.MaxMemoryPolicy != "noeviction" {
		return fmt.Errorf("store: %w: maxmemory-policy is %q, want noeviction: evicting a key signs a user out; "+
			"run CONFIG SET maxmemory-policy noeviction and set it in redis.conf", ErrUnusableRedis, s.MaxMemoryPolicy)
	}
	return nil
}

func (r *Redis) checkMeta(ctx context.Context) error {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	want := strconv.Itoa(r.Partitions())
	var got *redis.SliceCmd
	_, err := r.db.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.HSetNX(ctx, r.keys.meta(), "partitions", want)
		p.HSetNX(ctx, r.keys.meta(), "schema", schemaVersion)
		got = p.HMGet(ctx, r.keys.meta(), "partitions", "schema")
		return nil
	})
	if err != nil {
		return wrap("read "+r.keys.meta(), err)
	}
	return r.compareMeta(got.Val())
}

// compareMeta holds the partitions and the schema of the data to ours.
func (r *Redis) compareMeta(got []any) error {
	want := strconv.Itoa(r.Partitions())
	if have := got[0]; have != want {
		return fmt.Errorf("store: %w: its data has %v partitions and redis.partitions is %s: the number is fixed "+
			"for the life of the data", ErrUnusableRedis, have, want)
	}
	if have := got[1]; have != schemaVersion {
		return fmt.Errorf("store: %w: its data has schema %v and this gateway writes %s", ErrUnusableRedis, have, schemaVersion)
	}
	return nil
}

// Epoch returns which life of the partition's data this is, and since when. It
// gives one to a partition that has none: a new one, or one that Redis lost.
func (r *Redis) Epoch(ctx context.Context, partition int) (epoch string, since time.Time, err error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	keys := []string{r.keys.partitionMeta(partition), r.keys.feed(partition)}
	reply, err := partitionOpen.Run(ctx, r.db, keys, uuid.NewString()).StringSlice()
	if err != nil {
		return "", time.Time{}, wrap("open partition", err)
	}
	ms, err := strconv.ParseInt(reply[1], 10, 64)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("store: open partition: epoch_at is %q, want Unix milliseconds", reply[1])
	}
	return reply[0], time.UnixMilli(ms).UTC(), nil
}

// wrap names the operation and says that Redis could not carry it out. It
// returns nil for nil.
func wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("store: %s: %w: %w", op, session.ErrUnavailable, err)
}

// msTime reads Unix milliseconds as a script or a score writes them; the zero
// time for "".
func msTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	ms, err := strconv.ParseInt(s, 10, 64)
	if err != nil || ms < 0 {
		return time.Time{}, fmt.Errorf("%q is not Unix milliseconds", s)
	}
	return time.UnixMilli(ms).UTC(), nil
}

// scoreTime reads the score of a zset.
func scoreTime(score float64) time.Time { return time.UnixMilli(int64(math.Round(score))).UTC() }
