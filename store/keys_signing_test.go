package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/session"
)

func signingKey(id string, from time.Time) session.SigningKey {
	return session.SigningKey{
		ID: id, Algorithm: "EdDSA", PublishedAt: from.Add(-time.Hour), SignsFrom: from, ChangedAt: from.Add(-time.Hour),
		Sealed: []byte("\x00\x01sealed " + id),
	}
}

func TestSigningKeys(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	now := time.Now().UTC().Truncate(time.Millisecond)
	store := func(keys ...session.SigningKey) {
		t.Helper()
		err := l.ChangeSigningKeys(t.Context(), func([]session.SigningKey) ([]session.SigningKey, error) { return keys, nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	expect := func(want ...session.SigningKey) {
		t.Helper()
		got, err := l.SigningKeys(t.Context())
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got\n%+v (%v), want\n%+v", got, err, want)
		}
	}
	expect()
	a, b := signingKey("a", now), signingKey("b", now.Add(time.Hour))
	store(b, a)
	expect(a, b)

	a.SignsUntil, a.VerifiesUntil, a.ChangedAt = b.SignsFrom, b.SignsFrom.Add(time.Minute), now
	store(a)
	expect(a, b)
	a.SignsUntil, a.VerifiesUntil = time.Time{}, time.Time{}
	store(signingKey("a", now.Add(time.Minute)), a) // the last word counts
	expect(a, b)

	// Destroyed, and forgotten after a while.
	old := signingKey("old", now.AddDate(0, 0, -200))
	old.SignsUntil, old.VerifiesUntil = now.AddDate(0, 0, -170), now.AddDate(0, 0, -170)
	store(old)
	expect(old, a, b)
	old.Sealed = nil
	store(old)
	expect(a, b)

	refused := errors.New("no")
	err := l.ChangeSigningKeys(t.Context(), func(keys []session.SigningKey) ([]session.SigningKey, error) {
		return []session.SigningKey{signingKey("c", now)}, refused
	})
	if err != refused {
		t.Errorf("error %v", err)
	}
	expect(a, b)
}

// Of any number of gateways that find the same thing due, one does it.
func TestChangeSigningKeysAlone(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	now := time.Now().UTC().Truncate(time.Millisecond)
	var group sync.WaitGroup
	for i := range 6 {
		group.Go(func() {
			err := l.ChangeSigningKeys(t.Context(), func(keys []session.SigningKey) ([]session.SigningKey, error) {
				if len(keys) > 0 {
					return nil, nil
				}
				return []session.SigningKey{signingKey(fmt.Sprint(i), now)}, nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if keys, err := l.SigningKeys(t.Context()); err != nil || len(keys) != 1 {
		t.Errorf("%d keys, %v", len(keys), err)
	}
}

func TestSigningKeysWithoutPostgres(t *testing.T) {
	t.Parallel()
	p, err := OpenPostgres(PostgresOptions{URL: "postgres://127.0.0.1:1/x?sslmode=disable"})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, err := p.SigningKeys(t.Context()); !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
	err = p.ChangeSigningKeys(t.Context(), func([]session.SigningKey) ([]session.SigningKey, error) {
		t.Error("called without keys")
		return nil, nil
	})
	if !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
}

func TestMirroredKeys(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	for _, want := range []map[string]string{{}, {"a": "1", "b": "2"}, {"c": "3"}, {}} {
		if len(want) > 0 || f.raw.Exists(t.Context(), f.keys.signingKeys()).Val() == 1 {
			if err := f.MirrorKeys(t.Context(), want); err != nil {
				t.Fatal(err)
			}
		}
		got, err := f.MirroredKeys(t.Context())
		if err != nil || !maps.Equal(got, want) {
			t.Errorf("%v (%v), want %v", got, err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.MirroredKeys(ctx); !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
	if err := f.MirrorKeys(ctx, nil); !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
}
