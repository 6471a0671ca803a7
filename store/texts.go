package store

import "sync"

// textCache remembers the texts behind references. They never change, since a
// reference is the digest of its text; so a bounded map that starts afresh when
// it is full is all it takes.
type textCache struct {
	mu sync.RWMutex
	m  map[string]string
}

const maxCachedTexts = 4096

func (c *textCache) get(ref string) (string, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	s, ok := c.m[ref]
	return s, ok
}

func (c *textCache) put(ref, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil || len(c.m) >= maxCachedTexts {
		c.m = make(map[string]string)
	}
	c.m[ref] = text
}
