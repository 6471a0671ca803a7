package store

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessiongate/sessiongate/internal/testenv"
	"github.com/sessiongate/sessiongate/session"
)

func TestMain(m *testing.M) { testenv.Main(m) }

var testPolicy = session.Policy{
	TTL:          30 * time.Minute,
	RefreshAfter: 25 * time.Minute,
	Grace:        30 * time.Second,
	Absolute:     30 * 24 * time.Hour,
	MaxPerUser:   100,
}

// fixture is a store, and the same Redis as an administrator sees it.
type fixture struct {
	*testing.T
	*Redis
	raw *redis.Client
	url string
}

// newFixture opens a store on a key space of its own; change adjusts the options.
func newFixture(t *testing.T, change func(*RedisOptions)) *fixture {
	t.Helper()
	url, prefix := testenv.Redis(t)
	return openFixture(t, url, prefix, change)
}

func openFixture(t *testing.T, url, prefix string, change func(*RedisOptions)) *fixture {
	t.Helper()
	o := RedisOptions{
		URL: url, Prefix: prefix, Timeout: 5 * time.Second, Partitions: 1, Policy: testPolicy,
		Instance: "gateway-1", ClaimIdle: time.Minute,
	}
	if change != nil {
		change(&o)
	}
	r, err := OpenRedis(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	ro, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	raw := redis.NewClient(ro)
	t.Cleanup(func() { raw.Close() })
	return &fixture{T: t, Redis: r, raw: raw, url: url}
}

// op is the event of a request that happens now.
func (f *fixture) op() session.Event {
	now := f.Clock()
	return session.Event{
		ID: session.NewEventID(now), CreatedAt: now,
		Origin: session.Origin{IP: "192.0.2.1", UserAgent: "test/1"},
	}
}

// login begins a session of the user now.
func (f *fixture) login(user string) session.Session {
	f.Helper()
	return f.create(session.Session{ID: session.NewID(f.Clock()), UserID: user, ClientID: session.FirstParty})
}

func (f *fixture) create(s session.Session) session.Session {
	f.Helper()
	s, _, err := f.Create(f.Context(), s, f.op())
	if err != nil {
		f.Fatal(err)
	}
	return s
}

// refresh presents the token and wants it to rotate.
func (f *fixture) refresh(t session.Token) session.Session {
	f.Helper()
	s, rotated, err := f.Refresh(f.Context(), t, f.op())
	if err != nil || !rotated {
		f.Fatalf("Refresh: rotated %v, error %v; want a rotation", rotated, err)
	}
	return s
}

// backdate lets time pass for a session's rotation.
func (f *fixture) backdate(s session.Session, by time.Duration) session.Session {
	f.Helper()
	s.RotatedAt = s.RotatedAt.Add(-by)
	err := f.raw.HSet(f.Context(), f.keys.session(s.UserID, s.ID), "r", s.RotatedAt.UnixMilli()).Err()
	if err != nil {
		f.Fatal(err)
	}
	return s
}

// use tells the store that the session's current token was used.
func (f *fixture) use(s session.Session) {
	f.Helper()
	u := session.Use{SessionID: s.ID, UserID: s.UserID, At: f.Clock(), Generation: s.Generation}
	if err := f.Use(f.Context(), []session.Use{u}); err != nil {
		f.Fatal(err)
	}
}

// appended returns the events of partition 0 as they lie in its streams.
func (f *fixture) appended() []session.Event {
	f.Helper()
	var entries []Entry
	for stream := range 2 {
		messages, err := f.raw.Do(context.Background(), "XRANGE", f.stream(stream), "-", "+").Slice()
		if err != nil {
			f.Fatal(err)
		}
		decoded, err := f.decodeEntries(context.Background(), stream, messages, nil)
		if err != nil {
			f.Fatal(err)
		}
		entries = append(entries, decoded...)
	}
	events := make([]session.Event, len(entries))
	for i, e := range entries {
		if e.Err != nil {
			f.Fatal(e.Err)
		}
		events[i] = e.Event
	}
	return events
}

// actions are the events in short: "login", "token_refresh!refresh_reused",
// "logout:evicted".
func (f *fixture) actions() []string {
	f.Helper()
	var short []string
	for _, e := range f.appended() {
		s := string(e.Action)
		if e.Ends != "" {
			s += ":" + string(e.Ends)
		}
		if e.Error != "" {
			s += "!" + e.Error
		}
		short = append(short, s)
	}
	return short
}

func (f *fixture) wantActions(want ...string) {
	f.Helper()
	if got := f.actions(); !slices.Equal(got, want) {
		f.Errorf("events are %q, want %q", got, want)
	}
}

func (f *fixture) wantExists(want bool, key string) {
	f.Helper()
	n, err := f.raw.Exists(f.Context(), key).Result()
	if err != nil {
		f.Fatal(err)
	}
	if (n == 1) != want {
		f.Errorf("EXISTS %s is %d, want %v", key, n, want)
	}
}

func (f *fixture) hashOf(s session.Session) map[string]string {
	f.Helper()
	hash, err := f.raw.HGetAll(f.Context(), f.keys.session(s.UserID, s.ID)).Result()
	if err != nil {
		f.Fatal(err)
	}
	return hash
}

// eventually asks again until the call succeeds, for as long as a client may take
// to find out that a server is back.
func (f *fixture) eventually(call func(context.Context) error) {
	f.Helper()
	deadline := time.After(10 * time.Second)
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		err := call(f.Context())
		if err == nil {
			return
		}
		select {
		case <-again.C:
		case <-deadline:
			f.Fatal(err)
		}
	}
}

func unixMilli(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }
