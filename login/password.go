package login

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"

	"github.com/sessiongate/sessiongate/session"
)

// MaxPasswordBytes is the longest password. A longer one is no error: it is
// wrong, after the same work as any other.
const MaxPasswordBytes = 1024

// ErrMalformedHash: a stored hash is in no form that Hasher reads, or would cost
// more than it may. Its owner can't sign in until it is replaced.
var ErrMalformedHash = errors.New("login: malformed password hash")

// HasherOptions is the cost of a password hash and how many may be computed at
// once. Each one holds MemoryKiB of memory and Parallelism cores.
type HasherOptions struct {
	MemoryKiB   uint32 // argon2id's m
	Iterations  uint32 // argon2id's t
	Parallelism uint8  // argon2id's p
	// Concurrency is how many hashes may be under way at once. 0: one less than
	// there are cores, at least 1, which leaves a core to everything else.
	Concurrency int
	// MaxWait is how long a hash waits for its turn before it is refused.
	MaxWait time.Duration
}

// Hasher computes and verifies password hashes: it writes argon2id in the PHC
// string format, and reads that and bcrypt. No more than Concurrency hashes are
// under way at once. It is safe for concurrent use.
type Hasher struct {
	want    params
	maxWait time.Duration
	slots   chan struct{}
	dummy   phc // of a password that nobody has

	// The two functions that cost something. Tests count their calls.
	argon2id      func(password, salt []byte, time, memory uint32, threads uint8, keyLen uint32) []byte
	compareBcrypt func(hash, password []byte) error
}

// NewHasher returns a hasher. It refuses costs beyond those it would read.
func NewHasher(o HasherOptions) (*Hasher, error) {
	want := params{memory: o.MemoryKiB, time: o.Iterations, threads: o.Parallelism}
	if why := want.check(); why != "" {
		return nil, errors.New("login: password hashing: " + why)
	}
	if o.Concurrency < 0 || o.MaxWait < 0 {
		return nil, errors.New("login: password hashing: concurrency and wait must not be negative")
	}
	if o.Concurrency == 0 {
		o.Concurrency = max(runtime.GOMAXPROCS(0)-1, 1)
	}
	return &Hasher{
		want:          want,
		maxWait:       o.MaxWait,
		slots:         make(chan struct{}, o.Concurrency),
		dummy:         phc{params: want, salt: random(saltBytes), key: random(keyBytes)},
		argon2id:      argon2.IDKey,
		compareBcrypt: bcrypt.CompareHashAndPassword,
	}, nil
}

// Verify says whether hash is that of the password. It computes one hash
// whatever it is given. No password has the hash "": that is how one verifies
// for a user who isn't there. An empty password is never right.
//
// The error is session.ErrOverloaded if no hash could be computed in time, and
// ErrMalformedHash, with the work done, if the stored hash is at fault.
func (h *Hasher) Verify(ctx context.Context, hash, password string) (bool, error) {
	if err := h.acquire(ctx); err != nil {
		return false, err
	}
	defer h.release()

	possible := password != "" && len(password) <= MaxPasswordBytes
	if !possible {
		password = "" // bounds the work
	}
	if isBcrypt(hash) {
		err := h.compareBcrypt([]byte(hash), []byte(password))
		return possible && err == nil, nil
	}
	stored, err := parsePHC(hash)
	if err != nil {
		stored, possible = h.dummy, false
	}
	matches := h.matches(&stored, password) && possible
	if hash == "" {
		err = nil
	}
	return matches, err
}

// Hash returns the hash of a new password. Empty passwords, and those longer
// than MaxPasswordBytes, are refused. It waits for its turn as Verify does.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	if password == "" || len(password) > MaxPasswordBytes {
		return "", fmt.Errorf("login: a password has 1 to %d bytes, this one has %d", MaxPasswordBytes, len(password))
	}
	if err := h.acquire(ctx); err != nil {
		return "", err
	}
	defer h.release()
	return h.hash(password), nil
}

// NeedsRehash says whether the hash is of another kind or cost than this hasher
// writes, in either direction: the configuration decides.
func (h *Hasher) NeedsRehash(hash string) bool {
	stored, err := parsePHC(hash)
	return err != nil || stored.params != h.want || len(stored.salt) < saltBytes || len(stored.key) < keyBytes
}

// Upgrade returns the hash to store in place of one that has just been verified
// with this password; "" if there is nothing to replace. It never waits: while
// all slots are taken it returns session.ErrOverloaded, and the next login will
// do.
func (h *Hasher) Upgrade(hash, password string) (string, error) {
	// bcrypt looked at no more than the first 72 bytes, so the rest is not known
	// to be right.
	if !h.NeedsRehash(hash) || isBcrypt(hash) && len(password) > bcryptBytes {
		return "", nil
	}
	select {
	case h.slots <- struct{}{}:
		defer h.release()
		return h.hash(password), nil
	default:
		return "", fmt.Errorf("login: upgrade password hash: %w", session.ErrOverloaded)
	}
}

// hash needs a slot, as does matches.
func (h *Hasher) hash(password string) string {
	p := phc{params: h.want, salt: random(saltBytes)}
	p.key = h.argon2id([]byte(password), p.salt, p.time, p.memory, p.threads, keyBytes)
	return p.String()
}

func (h *Hasher) matches(p *phc, password string) bool {
	key := h.argon2id([]byte(password), p.salt, p.time, p.memory, p.threads, uint32(len(p.key)))
	return subtle.ConstantTimeCompare(key, p.key) == 1
}

// acquire takes a slot, first come, first served. A request whose time is up
// gets no slot, even if there is one.
func (h *Hasher) acquire(ctx context.Context) error {
	if ctx.Err() != nil {
		return overloaded(context.Cause(ctx))
	}
	select {
	case h.slots <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(h.maxWait)
	defer timer.Stop()
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-timer.C:
		return overloaded(fmt.Errorf("no turn within %v", h.maxWait))
	case <-ctx.Done():
		return overloaded(context.Cause(ctx))
	}
}

func (h *Hasher) release() { <-h.slots }

func overloaded(cause error) error {
	return fmt.Errorf("login: wait to hash a password: %w: %w", session.ErrOverloaded, cause)
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails (crypto/rand)
	return b
}
