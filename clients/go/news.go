package sessiongate

import (
	"maps"
	"slices"
	"sync"
)

// news hands changes to those who want to know, in order, and lets nobody wait
// who tells them.
type news struct {
	mu        sync.Mutex
	listeners map[int]func(Snapshot)
	next      int
	waiting   []Snapshot
	handing   bool
}

func (n *news) subscribe(f func(Snapshot)) func() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners == nil {
		n.listeners = map[int]func(Snapshot){}
	}
	id := n.next
	n.next++
	n.listeners[id] = f
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.listeners, id)
	}
}

// maxNews bounds what waits for a listener that takes its time. Beyond it the
// oldest is left out: the last one is what there is.
const maxNews = 64

func (n *news) tell(s Snapshot) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.listeners) == 0 {
		return
	}
	n.waiting = append(n.waiting, s)
	if len(n.waiting) > maxNews {
		n.waiting = slices.Delete(n.waiting, 0, 1)
	}
	if !n.handing {
		n.handing = true
		go n.hand()
	}
}

func (n *news) hand() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for len(n.waiting) > 0 {
		s := n.waiting[0]
		n.waiting = n.waiting[1:]
		listeners := slices.Sorted(maps.Keys(n.listeners))
		for _, id := range listeners {
			f := n.listeners[id]
			if f == nil {
				continue // unsubscribed meanwhile
			}
			n.mu.Unlock()
			f(s)
			n.mu.Lock()
		}
	}
	n.handing = false
}
