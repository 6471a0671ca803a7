package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessiongate/sessiongate/internal/devstack"
	"github.com/sessiongate/sessiongate/internal/testenv"
	"github.com/sessiongate/sessiongate/session"
)

// crowd makes sessions that can be told apart by their answer: each has a
// deadline of its own.
func (f *fixture) crowd(n int) []session.Session {
	f.Helper()
	sessions := make([]session.Session, n)
	for i := range sessions {
		sessions[i] = f.login(fmt.Sprintf("user-%d", i/5))
		sessions[i].ExpiresAt = sessions[i].ExpiresAt.Add(time.Duration(i) * time.Second)
		f.raw.ZAdd(f.Context(), f.keys.user(sessions[i].UserID), redis.Z{
			Score: float64(sessions[i].ExpiresAt.UnixMilli()), Member: string(sessions[i].ID),
		})
	}
	return sessions
}

// check validates the session and wants its own answer.
func (f *fixture) check(ctx context.Context, s session.Session) error {
	got, err := f.Validate(ctx, s.Token())
	if err != nil {
		return err
	}
	if got.ID != s.ID || !got.ExpiresAt.Equal(s.ExpiresAt) {
		return fmt.Errorf("%s got the answer of another: expires %v, want %v", s.ID, got.ExpiresAt, s.ExpiresAt)
	}
	return nil
}

func TestLookupsGiveEachCallerItsOwnAnswer(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	sessions := f.crowd(100)
	gone := f.login("gone")
	f.raw.Del(t.Context(), f.keys.user("gone"))
	broken := f.login("broken")
	f.raw.Del(t.Context(), f.keys.user("broken"))
	f.raw.Set(t.Context(), f.keys.user("broken"), "x", 0)

	var wg sync.WaitGroup
	for worker := range 64 {
		wg.Go(func() {
			for i := range 50 {
				switch at := (worker*37 + i*11) % 102; at {
				case 100:
					if _, err := f.Validate(t.Context(), gone.Token()); !errors.Is(err, session.ErrEnded) {
						t.Errorf("an ended session among others: %v", err)
					}
				case 101:
					if _, err := f.Validate(t.Context(), broken.Token()); !errors.Is(err, session.ErrUnavailable) {
						t.Errorf("a broken key among others: %v", err)
					}
				default:
					if err := f.check(t.Context(), sessions[at]); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	f.wantAtRest()
}

// wantAtRest checks that every lane is back and nobody is counted any more.
func (f *fixture) wantAtRest() {
	f.Helper()
	f.eventually(func(context.Context) error {
		l := f.lookups
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.idle) != maxLanes || l.outstanding != 0 || len(l.queue) != 0 || l.draining {
			return fmt.Errorf("%d lanes idle, %d callers, %d queued, draining %v", len(l.idle), l.outstanding, len(l.queue), l.draining)
		}
		return nil
	})
}

func TestLookupsSurviveKilledConnections(t *testing.T) {
	t.Parallel()
	own := testenv.OwnRedis(t)
	f := openFixture(t, own.URL(), DefaultPrefix, nil)
	s := f.login("42")
	s.ExpiresAt = s.Token().ExpiresAt
	for range 20 {
		if err := f.check(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		f.raw.ClientKillByFilter(t.Context(), "TYPE", "normal", "SKIPME", "yes")
	}
}

func TestLookupsSignIn(t *testing.T) {
	t.Parallel()
	own := testenv.OwnRedis(t)
	raw := redis.NewClient(&redis.Options{Addr: own.Addr()})
	defer raw.Close()
	if err := raw.ConfigSet(t.Context(), "requirepass", "hunter2").Err(); err != nil {
		t.Fatal(err)
	}
	url := strings.Replace(own.URL(), "redis://", "redis://:hunter2@", 1)
	url = strings.TrimSuffix(url, "/0") + "/3"
	f := openFixture(t, url, DefaultPrefix, nil)
	s := f.login("42")
	if _, err := f.Validate(t.Context(), s.Token()); err != nil {
		t.Error(err)
	}
	raw = redis.NewClient(&redis.Options{Addr: own.Addr(), Password: "hunter2"})
	defer raw.Close()
	raw.ConfigSet(t.Context(), "requirepass", "")
}

// TestLookupsWithALateServer: what comes after its time reaches nobody.
func TestLookupsWithALateServer(t *testing.T) {
	t.Parallel()
	own := testenv.OwnRedis(t)
	direct := openFixture(t, own.URL(), DefaultPrefix, nil)
	sessions := direct.crowd(40)

	p := newValve(t, own.Addr())
	f := openFixture(t, "redis://"+p.addr(), DefaultPrefix, func(o *RedisOptions) { o.Timeout = 100 * time.Millisecond })
	for range 5 {
		p.hold.Store(true)
		var wg sync.WaitGroup
		for i, s := range sessions {
			wg.Go(func() {
				ctx, cancel := context.WithCancel(t.Context())
				if i%2 == 0 {
					cancel()
				}
				defer cancel()
				if err := f.check(ctx, s); !errors.Is(err, session.ErrUnavailable) {
					t.Errorf("behind a silent server: error is %v, want ErrUnavailable", err)
				}
			})
		}
		wg.Wait()
		p.release() // the answers arrive now, on connections that nobody reads any more
		f.eventually(func(ctx context.Context) error { return f.check(ctx, sessions[0]) })
		for _, s := range sessions {
			wg.Go(func() {
				if err := f.check(t.Context(), s); err != nil {
					t.Errorf("after it spoke again: %v", err)
				}
			})
		}
		wg.Wait()
	}
	f.wantAtRest()
}

// TestLookupsDistrustAnswersOutOfTurn: a server (or something between) that
// answers anything but what was asked.
func TestLookupsDistrustAnswersOutOfTurn(t *testing.T) {
	t.Parallel()
	const score, fields, nobody = "$13\r\n1763960000000\r\n", "*4\r\n$2\r\n42\r\n$1\r\n0\r\n$-1\r\n$-1\r\n", "$-1\r\n"
	const mark = "$20\r\n00000000000000000001\r\n"
	token := session.Token{UserID: "42", SessionID: session.NewID(time.Now())}
	for name, answer := range map[string]string{
		"another batch's mark":       score + fields + "$20\r\n00000000000000000002\r\n",
		"more than was asked":        score + fields + mark + score,
		"less than was asked":        score + mark,
		"an answer of another shape": ":1\r\n" + fields + mark,
		"too few fields":             score + "*1\r\n$2\r\n42\r\n" + mark,
		"a length that is none":      "$x\r\n",
		"a length beyond reason":     "$999999999\r\n",
		"a line without an end":      "$13",
		"nothing":                    "",
		"a score that is none":       "$3\r\nnan\r\n" + fields + mark,
		"no generation":              score + "*4\r\n$2\r\n42\r\n" + nobody + nobody + nobody + mark,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLookups(func(context.Context) (net.Conn, error) {
				here, there := net.Pipe()
				go func() {
					buf := make([]byte, 4096)
					_, _ = there.Read(buf)
					_, _ = io.WriteString(there, answer)
					_ = there.Close()
				}()
				return here, nil
			}, 5*time.Second)
			_, err := l.ask(t.Context(), "sg:{0}:", token.UserID, token.SessionID)
			if !errors.Is(err, session.ErrUnavailable) {
				t.Errorf("error is %v, want ErrUnavailable", err)
			}
		})
	}
}

func TestLookupsTakeLongQueuesInParts(t *testing.T) {
	t.Parallel()
	l := newLookups(nil, time.Second)
	for range maxBatch + 10 {
		l.queue = append(l.queue, &lookup{})
	}
	first := l.queue[0]
	if batch := l.take(nil); len(batch) != maxBatch || batch[0] != first {
		t.Errorf("the first part has %d, want the %d that came first", len(batch), maxBatch)
	}
	if batch := l.take(nil); len(batch) != 10 {
		t.Errorf("the second part has %d, want 10", len(batch))
	}
	if batch := l.take(nil); batch != nil || len(l.idle) != maxLanes+1 {
		t.Errorf("the third part has %d, want none and the lane back", len(batch))
	}
	l.queue = make([]*lookup, maxQueued)
	if _, err := l.enter(&lookup{}); !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("beyond the bound: error is %v, want ErrUnavailable", err)
	}
}

// valve stands between a client and Redis and can hold back the answers.
type valve struct {
	ln     net.Listener
	hold   atomic.Bool
	mu     sync.Mutex
	opened chan struct{} // closed by release
}

func newValve(t *testing.T, to string) *valve {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	p := &valve{ln: ln, opened: make(chan struct{})}
	go func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				client.Close()
				continue
			}
			go func() { _, _ = io.Copy(server, client); server.Close() }()
			go p.answers(client, server)
		}
	}()
	return p
}

func (p *valve) addr() string { return p.ln.Addr().String() }

func (p *valve) answers(client, server net.Conn) {
	defer client.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := server.Read(buf)
		if err != nil {
			return
		}
		if p.hold.Load() {
			p.mu.Lock()
			opened := p.opened
			p.mu.Unlock()
			<-opened
		}
		if _, err := client.Write(buf[:n]); err != nil {
			return
		}
	}
}

// release lets the held answers go.
func (p *valve) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hold.Store(false)
	close(p.opened)
	p.opened = make(chan struct{})
}

func BenchmarkValidate(b *testing.B) {
	url, prefix := testenv.Redis(b)
	r, err := OpenRedis(b.Context(), RedisOptions{
		URL: url, Prefix: prefix, Timeout: time.Second, Partitions: 1, Policy: testPolicy, Instance: "bench", ClaimIdle: time.Minute,
	})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	now := r.Clock()
	op := session.Event{ID: session.NewEventID(now), CreatedAt: now}
	s, _, err := r.Create(b.Context(), session.Session{ID: session.NewID(now), UserID: "42"}, op)
	if err != nil {
		b.Fatal(err)
	}
	token := s.Token()
	for _, callers := range []int{1, 4, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(max(callers/2, 1))
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := r.Validate(b.Context(), token); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

// TestLookupsOverAUnixSocket: redis.url may be unix://, for the connections of the
// lookups and of the cache as for go-redis's.
func TestLookupsOverAUnixSocket(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "sg-") // t.TempDir is too long for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	server, err := devstack.StartRedis(t.Context(), devstack.RedisOptions{Dir: dir, Throwaway: true, Socket: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Stop() })
	f := openFixture(t, "unix://"+server.Socket()+"?db=2", DefaultPrefix, tracking)
	s := f.login("42")
	s.ExpiresAt = s.Token().ExpiresAt
	if err := f.check(t.Context(), s); err != nil {
		t.Error(err)
	}
	if whole, err := f.Check(t.Context(), s.Token()); err != nil || whole.UserID != "42" {
		t.Errorf("Check: %+v, %v", whole, err)
	}
	f.inMemory(s)
}
