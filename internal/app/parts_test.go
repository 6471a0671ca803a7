package app

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessiongate/sessiongate/session"
	"github.com/sessiongate/sessiongate/store"
)

func secretHashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

func TestStack(t *testing.T) {
	var order []string
	var s stack
	for _, name := range []string{"a", "b", "c"} {
		s.push(name, func(context.Context) error {
			order = append(order, name)
			if name == "b" {
				return session.ErrUnavailable
			}
			return nil
		})
	}
	err := s.unwind(t.Context())
	if !slices.Equal(order, []string{"c", "b", "a"}) {
		t.Errorf("undone in the order %v", order)
	}
	if !errors.Is(err, session.ErrUnavailable) || !strings.Contains(err.Error(), "app: stop b: ") {
		t.Errorf("error %v", err)
	}
}

// tables is a Postgres whose schema can be brought up to date from the given
// attempt on.
type tables struct {
	tries, from int
	err         error
}

func (p *tables) Migrate(context.Context) error {
	if p.tries++; p.tries < p.from {
		return p.err
	}
	return nil
}

func (p *tables) MigrationPending(context.Context) (bool, error) {
	p.tries++
	return p.tries < p.from, p.err
}

func TestSchema(t *testing.T) {
	tests := []struct {
		name    string
		migrate bool
		err     error
		log     string
	}{
		{"Postgres is away", true, session.ErrUnavailable, "trying on"},
		{"somebody else migrates", false, nil, "run sessiongate migrate"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				db, done := &tables{from: 4, err: tt.err}, 0
				s := &schema{
					db: db, migrate: tt.migrate, log: slog.New(slog.NewTextHandler(&log, nil)), retry: time.Second,
					done: func(context.Context) { done++ },
				}
				began := time.Now()
				s.run(t.Context())
				if !s.current.Load() || db.tries != 4 || done != 1 || time.Since(began) != 3*time.Second {
					t.Errorf("current %t after %d tries in %v, done %d times", s.current.Load(), db.tries, time.Since(began), done)
				}
				if n := strings.Count(log.String(), "level=WARN"); n != 1 || !strings.Contains(log.String(), tt.log) {
					t.Errorf("log: %s", log.String())
				}
			})
		})
	}
}

func TestSchemaStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := &schema{db: &tables{from: 1 << 30}, log: slog.New(slog.DiscardHandler), retry: time.Hour}
		stopped := make(chan struct{})
		go func() { s.run(ctx); close(stopped) }()
		synctest.Wait()
		cancel()
		<-stopped
		if s.current.Load() {
			t.Error("a schema that is out of date is taken for current")
		}
	})
}

func TestParseNetworks(t *testing.T) {
	got, err := parseNetworks([]string{"10.0.0.0/8", "192.0.2.1", "2001:db8::1", "::/0"})
	if want := "[10.0.0.0/8 192.0.2.1/32 2001:db8::1/128 ::/0]"; err != nil || fmt.Sprint(got) != want {
		t.Errorf("%v, %v, want %s", got, err, want)
	}
}

func TestCantSay(t *testing.T) {
	if err := cantSay(fmt.Errorf("x: %w", store.ErrSchema)); !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("without our tables: %v", err)
	}
	bug := errors.New("a bug")
	if got := cantSay(bug); got != bug || cantSay(nil) != nil {
		t.Errorf("another error becomes %v", got)
	}
}
