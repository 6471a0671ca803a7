package store

import (
	"context"
	"errors"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessiongate/sessiongate/internal/testenv"
	"github.com/sessiongate/sessiongate/session"
)

func TestPartitionIsThatOfRedisCluster(t *testing.T) {
	t.Parallel()
	// The check value of CRC-16/XMODEM, and slots as CLUSTER KEYSLOT gives them.
	if got := crc16("123456789"); got != 0x31c3 {
		t.Errorf("crc16 is %#x, want 0x31c3", got)
	}
	k := newKeyspace("sg", 64)
	for user, slot := range map[string]int{"foo": 12182, "somekey": 11058} {
		if got := k.partition(user); got != slot%64 {
			t.Errorf("partition of %q is %d, want %d", user, got, slot%64)
		}
	}
	if got, want := newKeyspace("sg", 1).user("42"), "sg:{0}:user:42"; got != want {
		t.Errorf("user key is %q, want %q", got, want)
	}
}

func TestKeysOf(t *testing.T) {
	t.Parallel()
	got := KeysOf("foo", 64)
	want := UserKeys{
		Partition: 22, User: "sg:{22}:user:foo", Seen: "sg:{22}:seen:foo", Grants: "sg:{22}:grant:", Sessions: "sg:{22}:session:",
		Events: "sg:{22}:events", Activity: "sg:{22}:activity", Feed: "sg:{22}:feed",
	}
	if got != want {
		t.Errorf("keys are %+v, want %+v", got, want)
	}
}

func TestEventNamesInLua(t *testing.T) {
	t.Parallel()
	list := regexp.MustCompile(`(?s)EVENT = \{(.*?)\}`).FindStringSubmatch(luaFile("prelude"))[1]
	var names []string
	for _, m := range regexp.MustCompile(`'(\w+)'`).FindAllStringSubmatch(list, -1) {
		names = append(names, m[1])
	}
	if !slices.Equal(names, session.EventFields) {
		t.Errorf("prelude.lua has %q, session.EventFields %q", names, session.EventFields)
	}
	var e session.Event
	fields := e.Fields()
	for i, name := range session.EventFields {
		if fields[2*i] != name {
			t.Errorf("field %d is %q, EventFields has %q", i, fields[2*i], name)
		}
	}
}

func TestOpenRefusesARedisThatEvicts(t *testing.T) {
	t.Parallel()
	own := testenv.OwnRedis(t)
	raw := redis.NewClient(&redis.Options{Addr: own.Addr()})
	defer raw.Close()
	if err := raw.ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err(); err != nil {
		t.Fatal(err)
	}
	_, err := OpenRedis(t.Context(), RedisOptions{URL: own.URL(), Timeout: time.Second, Partitions: 1, Policy: testPolicy})
	if !errors.Is(err, ErrUnusableRedis) || !strings.Contains(err.Error(), "want noeviction") {
		t.Errorf("error is %v, want ErrUnusableRedis that names noeviction", err)
	}
}

func TestOpenRefusesAnotherNumberOfPartitions(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	_, err := OpenRedis(t.Context(), RedisOptions{
		URL: f.url, Prefix: f.keys.root, Timeout: time.Second, Partitions: 2, Policy: testPolicy,
	})
	if !errors.Is(err, ErrUnusableRedis) {
		t.Errorf("error is %v, want ErrUnusableRedis", err)
	}
}

func TestOpenDoesNotRepeatThePassword(t *testing.T) {
	t.Parallel()
	_, err := OpenRedis(t.Context(), RedisOptions{URL: "redis://:hunter2@local host:x", Partitions: 1})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error is %v, want one without the password", err)
	}
}

func TestEveryOperationSaysWhenRedisIsAway(t *testing.T) {
	t.Parallel()
	own := testenv.OwnRedis(t)
	f := openFixture(t, own.URL(), DefaultPrefix, func(o *RedisOptions) { o.Timeout = 200 * time.Millisecond })
	s := f.login("42")
	if err := own.Stop(); err != nil {
		t.Fatal(err)
	}
	for name, call := range operations(f, s) {
		if err := call(t.Context()); !errors.Is(err, session.ErrUnavailable) {
			t.Errorf("%s: error is %v, want ErrUnavailable", name, err)
		}
	}
	if err := own.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.eventually(f.Ping)
}

// TestASilentRedisIsGivenUp: a Redis that accepts and never answers is bounded
// by the timeout, too.
func TestASilentRedisIsGivenUp(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	r, err := newRedis(RedisOptions{
		URL: "redis://" + silent.Addr().String(), Timeout: 100 * time.Millisecond, Partitions: 1, Policy: testPolicy,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f := &fixture{T: t, Redis: r}
	s := session.Session{ID: session.NewID(time.Now()), UserID: "42"}
	for name, call := range operations(f, s) {
		if err := call(t.Context()); !errors.Is(err, session.ErrUnavailable) {
			t.Errorf("%s: error is %v, want ErrUnavailable", name, err)
		}
	}
}

func operations(f *fixture, s session.Session) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Create": func(ctx context.Context) error {
			_, _, err := f.Create(ctx, session.Session{ID: session.NewID(f.Clock()), UserID: "42"}, f.op())
			return err
		},
		"Validate": func(ctx context.Context) error { _, err := f.Validate(ctx, s.Token()); return err },
		"Get":      func(ctx context.Context) error { _, err := f.Get(ctx, "42", s.ID); return err },
		"List":     func(ctx context.Context) error { _, err := f.List(ctx, "42"); return err },
		"Refresh":  func(ctx context.Context) error { _, _, err := f.Refresh(ctx, s.Token(), f.op()); return err },
		"Revoke": func(ctx context.Context) error {
			_, err := f.Revoke(ctx, "42", s.ID, session.EndLogout, f.op())
			return err
		},
		"RevokeUser": func(ctx context.Context) error {
			_, _, err := f.RevokeUser(ctx, "42", "", session.EndLogoutAll, f.op())
			return err
		},
		"Append":     func(ctx context.Context) error { return f.Append(ctx, f.op()) },
		"Use":        func(ctx context.Context) error { return f.Use(ctx, []session.Use{{SessionID: s.ID, UserID: "42"}}) },
		"ReadEvents": func(ctx context.Context) error { _, err := f.ReadEvents(ctx, 0, 10); return err },
		"AckEvents":  func(ctx context.Context) error { return f.AckEvents(ctx, 0, []string{"1-1"}) },
		"Activity":   func(ctx context.Context) error { _, err := f.Activity(ctx, 0, 10); return err },
		"Fence":      func(ctx context.Context) error { _, err := f.Fence(ctx, 0); return err },
		"Passed":     func(ctx context.Context) error { _, err := f.Passed(ctx, Fence{}); return err },
		"Missing":    func(ctx context.Context) error { _, err := f.Missing(ctx, []session.Session{s}); return err },
		"Ping":       f.Ping,
	}
}

// TestFullMemory: who is in can leave, who is out stays out.
func TestFullMemory(t *testing.T) {
	t.Parallel()
	own := testenv.OwnRedis(t)
	f := openFixture(t, own.URL(), DefaultPrefix, nil)
	leaving, staying := f.login("42"), f.login("43")
	if err := f.raw.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.SyncClock(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.bound.Store(1) // a share of one byte is none

	if _, _, err := f.Create(t.Context(), session.Session{ID: session.NewID(f.Clock()), UserID: "44"}, f.op()); !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("login: error is %v, want ErrUnavailable", err)
	}
	f.wantExists(false, f.keys.user("44"))
	if _, _, err := f.Refresh(t.Context(), staying.Token(), f.op()); !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("refresh: error is %v, want ErrUnavailable", err)
	}
	if _, err := f.Validate(t.Context(), staying.Token()); err != nil {
		t.Errorf("validation: %v", err)
	}
	if ended, err := f.Revoke(t.Context(), "42", leaving.ID, session.EndLogout, f.op()); err != nil || !ended {
		t.Errorf("logout: ended %v, error %v", ended, err)
	}
	if n, _, err := f.RevokeUser(t.Context(), "43", "", session.EndLogoutAll, f.op()); err != nil || n != 1 {
		t.Errorf("logout-all: n %d, error %v", n, err)
	}
	f.wantActions("login", "login", "logout:logout", "logout:logout_all")
	entries, err := f.ReadEvents(t.Context(), 0, 10)
	if err != nil || len(entries) != 4 {
		t.Fatalf("flush reads %d entries, error %v; want 4", len(entries), err)
	}
	if err := f.AckEvents(t.Context(), 0, streamIDs(entries)); err != nil {
		t.Errorf("flush acknowledges: %v", err)
	}
}

func TestFlushedScriptsComeBack(t *testing.T) {
	t.Parallel()
	own := testenv.OwnRedis(t)
	f := openFixture(t, own.URL(), DefaultPrefix, nil)
	s := f.login("42")
	if err := f.raw.ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	f.refresh(s.Token())
}

// TestWrongTypes: a key that somebody overwrote stops a script before its first
// write, since Lua takes nothing back.
func TestWrongTypes(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]func(*fixture, session.Session) error{
		"Create": func(f *fixture, s session.Session) error {
			_, _, err := f.Create(f.Context(), session.Session{ID: session.NewID(f.Clock()), UserID: s.UserID}, f.op())
			return err
		},
		"Refresh": func(f *fixture, s session.Session) error {
			_, _, err := f.Refresh(f.Context(), s.Token(), f.op())
			return err
		},
		"Revoke": func(f *fixture, s session.Session) error {
			_, err := f.Revoke(f.Context(), s.UserID, s.ID, session.EndLogout, f.op())
			return err
		},
		"RevokeUser": func(f *fixture, s session.Session) error {
			_, _, err := f.RevokeUser(f.Context(), s.UserID, "", session.EndLogoutAll, f.op())
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, nil)
			s := f.login("42")
			for _, key := range []string{f.keys.seen("42"), f.keys.events(0)} {
				f.raw.Del(t.Context(), key)
				f.raw.Set(t.Context(), key, "overwritten", 0)
				before := f.hashOf(s)
				if err := call(f, s); !errors.Is(err, session.ErrUnavailable) {
					t.Errorf("%s overwritten: error is %v, want ErrUnavailable", key, err)
				}
				if after := f.hashOf(s); len(after) != len(before) || after["g"] != before["g"] {
					t.Errorf("%s overwritten: the session changed from %q to %q", key, before, after)
				}
				if n := f.raw.ZCard(t.Context(), f.keys.user("42")).Val(); n != 1 {
					t.Errorf("%s overwritten: the user has %d sessions, want 1", key, n)
				}
				f.raw.Del(t.Context(), key)
			}
		})
	}
}

// Who looks at a Redis leaves it as it was, whether it holds something or nothing.
func TestInspectWritesNothing(t *testing.T) {
	t.Parallel()
	url, prefix := testenv.Redis(t)
	o := RedisOptions{URL: url, Prefix: prefix + "inspected", Timeout: time.Second, Partitions: 1, Policy: testPolicy}
	inspect := func() error {
		t.Helper()
		r, err := InspectRedis(t.Context(), o)
		if err == nil {
			err = r.Close()
		}
		return err
	}
	parsed, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	raw := redis.NewClient(parsed)
	defer raw.Close()
	if err := inspect(); err != nil {
		t.Errorf("an empty Redis: %v", err)
	}
	if keys := raw.Keys(t.Context(), o.Prefix+"*").Val(); len(keys) > 0 {
		t.Errorf("it made %q", keys)
	}
	r, err := OpenRedis(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if keys := raw.Keys(t.Context(), o.Prefix+"*").Val(); len(keys) == 0 {
		t.Error("a gateway makes no keys under this prefix: the look above proves nothing")
	}
	if err := inspect(); err != nil {
		t.Errorf("a Redis in use: %v", err)
	}
	o.Partitions = 2
	if err := inspect(); !errors.Is(err, ErrUnusableRedis) {
		t.Errorf("other partitions: %v", err)
	}
}
