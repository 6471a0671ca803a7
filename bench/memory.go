package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/sessiongate/sessiongate/internal/devstack"
	"github.com/sessiongate/sessiongate/session"
	"github.com/sessiongate/sessiongate/store"
)

// memory makes sessions as clients do, five a user, every field filled, each
// refreshed once, and prints what one costs in Redis: hash, TTL, its place in the
// user's index, its share of the texts. The events have been flushed and the
// memos of the logins are gone.
func memory(ctx context.Context, sessions int) (float64, error) {
	dir, err := os.MkdirTemp("", "sessiongate-bench-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	server, err := devstack.StartRedis(ctx, devstack.RedisOptions{Dir: dir, Throwaway: true})
	if err != nil {
		return 0, err
	}
	defer server.Stop()
	r, err := store.OpenRedis(ctx, store.RedisOptions{
		URL: server.URL(), Timeout: 5 * time.Second, Partitions: 1, Instance: "bench", ClaimIdle: time.Minute,
		Policy: session.Policy{
			TTL: 30 * time.Minute, Grace: 30 * time.Second, Absolute: 30 * 24 * time.Hour, MaxPerUser: 100,
		},
	})
	if err != nil {
		return 0, err
	}
	defer r.Close()
	before, err := r.Server(ctx)
	if err != nil {
		return 0, err
	}
	const batch = 1000
	for i := range sessions {
		if err := signIn(ctx, r, i); err != nil {
			return 0, err
		}
		if i%batch == batch-1 {
			if err := drain(ctx, r); err != nil {
				return 0, err
			}
		}
	}
	if err := tidy(ctx, r, server.Addr()); err != nil {
		return 0, err
	}
	after, err := r.Server(ctx)
	if err != nil {
		return 0, err
	}
	each := float64(after.UsedMemory-before.UsedMemory) / float64(sessions)
	fmt.Printf("%d sessions, five a user, each refreshed once: %.0f bytes a session (used_memory %d, then %d)\n",
		sessions, each, before.UsedMemory, after.UsedMemory)
	return each, nil
}

// The user agents of the most common clients: long ones, as they are.
var agents = []string{
	"Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.1 Mobile/15E148 Safari/604.1",
	"Mozilla/5.0 (Linux; Android 16; Pixel 10) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36",
	"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
	"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.1 Safari/605.1.15",
	"Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
}

func signIn(ctx context.Context, r *store.Redis, i int) error {
	now := r.Clock()
	op := func() session.Event {
		return session.Event{ID: session.NewEventID(now), CreatedAt: now, Origin: session.Origin{IP: "203.0.113.7"}}
	}
	s, _, err := r.Create(ctx, session.Session{
		ID: session.NewID(now), UserID: "u" + strconv.Itoa(100_000+i/5), ClientID: "mobile", Scope: "read write",
		AMR: []string{"pwd"}, Username: "ana" + strconv.Itoa(i/5) + "@example.com", Roles: []string{"member"},
		Device: session.Device{Name: "Ana's iPhone", Platform: "ios", ID: uuid.NewString()},
		IP:     "203.0.113." + strconv.Itoa(i%250), Country: "DE", ASN: 64500, UserAgent: agents[i%len(agents)],
	}, op())
	if err != nil {
		return err
	}
	_, _, err = r.Refresh(ctx, s.Token(), op())
	return err
}

// drain does with the events what the flush does, but for Postgres.
func drain(ctx context.Context, r *store.Redis) error {
	for {
		entries, err := r.ReadEvents(ctx, 0, 1000)
		if err != nil || len(entries) == 0 {
			return err
		}
		ids := make([]string, len(entries))
		for i, e := range entries {
			ids[i] = e.StreamID
		}
		if err := r.AckEvents(ctx, 0, ids); err != nil {
			return err
		}
	}
}

// tidy removes what is gone a minute later anyway.
func tidy(ctx context.Context, r *store.Redis, addr string) error {
	if err := drain(ctx, r); err != nil {
		return err
	}
	raw := redis.NewClient(&redis.Options{Addr: addr})
	defer raw.Close()
	it := raw.Scan(ctx, 0, "sg:{0}:op:*", 1000).Iterator()
	for it.Next(ctx) {
		if err := raw.Unlink(ctx, it.Val()).Err(); err != nil {
			return err
		}
	}
	return it.Err()
}
