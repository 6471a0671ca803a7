package login

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// cheap is a cost that tests can pay.
var cheap = HasherOptions{MemoryKiB: 64, Iterations: 1, Parallelism: 1, Concurrency: 4, MaxWait: time.Second}

// counter counts the hashes that a hasher computes, and what they cost.
type counter struct {
	argon2id, bcrypt atomic.Int64
	last             atomic.Pointer[params]
	keyLen           atomic.Uint32
}

func (c *counter) total() int64 { return c.argon2id.Load() + c.bcrypt.Load() }

// newHasher returns a hasher of the given cost and the counter in it.
func newHasher(tb testing.TB, o HasherOptions) (*Hasher, *counter) {
	tb.Helper()
	h, err := NewHasher(o)
	if err != nil {
		tb.Fatal(err)
	}
	c := &counter{}
	h.argon2id = func(password, salt []byte, time, memory uint32, threads uint8, keyLen uint32) []byte {
		c.argon2id.Add(1)
		c.last.Store(&params{memory: memory, time: time, threads: threads})
		c.keyLen.Store(keyLen)
		return argon2.IDKey(password, salt, time, memory, threads, keyLen)
	}
	h.compareBcrypt = func(hash, password []byte) error {
		c.bcrypt.Add(1)
		return bcrypt.CompareHashAndPassword(hash, password)
	}
	return h, c
}

// hashOf returns the argon2id hash of the password at the given cost.
func hashOf(tb testing.TB, o HasherOptions, password string) string {
	tb.Helper()
	h, _ := newHasher(tb, o)
	hash, err := h.Hash(tb.Context(), password)
	if err != nil {
		tb.Fatal(err)
	}
	return hash
}

// bcryptOf returns the bcrypt hash of the password, under the given name of the
// algorithm.
func bcryptOf(tb testing.TB, name, password string) string {
	tb.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		tb.Fatal(err)
	}
	return "$" + name + string(hash[3:])
}

func TestVerify(t *testing.T) {
	t.Parallel()
	const password = "correct horse"
	argon := hashOf(t, cheap, password)
	long := strings.Repeat("p", MaxPasswordBytes)
	emptyHash := func() string { // what a careless importer might have made
		h, _ := newHasher(t, cheap)
		return h.hash("")
	}()
	tests := []struct {
		name, hash, password string
		want                 bool
		wantErr              error
	}{
		{"argon2id, right", argon, password, true, nil},
		{"argon2id, wrong", argon, "correct hors", false, nil},
		{"argon2id, in another case", argon, "Correct horse", false, nil},
		{"argon2id, with a space after it", argon, password + " ", false, nil},
		{"argon2id, with NUL after it", argon, password + "\x00", false, nil},
		{"argon2id, empty", argon, "", false, nil},
		{"the longest password", hashOf(t, cheap, long), long, true, nil},
		{"one byte too long", hashOf(t, cheap, long), long + "p", false, nil},
		{"a megabyte", argon, strings.Repeat("p", 1<<20), false, nil},
		{"not UTF-8", hashOf(t, cheap, "\xff\xfe"), "\xff\xfe", true, nil},
		{"the hash of the empty password", emptyHash, "", false, nil},
		{"bcrypt of the empty password", bcryptOf(t, "2a", ""), "", false, nil},
		{"bcrypt of the empty password, too long a password", bcryptOf(t, "2a", ""), long + "p", false, nil},
		{"$2a$", bcryptOf(t, "2a", password), password, true, nil},
		{"$2b$", bcryptOf(t, "2b", password), password, true, nil},
		{"$2y$", bcryptOf(t, "2y", password), password, true, nil},
		{"$2y$, wrong", bcryptOf(t, "2y", password), "wrong", false, nil},
		{"no hash", "", password, false, nil},
		{"no hash, no password", "", "", false, nil},
		{"$2x$", bcryptOf(t, "2x", password), password, false, ErrMalformedHash},
		{"plain text", password, password, false, ErrMalformedHash},
		{"argon2i", strings.Replace(argon, "argon2id", "argon2i", 1), password, false, ErrMalformedHash},
		{"too dear", strings.Replace(argon, "m=64", "m=4194304", 1), password, false, ErrMalformedHash},
		{"bcrypt, too dear", strings.Replace(bcryptOf(t, "2a", password), "$04$", "$31$", 1), password, false, ErrMalformedHash},
		{"bcrypt, not base64", bcryptOf(t, "2a", password)[:59] + "!", password, false, ErrMalformedHash},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h, count := newHasher(t, cheap)
			got, err := h.Verify(t.Context(), tt.hash, tt.password)
			if got != tt.want || !errors.Is(err, tt.wantErr) {
				t.Errorf("got %v, %v, want %v, %v", got, err, tt.want, tt.wantErr)
			}
			if n := count.total(); n != 1 {
				t.Errorf("%d hashes were computed, want 1", n)
			}
			if err != nil && tt.hash != "" && strings.Contains(err.Error(), tt.hash) {
				t.Errorf("the error quotes the hash: %v", err)
			}
		})
	}
}

// Hashes that others made.
func TestVerifyForeignHashes(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, hash, password string }{
		{"argon2's reference", "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", "password"},
		{"argon2's reference, p=2", "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc", "password"},
		{"crypt_blowfish", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"},
		{"crypt_blowfish, $2y$", "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h, _ := newHasher(t, cheap)
			if ok, err := h.Verify(t.Context(), tt.hash, tt.password); !ok || err != nil {
				t.Errorf("the right password: %v, %v", ok, err)
			}
			if ok, err := h.Verify(t.Context(), tt.hash, tt.password+"x"); ok || err != nil {
				t.Errorf("a wrong one: %v, %v", ok, err)
			}
		})
	}
}

// The hash for nobody must cost what a real one costs.
func TestDummyCostsAsMuch(t *testing.T) {
	t.Parallel()
	o := cheap
	o.MemoryKiB, o.Iterations, o.Parallelism = 128, 3, 2
	real := hashOf(t, o, "password")
	h, count := newHasher(t, o)
	for _, hash := range []string{real, "", "rubbish"} {
		count.last.Store(nil)
		if ok, _ := h.Verify(t.Context(), hash, "wrong"); ok {
			t.Errorf("%q matches", hash)
		}
		if got, want := *count.last.Load(), (params{memory: 128, time: 3, threads: 2}); got != want {
			t.Errorf("%q costs %+v, want %+v", hash, got, want)
		}
		if n := count.keyLen.Load(); n != keyBytes {
			t.Errorf("%q gives %d bytes, want %d", hash, n, keyBytes)
		}
	}
}

func TestHash(t *testing.T) {
	t.Parallel()
	h, _ := newHasher(t, cheap)
	one, two := hashOf(t, cheap, "password"), hashOf(t, cheap, "password")
	if one == two {
		t.Error("two hashes of a password are the same: no salt")
	}
	if !strings.HasPrefix(one, "$argon2id$v=19$m=64,t=1,p=1$") {
		t.Errorf("got %s", one)
	}
	for name, password := range map[string]string{"empty": "", "too long": strings.Repeat("p", MaxPasswordBytes+1)} {
		if hash, err := h.Hash(t.Context(), password); err == nil {
			t.Errorf("%s: got %s", name, hash)
		}
	}
}

func TestNeedsRehash(t *testing.T) {
	t.Parallel()
	cost := func(change func(*HasherOptions)) string {
		o := cheap
		change(&o)
		return hashOf(t, o, "password")
	}
	now := cost(func(*HasherOptions) {})
	fields := strings.Split(now, "$")
	shortSalt := strings.Join([]string{"", fields[1], fields[2], fields[3], fields[4][:11], fields[5]}, "$")
	tests := []struct {
		name, hash string
		want       bool
	}{
		{"as configured", now, false},
		{"less memory", cost(func(o *HasherOptions) { o.MemoryKiB = 32 }), true},
		{"more memory", cost(func(o *HasherOptions) { o.MemoryKiB = 128 }), true},
		{"more iterations", cost(func(o *HasherOptions) { o.Iterations = 2 }), true},
		{"more parallelism", cost(func(o *HasherOptions) { o.Parallelism = 2 }), true},
		{"a short salt", shortSalt, true},
		{"bcrypt", bcryptOf(t, "2b", "password"), true},
		{"rubbish", "rubbish", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h, count := newHasher(t, cheap)
			if got := h.NeedsRehash(tt.hash); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			if count.total() != 0 {
				t.Error("it computed a hash")
			}
		})
	}
}

func TestUpgrade(t *testing.T) {
	t.Parallel()
	h, _ := newHasher(t, cheap)
	long := strings.Repeat("p", bcryptBytes)
	tests := []struct {
		name, hash, password string
		replaced             bool
	}{
		{"bcrypt", bcryptOf(t, "2y", "password"), "password", true},
		{"bcrypt, 72 bytes", bcryptOf(t, "2y", long), long, true},
		{"bcrypt, 73 bytes of which it saw 72", bcryptOf(t, "2y", long), long + "x", false},
		{"argon2id of another cost", hashOf(t, HasherOptions{MemoryKiB: 32, Iterations: 1, Parallelism: 1}, long+"x"), long + "x", true},
		{"as configured", hashOf(t, cheap, "password"), "password", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if ok, err := h.Verify(t.Context(), tt.hash, tt.password); !ok || err != nil {
				t.Fatalf("the password is not right: %v, %v", ok, err)
			}
			hash, err := h.Upgrade(tt.hash, tt.password)
			if err != nil || (hash != "") != tt.replaced {
				t.Fatalf("got %q, %v", hash, err)
			}
			if hash == "" {
				return
			}
			if ok, err := h.Verify(t.Context(), hash, tt.password); !ok || err != nil || h.NeedsRehash(hash) {
				t.Errorf("the new hash %s: %v, %v", hash, ok, err)
			}
		})
	}
}

func TestNewHasherRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*HasherOptions){
		"no memory":              func(o *HasherOptions) { o.MemoryKiB = 0 },
		"too little memory":      func(o *HasherOptions) { o.MemoryKiB, o.Parallelism = 31, 4 },
		"too much memory":        func(o *HasherOptions) { o.MemoryKiB = maxMemoryKiB + 1 },
		"no iterations":          func(o *HasherOptions) { o.Iterations = 0 },
		"too many iterations":    func(o *HasherOptions) { o.Iterations = 1 << 31 },
		"no parallelism":         func(o *HasherOptions) { o.Parallelism = 0 },
		"too much parallelism":   func(o *HasherOptions) { o.Parallelism = maxThreads + 1 },
		"a negative concurrency": func(o *HasherOptions) { o.Concurrency = -1 },
		"a negative wait":        func(o *HasherOptions) { o.MaxWait = -1 },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := cheap
			change(&o)
			if _, err := NewHasher(o); err == nil {
				t.Errorf("%+v was accepted", o)
			}
		})
	}
}

// The costs that config.yaml ships with, and bcrypt's usual one.
func BenchmarkVerifyPassword(b *testing.B) {
	o := HasherOptions{MemoryKiB: 19456, Iterations: 2, Parallelism: 1, Concurrency: 1}
	legacy, err := bcrypt.GenerateFromPassword([]byte("password"), bcrypt.DefaultCost)
	if err != nil {
		b.Fatal(err)
	}
	for name, hash := range map[string]string{
		"argon2id": hashOf(b, o, "password"), "nobody": "", "bcrypt": string(legacy),
	} {
		h, _ := newHasher(b, o)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := h.Verify(b.Context(), hash, "password"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
