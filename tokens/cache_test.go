package tokens

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"
	"sync"
	"testing"
)

func digestOf(i int) *digest {
	d := digest(sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i))))
	return &d
}

// entries counts what the cache holds.
func (c *cache) entries() int {
	if c == nil {
		return 0
	}
	n := 0
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		n += len(s.young) + len(s.old)
		s.mu.Unlock()
	}
	return n
}

func TestCacheNeverExceedsItsSize(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 2, 3, 10, 63, 64, 100, 1000, 4096, 5000} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			t.Parallel()
			c := newCache(size)
			most := 0
			for i := range 4 * (size + 10) {
				c.put(digestOf(i), &payload{})
				c.get(digestOf(i / 2)) // some are used again
				if i%97 == 0 {
					most = max(most, c.entries())
				}
			}
			most = max(most, c.entries())
			if most > size {
				t.Errorf("held %d entries, the size is %d", most, size)
			}
			if size >= 100 && most < size/4 {
				t.Errorf("held %d entries at most, the size is %d: half the room is wasted", most, size)
			}
		})
	}
}

func TestCacheKeepsWhatIsUsed(t *testing.T) {
	t.Parallel()
	c := newCache(1000)
	hot := &payload{}
	c.put(digestOf(-1), hot)
	for i := range 20000 {
		c.put(digestOf(i), &payload{})
		if i%5 == 0 && c.get(digestOf(-1)) != hot {
			t.Fatalf("the entry in use was evicted after %d others", i)
		}
	}
	if c.get(digestOf(0)) != nil {
		t.Error("an entry never used again is still there")
	}
}

func TestCacheReturnsWhatWasPut(t *testing.T) {
	t.Parallel()
	c := newCache(4096)
	put := make([]*payload, 500)
	for i := range put {
		put[i] = &payload{}
		c.put(digestOf(i), put[i])
	}
	for i := range put {
		if got := c.get(digestOf(i)); got != put[i] {
			t.Fatalf("entry %d is %p, want %p", i, got, put[i])
		}
	}
	if c.get(digestOf(len(put))) != nil {
		t.Error("an entry that was never put was found")
	}
}

func TestCacheConcurrently(t *testing.T) {
	t.Parallel()
	c := newCache(256)
	stored := make([]payload, 400)
	for i := range stored {
		stored[i].token.Generation = int64(i)
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 5000 {
				n := (i*7 + g*31) % len(stored)
				if p := c.get(digestOf(n)); p == nil {
					c.put(digestOf(n), &stored[n])
				} else if p.token.Generation != int64(n) {
					t.Errorf("asked for %d, got %d", n, p.token.Generation)
					return
				}
			}
		})
	}
	wg.Wait()
	if n := c.entries(); n > 256 {
		t.Errorf("holds %d entries, the size is 256", n)
	}
}
