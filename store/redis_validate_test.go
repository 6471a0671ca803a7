package store

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/internal/testenv"
	"github.com/sessiongate/sessiongate/session"
)

func TestValidateMany(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(o *RedisOptions) { o.Partitions = 64 })
	live := f.crowd(20)
	rotated, err := f.rotate(live[3])
	if err != nil {
		t.Fatal(err)
	}
	gone := f.login("gone")
	f.raw.Del(t.Context(), f.keys.user("gone"))
	broken := f.login("broken")
	f.raw.Del(t.Context(), f.keys.user("broken"))
	f.raw.Set(t.Context(), f.keys.user("broken"), "x", 0)
	old := live[5].Token()
	old.Generation = -2

	tests := []struct {
		name  string
		token session.Token
		want  error
	}{
		{"live", live[0].Token(), nil},
		{"ended", gone.Token(), session.ErrEnded},
		{"of another user's name", named(live[1].Token(), "somebody"), session.ErrEnded},
		{"unknown key type", broken.Token(), session.ErrUnavailable},
		{"live after that", live[2].Token(), nil},
		{"rotated", rotated.Token(), nil},
		{"superseded", old, session.ErrSuperseded},
		{"the same twice", live[0].Token(), nil},
	}
	tokens := make([]session.Token, len(tests))
	for i, tt := range tests {
		tokens[i] = tt.token
	}
	sessions, errs := f.ValidateMany(t.Context(), tokens)
	if len(sessions) != len(tests) || len(errs) != len(tests) {
		t.Fatalf("%d sessions and %d errors for %d tokens", len(sessions), len(errs), len(tests))
	}
	for i, tt := range tests {
		one, err := f.Validate(t.Context(), tt.token)
		switch {
		case !errors.Is(errs[i], tt.want) || (errs[i] == nil) != (tt.want == nil):
			t.Errorf("%s: %v, want %v", tt.name, errs[i], tt.want)
		case fmt.Sprint(sessions[i]) != fmt.Sprint(one) || (err == nil) != (errs[i] == nil):
			t.Errorf("%s: %+v (%v), Validate says %+v (%v)", tt.name, sessions[i], errs[i], one, err)
		}
	}
	if sessions, errs := f.ValidateMany(t.Context(), nil); len(sessions)+len(errs) != 0 {
		t.Errorf("no tokens: %v %v", sessions, errs)
	}
}

func named(t session.Token, user string) session.Token {
	t.UserID = user
	return t
}

// rotate refreshes the session and returns it with its next token.
func (f *fixture) rotate(s session.Session) (session.Session, error) {
	next, _, err := f.Refresh(f.Context(), s.Token(), f.op())
	return next, err
}

// One round trip carries a batch, however many partitions it is about; more than
// fits goes in parts, in order.
func TestValidateManyRoundTrips(t *testing.T) {
	t.Parallel()
	server := testenv.OwnRedis(t)
	f := openFixture(t, server.URL(), DefaultPrefix, func(o *RedisOptions) { o.Partitions = 64 })
	sessions := f.crowd(maxBatch + 44)
	tokens := make([]session.Token, len(sessions))
	for i := range sessions {
		tokens[i] = sessions[i].Token()
	}
	for _, tt := range []struct{ tokens, trips int }{{1, 1}, {100, 1}, {maxBatch, 1}, {maxBatch + 44, 2}} {
		before := f.trips()
		got, errs := f.ValidateMany(t.Context(), tokens[:tt.tokens])
		if n := f.trips() - before; n != tt.trips {
			t.Errorf("%d tokens took %d round trips, want %d", tt.tokens, n, tt.trips)
		}
		for i := range got {
			if errs[i] != nil || got[i].ID != sessions[i].ID || !got[i].ExpiresAt.Equal(sessions[i].ExpiresAt) {
				t.Fatalf("token %d of %d: %+v, %v", i, tt.tokens, got[i], errs[i])
			}
		}
	}
	f.wantAtRest()
}

// trips counts the round trips of lookups: each ends with an ECHO.
func (f *fixture) trips() (n int) {
	f.Helper()
	info, err := f.raw.Info(f.Context(), "commandstats").Result()
	if err != nil {
		f.Fatal(err)
	}
	if _, stats, found := strings.Cut(info, "cmdstat_echo:calls="); found {
		_, _ = fmt.Sscanf(stats, "%d", &n)
	}
	return n
}

// Batches and single questions that meet in the queue get their own answers.
func TestValidateManyAmongOthers(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	sessions := f.crowd(60)
	var wg sync.WaitGroup
	for worker := range 32 {
		wg.Go(func() {
			for i := range 20 {
				if worker%2 == 0 {
					if err := f.check(t.Context(), sessions[(worker*7+i)%len(sessions)]); err != nil {
						t.Error(err)
					}
					continue
				}
				first := (worker + i) % 30
				part := sessions[first : first+30]
				tokens := make([]session.Token, len(part))
				for i := range part {
					tokens[i] = part[i].Token()
				}
				got, errs := f.ValidateMany(t.Context(), tokens)
				for i := range part {
					if errs[i] != nil || !got[i].ExpiresAt.Equal(part[i].ExpiresAt) {
						t.Errorf("batch: %+v (%v), want that of %s", got[i], errs[i], part[i].ID)
					}
				}
			}
		})
	}
	wg.Wait()
	f.wantAtRest()
}

func TestValidateManyCannotSay(t *testing.T) {
	t.Parallel()
	server := testenv.OwnRedis(t)
	f := openFixture(t, server.URL(), DefaultPrefix, func(o *RedisOptions) { o.Timeout = time.Second })
	a, b := f.login("a"), f.login("b")
	tokens := []session.Token{a.Token(), b.Token()}
	wantAll := func(ctx context.Context, what string) {
		t.Helper()
		_, errs := f.ValidateMany(ctx, tokens)
		for i, err := range errs {
			if !errors.Is(err, session.ErrUnavailable) {
				t.Errorf("%s: token %d: %v, want ErrUnavailable", what, i, err)
			}
		}
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	wantAll(canceled, "nobody waits")
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	wantAll(t.Context(), "no Redis")
	f.wantAtRest()
}

// TestCheck: one round trip tells what Validate and Get tell in two.
func TestCheck(t *testing.T) {
	t.Parallel()
	own := testenv.OwnRedis(t)
	f := openFixture(t, own.URL(), DefaultPrefix, nil)
	s := f.create(session.Session{
		ID: session.NewID(f.Clock()), UserID: "42", ClientID: "shop", Scope: "read", AMR: []string{"pwd"},
		Device: session.Device{Name: "Ana's iPhone", Platform: "ios"}, IP: "203.0.113.7",
		UserAgent: strings.Repeat("Mozilla/5.0 ", 10),
	})
	s = f.refresh(s.Token())
	f.use(s)
	want, err := f.Get(t.Context(), "42", s.ID)
	if err != nil {
		t.Fatal(err)
	}
	before := f.trips()
	got, err := f.Check(t.Context(), s.Token())
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Check: %+v (%v), want %+v", got, err, want)
	}
	if n := f.trips() - before; n != 1 {
		t.Errorf("Check made %d round trips, want 1", n)
	}

	old := s.Token()
	next := f.refresh(old)
	f.refresh(next.Token())
	if _, err := f.Check(t.Context(), old); !errors.Is(err, session.ErrSuperseded) {
		t.Errorf("an old token: %v, want ErrSuperseded", err)
	}
	f.raw.HSet(t.Context(), f.keys.session("42", s.ID), "g", "x")
	if _, err := f.Check(t.Context(), old); !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("a generation that is none: %v, want ErrUnavailable", err)
	}
	f.raw.Del(t.Context(), f.keys.user("42"))
	if _, err := f.Check(t.Context(), old); !errors.Is(err, session.ErrEnded) {
		t.Errorf("without the user's key: %v, want ErrEnded", err)
	}
}
