package tokens

import (
	"crypto/sha256"
	"sync"
)

// digest names a token in the cache: SHA-256 of the whole of it, signature
// included, so that no other text can be taken for it.
type digest [sha256.Size]byte

// cache remembers payloads whose signature was verified. Only those go in, so a
// flood of forged tokens pushes nothing out.
//
// Each shard keeps two generations. New and used entries are in the young one;
// when that is full it becomes the old one, and what was in the old one, not
// used since, is gone. So both eviction and its bound cost nothing per lookup.
type cache struct {
	shards []shard // a power of two
}

type shard struct {
	mu         sync.Mutex
	young, old map[digest]*payload
	limit      int // entries of one generation

	_ [32]byte // a cache line each
}

const maxShards = 64

// newCache returns a cache of at most size entries; nil, which is a cache that
// holds nothing, for less than 2.
func newCache(size int) *cache {
	if size < 2 {
		return nil
	}
	shards := 1
	for shards < maxShards && size >= 64*shards {
		shards *= 2
	}
	c := &cache{shards: make([]shard, shards)}
	for i := range c.shards {
		c.shards[i].limit = size / shards / 2
		c.shards[i].young = make(map[digest]*payload)
		c.shards[i].old = make(map[digest]*payload)
	}
	return c
}

func (c *cache) shard(d *digest) *shard { return &c.shards[int(d[0])&(len(c.shards)-1)] }

// get returns the payload, which must not be changed, or nil.
func (c *cache) get(d *digest) *payload {
	if c == nil {
		return nil
	}
	s := c.shard(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	if p, ok := s.young[*d]; ok {
		return p
	}
	p, ok := s.old[*d]
	if ok {
		s.add(d, p)
	}
	return p
}

func (c *cache) put(d *digest, p *payload) {
	if c == nil {
		return
	}
	s := c.shard(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(d, p)
}

func (s *shard) add(d *digest, p *payload) {
	if len(s.young) >= s.limit {
		s.young, s.old = s.old, s.young
		clear(s.young)
	}
	s.young[*d] = p
}
