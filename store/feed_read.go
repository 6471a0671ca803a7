package store

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessiongate/sessiongate/session"
)

// Read returns what follows the cursor, a bounded stretch of it, and waits up to
// the given time for something to follow. "" is the cursor of now: the answer is
// empty and comes at once. A cursor from which entries have been lost, of another
// life of the data, or that nobody ever made, is answered with Reset at once.
//
// The error wraps session.ErrUnavailable while Redis can't be followed, also where
// that begins during the wait: nobody must take silence for peace. It is the
// context's when that is done first. The caller has joined.
func (f *Feed) Read(ctx context.Context, cursor string, wait time.Duration) (session.Revocations, error) {
	f.begin.Do(func() { f.done.Go(f.follow) })
	at, malformed := parsePosition(cursor, f.redis.Partitions())
	over := time.NewTimer(wait)
	defer over.Stop()
	for {
		now, changed, err := f.await(ctx)
		if err != nil {
			return session.Revocations{}, err
		}
		if cursor == "" {
			return session.Revocations{Cursor: now.cursor()}, nil
		}
		if malformed != nil || at.lives != now.lives {
			return f.reset(now), nil
		}
		page, err := f.since(ctx, at)
		if errors.Is(err, errFeedGap) {
			return f.reset(now), nil
		}
		if err != nil || len(page.List) > 0 {
			return page, err
		}
		select {
		case <-changed:
		case <-over.C:
			return page, nil
		case <-ctx.Done():
			return session.Revocations{}, ctx.Err()
		}
	}
}

func (f *Feed) reset(now position) session.Revocations {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stats.Resets++
	return session.Revocations{Cursor: now.cursor(), Reset: true}
}

// await returns where the shelves end, and what is closed once anything changes.
// At the very start it waits for the first look at the feed.
func (f *Feed) await(ctx context.Context) (now position, changed <-chan struct{}, err error) {
	ctx, cancel := f.redis.bounded(ctx)
	defer cancel()
	for {
		now, changed, err = f.state()
		if !errors.Is(err, errFeedStarting) {
			return now, changed, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return position{}, nil, err
		}
	}
}

func (f *Feed) state() (now position, changed <-chan struct{}, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now = position{lives: f.lives, places: make([]place, len(f.shelves))}
	for p := range f.shelves {
		now.places[p] = f.shelves[p].head()
	}
	return now, f.changed, f.err
}

// since returns what follows the position: from memory, but for partitions in
// which it is further back than that; those come first, and from Redis. It returns
// errFeedGap where something in between is lost.
func (f *Feed) since(ctx context.Context, at position) (session.Revocations, error) {
	found := make([][]feedEntry, len(at.places))
	var old []int
	beyond := false
	f.mu.Lock()
	for p := range f.shelves {
		entries, where := f.shelves[p].after(at.places[p])
		switch where {
		case within:
			found[p] = entries
		case behind:
			old = append(old, p)
		case ahead:
			beyond = true
		case apart:
			f.mu.Unlock()
			return session.Revocations{}, errFeedGap
		}
	}
	f.mu.Unlock()
	if len(old) > 0 {
		var err error
		if found, err = f.fromRedis(ctx, at, old); err != nil {
			return session.Revocations{}, err
		}
	}
	page := f.page(at, found)
	if beyond && len(page.List) == 0 {
		return page, f.exists(ctx, at)
	}
	return page, nil
}

// fromRedis returns what follows the position in the given partitions. One round
// trip.
func (f *Feed) fromRedis(ctx context.Context, at position, partitions []int) ([][]feedEntry, error) {
	ctx, cancel := f.redis.bounded(ctx)
	defer cancel()
	replies := make([]*redis.XMessageSliceCmd, len(partitions))
	_, err := f.redis.db.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, p := range partitions {
			replies[i] = pipe.XRangeN(ctx, f.redis.keys.feed(p), at.places[p].id.String(), "+", int64(f.opt.Page)+1)
		}
		return nil
	})
	if err != nil {
		return nil, wrap("read the feed", err)
	}
	found := make([][]feedEntry, len(at.places))
	for i, p := range partitions {
		entries, err := decodeFeed(replies[i].Val())
		if err != nil {
			return nil, err
		}
		if found[p], err = follows(at.places[p], entries); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// follows takes the entry at the place itself off, if it is still there, and
// checks that the others follow it, and that there are any: the caller knows it.
func follows(at place, entries []feedEntry) ([]feedEntry, error) {
	if len(entries) > 0 && entries[0].id == at.id {
		if entries[0].n != at.n {
			return nil, errFeedGap
		}
		entries = entries[1:]
	}
	for i, e := range entries {
		if e.n != at.n+1+uint64(i) {
			return nil, errFeedGap
		}
	}
	if len(entries) == 0 {
		return nil, errFeedGap
	}
	return entries, nil
}

// exists returns errFeedGap unless Redis has the position, or one beyond it. A
// gateway may be asked for one that it has not heard of yet, since another one was
// a millisecond ahead.
func (f *Feed) exists(ctx context.Context, at position) error {
	now, err := f.redis.feedPosition(ctx, f.redis.db)
	if err != nil {
		return err
	}
	if now.lives != at.lives || !leadsTo(at.places, now.places) {
		return errFeedGap
	}
	return nil
}

// page makes the answer: what was found, up to the longest that an answer may be.
func (f *Feed) page(at position, found [][]feedEntry) session.Revocations {
	at.places = slices.Clone(at.places)
	var page session.Revocations
	for p, entries := range found {
		for _, e := range entries {
			if len(page.List) == f.opt.Page {
				break
			}
			at.places[p] = e.place
			r := e.revocation
			r.Cursor = at.cursor()
			page.List = append(page.List, r)
		}
	}
	page.Cursor = at.cursor()
	return page
}
