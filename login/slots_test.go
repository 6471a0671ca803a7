package login

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessiongate/sessiongate/session"
)

func TestDefaultConcurrencyLeavesACore(t *testing.T) {
	t.Parallel()
	o := cheap
	o.Concurrency = 0
	h, _ := newHasher(t, o)
	if n := cap(h.slots); n < 1 {
		t.Errorf("%d slots", n)
	}
}

func TestConcurrencyIsBounded(t *testing.T) {
	t.Parallel()
	o := cheap
	o.Concurrency, o.MaxWait = 2, time.Minute
	h, _ := newHasher(t, o)
	var now, most atomic.Int64
	compute := h.argon2id
	h.argon2id = func(password, salt []byte, time, memory uint32, threads uint8, keyLen uint32) []byte {
		n := now.Add(1)
		defer now.Add(-1)
		for {
			m := most.Load()
			if n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		return compute(password, salt, time, memory, threads, keyLen)
	}
	var wg sync.WaitGroup
	for i := range 24 {
		wg.Go(func() {
			var err error
			if i%2 == 0 {
				_, err = h.Verify(t.Context(), "", "password")
			} else {
				_, err = h.Hash(t.Context(), "password")
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if m := most.Load(); m > 2 {
		t.Errorf("%d hashes at once, want at most 2", m)
	}
	if len(h.slots) != 0 {
		t.Errorf("%d slots were not given back", len(h.slots))
	}
}

func TestWaitForASlot(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		freeAt   time.Duration // 0: never
		cancelAt time.Duration // 0: never
		timeout  time.Duration // of the context; 0: none
		want     error
		after    time.Duration
	}{
		{"free in time", time.Second, 0, 0, nil, time.Second},
		{"never free", 0, 0, 0, session.ErrOverloaded, 2 * time.Second},
		{"free too late", 3 * time.Second, 0, 0, session.ErrOverloaded, 2 * time.Second},
		{"the caller leaves", 0, 700 * time.Millisecond, 0, context.Canceled, 700 * time.Millisecond},
		{"the request's time is up", 0, 0, 300 * time.Millisecond, context.DeadlineExceeded, 300 * time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				o := cheap
				o.Concurrency, o.MaxWait = 1, 2*time.Second
				h, count := newHasher(t, o)
				h.slots <- struct{}{}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if tt.timeout > 0 {
					ctx, cancel = context.WithTimeout(ctx, tt.timeout)
					defer cancel()
				}
				if tt.freeAt > 0 {
					defer time.AfterFunc(tt.freeAt, h.release).Stop()
				}
				if tt.cancelAt > 0 {
					defer time.AfterFunc(tt.cancelAt, cancel).Stop()
				}
				start := time.Now()
				_, err := h.Verify(ctx, "", "password")
				if took := time.Since(start); took != tt.after {
					t.Errorf("took %v, want %v", took, tt.after)
				}
				checkWait(t, err, tt.want, count.total())
			})
		})
	}
}

func checkWait(t *testing.T, err, want error, hashes int64) {
	t.Helper()
	if want == nil {
		if err != nil || hashes != 1 {
			t.Errorf("error is %v after %d hashes", err, hashes)
		}
		return
	}
	if !errors.Is(err, want) || !errors.Is(err, session.ErrOverloaded) {
		t.Errorf("error is %v, want ErrOverloaded and %v", err, want)
	}
	if hashes != 0 {
		t.Errorf("%d hashes were computed", hashes)
	}
}

func TestNoSlotForADeadRequest(t *testing.T) {
	t.Parallel()
	h, count := newHasher(t, cheap)
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	cancel(gone)
	_, err := h.Verify(ctx, "", "password")
	checkWait(t, err, gone, count.total())
	if _, err := h.Hash(ctx, "password"); !errors.Is(err, session.ErrOverloaded) {
		t.Errorf("Hash: error is %v", err)
	}
}

func TestUpgradeNeverWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := cheap
		o.Concurrency, o.MaxWait = 1, time.Hour
		h, count := newHasher(t, o)
		h.slots <- struct{}{}
		start := time.Now()
		hash, err := h.Upgrade(bcryptOf(t, "2b", "password"), "password")
		if hash != "" || !errors.Is(err, session.ErrOverloaded) || count.total() != 0 || time.Since(start) != 0 {
			t.Errorf("got %q, %v after %v and %d hashes", hash, err, time.Since(start), count.total())
		}
	})
}
