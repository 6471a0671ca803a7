package jobs

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessiongate/sessiongate/session"
	"github.com/sessiongate/sessiongate/store"
)

func (w *world) lastActivity() *lastActivity {
	return &lastActivity{
		source: w.redis, sink: w.postgres, partitions: w.redis.Partitions(), batch: 100, now: w.redis.Clock,
	}
}

// use has Redis note that the session was used, by way of the tracker.
func (w *world) use(at time.Time, sessions ...session.Session) {
	w.Helper()
	tracker := newTestTracker(w.T, w.redis)
	for _, s := range sessions {
		tracker.Seen(s.Token(), at)
	}
	if done, err := tracker.Run(w.Context()); done != len(sessions) || err != nil {
		w.Fatalf("the tracker sent %d of %d uses: %v", done, len(sessions), err)
	}
}

// waiting returns for how many sessions Redis has a use that Postgres has not.
func (w *world) waiting() (n int64) {
	w.Helper()
	for p := range w.options.Partitions {
		length, err := w.raw.ZCard(w.Context(), fmt.Sprintf("sg:{%d}:activity", p)).Result()
		w.must(err)
		n += length
	}
	return n
}

func (w *world) lastActivityOf(s session.Session) (at time.Time) {
	w.Helper()
	w.must(w.postgres.DB().GetContext(w.Context(), &at, "SELECT last_activity FROM user_sessions WHERE id = $1", s.ID))
	return at.UTC()
}

func TestActivityReachesPostgres(t *testing.T) {
	w := newWorld(t, func(o *store.RedisOptions) { o.Partitions = 4 })
	sessions := w.logins(10)
	w.flushAll()
	at := w.redis.Clock().Add(time.Second)
	w.use(at, sessions...)
	job := w.lastActivity()
	job.batch = 3
	if done, err := job.Run(t.Context()); done != 10 || err != nil {
		t.Fatalf("Run = %d, %v, want 10", done, err)
	}
	for _, s := range sessions {
		if got := w.lastActivityOf(s); !got.Equal(at) {
			t.Errorf("last_activity is %v, want %v", got, at)
		}
	}
	if n := w.waiting(); n != 0 {
		t.Errorf("%d uses are left in Redis", n)
	}
}

func TestActivityWaitsForItsRow(t *testing.T) {
	w := newWorld(t, nil)
	s := w.login("ana")
	at := w.redis.Clock().Add(time.Second)
	w.use(at, s)
	if done, err := w.lastActivity().Run(t.Context()); done != 0 || err != nil {
		t.Fatalf("before the flush, Run = %d, %v", done, err)
	}
	if n := w.waiting(); n != 1 {
		t.Fatalf("%d uses are waiting, want 1", n)
	}
	w.flushAll()
	if done, err := w.lastActivity().Run(t.Context()); done != 1 || err != nil {
		t.Fatalf("after the flush, Run = %d, %v", done, err)
	}
	if got := w.lastActivityOf(s); !got.Equal(at) {
		t.Errorf("last_activity is %v, want %v", got, at)
	}
}

func TestActivityWithoutARowDoesNotHoldUpTheRest(t *testing.T) {
	w := newWorld(t, nil)
	rowless := w.logins(9)
	w.use(w.redis.Clock(), rowless...) // the longest waiting, so they come first
	w.must(w.raw.Del(t.Context(), "sg:{0}:events").Err())
	w.must(w.raw.XGroupCreateMkStream(t.Context(), "sg:{0}:events", "flush", "0").Err())
	others := w.logins(3)
	w.flushAll()
	w.use(w.redis.Clock().Add(time.Second), others...)

	job := w.lastActivity()
	job.batch = 2
	if done, err := job.Run(t.Context()); done != 3 || err != nil {
		t.Errorf("Run = %d, %v, want the 3 with a row", done, err)
	}
	if n := w.waiting(); n != 9 {
		t.Errorf("%d uses are waiting, want the 9 without a row", n)
	}
	job.now = func() time.Time { return w.redis.Clock().Add(activityPatience + time.Minute) }
	if done, err := job.Run(t.Context()); done != 0 || err != nil {
		t.Errorf("a day later, Run = %d, %v", done, err)
	}
	if n := w.waiting(); n != 0 {
		t.Errorf("a day later, %d uses are still waiting", n)
	}
}

func TestActivityPutThereByHandDoesNoHarm(t *testing.T) {
	w := newWorld(t, nil)
	s := w.login("ana")
	w.flushAll()
	w.must(w.raw.ZAdd(t.Context(), "sg:{0}:activity", redis.Z{Score: 1, Member: "x"}, redis.Z{Score: 2, Member: "'; --"}).Err())
	w.use(w.redis.Clock().Add(time.Second), s)
	if done, err := w.lastActivity().Run(t.Context()); done != 1 || err != nil {
		t.Errorf("Run = %d, %v, want 1", done, err)
	}
	if n := w.waiting(); n != 0 {
		t.Errorf("%d uses are waiting", n)
	}
}

func TestActivityStaysInRedisWhilePostgresIsAway(t *testing.T) {
	w := newWorld(t, nil)
	s := w.login("ana")
	w.flushAll()
	w.use(w.redis.Clock().Add(time.Second), s)
	w.exec("ALTER TABLE user_sessions RENAME TO elsewhere")
	if _, err := w.lastActivity().Run(t.Context()); !errors.Is(err, store.ErrSchema) {
		t.Errorf("Run: %v, want ErrSchema", err)
	}
	if n := w.waiting(); n != 1 {
		t.Errorf("%d uses are waiting, want 1", n)
	}
}

// TestManyActivitiesAtOnce: the job of each gateway works on the same uses.
func TestManyActivitiesAtOnce(t *testing.T) {
	w := newWorld(t, nil)
	sessions := w.logins(50)
	w.flushAll()
	for round := range 5 {
		at := w.redis.Clock().Add(time.Duration(round+1) * time.Second)
		w.use(at, sessions...)
		group(4, func(int) {
			job := w.lastActivity()
			job.batch = 7
			if _, err := job.Run(t.Context()); err != nil {
				t.Error(err)
			}
		})
		if n := w.count("SELECT count(*) FROM user_sessions WHERE last_activity = $1", at); n != len(sessions) {
			t.Fatalf("round %d: %d of %d sessions have their last use", round, n, len(sessions))
		}
	}
}
