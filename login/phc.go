package login

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// What is written (RFC 9106 §4), and the bounds of what is read. A stored hash
// names its own cost, so whoever can write one could stop the gateway with it.
// The most that is read, 1 GiB of passes, is about 25 times the default.
const (
	saltBytes = 16
	keyBytes  = 32

	maxMemoryKiB  = 256 << 10
	maxPassesKiB  = 1 << 20 // memory × iterations
	maxThreads    = 16
	minSaltBytes  = 8
	minKeyBytes   = 16
	maxFieldBytes = 64 // salt and key

	bcryptBytes   = 72 // bcrypt looks at no more of a password
	maxBcryptCost = 15
)

// params is the cost of an argon2id hash.
type params struct {
	memory, time uint32 // KiB, passes
	threads      uint8
}

// check says why the cost can't be had, or "".
func (p params) check() string {
	switch {
	case p.time < 1:
		return "iterations must be at least 1"
	case p.threads < 1 || p.threads > maxThreads:
		return fmt.Sprintf("parallelism is %d, must be 1 to %d", p.threads, maxThreads)
	case p.memory < 8*uint32(p.threads) || p.memory > maxMemoryKiB:
		return fmt.Sprintf("memory is %d KiB, must be %d (8 for each of parallelism) to %d",
			p.memory, 8*uint32(p.threads), maxMemoryKiB)
	case uint64(p.memory)*uint64(p.time) > maxPassesKiB:
		return fmt.Sprintf("%d iterations over %d KiB are too much, the most is %d KiB in all",
			p.time, p.memory, maxPassesKiB)
	}
	return ""
}

// phc is an argon2id hash.
type phc struct {
	params
	salt, key []byte
}

// phcEncoding is standard base64 without padding, and one text for the same
// bytes only.
var phcEncoding = base64.RawStdEncoding.Strict()

// String returns the hash in the PHC string format.
func (p *phc) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.memory, p.time, p.threads,
		phcEncoding.EncodeToString(p.salt), phcEncoding.EncodeToString(p.key))
}

// parsePHC reads exactly what String writes, with other costs within the bounds.
// Its error is ErrMalformedHash with the reason, which holds nothing of the hash.
func parsePHC(s string) (phc, error) {
	malformed := func(why string) (phc, error) { return phc{}, fmt.Errorf("%w: %s", ErrMalformedHash, why) }
	fields := strings.Split(s, "$")
	if len(fields) != 6 || fields[0] != "" || fields[1] != "argon2id" {
		return malformed("neither argon2id nor bcrypt of a bearable cost")
	}
	if fields[2] != "v="+strconv.Itoa(argon2.Version) {
		return malformed("another version of argon2")
	}
	var p phc
	costs := strings.Split(fields[3], ",")
	if len(costs) != 3 {
		return malformed("its cost is not m, t and p")
	}
	memory, okM := parseCost(costs[0], "m=", 32)
	passes, okT := parseCost(costs[1], "t=", 32)
	threads, okP := parseCost(costs[2], "p=", 8)
	if !okM || !okT || !okP {
		return malformed("its cost is not m, t and p")
	}
	p.params = params{memory: uint32(memory), time: uint32(passes), threads: uint8(threads)}
	if why := p.check(); why != "" {
		return malformed(why)
	}
	var ok bool
	if p.salt, ok = parseField(fields[4], minSaltBytes); !ok {
		return malformed("its salt")
	}
	if p.key, ok = parseField(fields[5], minKeyBytes); !ok {
		return malformed("its hash value")
	}
	return p, nil
}

// parseCost reads a number in its one decimal form.
func parseCost(s, name string, bits int) (uint64, bool) {
	digits, ok := strings.CutPrefix(s, name)
	n, err := strconv.ParseUint(digits, 10, bits)
	return n, ok && err == nil && strconv.FormatUint(n, 10) == digits
}

func parseField(s string, least int) ([]byte, bool) {
	// encoding/base64 skips line breaks even when strict.
	if len(s) > 2*maxFieldBytes || strings.ContainsAny(s, "\r\n") {
		return nil, false
	}
	b, err := phcEncoding.DecodeString(s)
	return b, err == nil && len(b) >= least && len(b) <= maxFieldBytes
}

const bcryptAlphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// isBcrypt says whether s is a bcrypt hash, of a cost that the gateway bears.
// $2a, $2b and $2y are the same algorithm; $2x is a broken one. It looks at each
// character, so that what it accepts costs what it says.
func isBcrypt(s string) bool {
	if len(s) != 60 || s[0] != '$' || s[1] != '2' || s[3] != '$' || s[6] != '$' {
		return false
	}
	if s[2] != 'a' && s[2] != 'b' && s[2] != 'y' {
		return false
	}
	for _, c := range s[7:] {
		if !strings.ContainsRune(bcryptAlphabet, c) {
			return false
		}
	}
	cost, err := bcrypt.Cost([]byte(s))
	return err == nil && cost <= maxBcryptCost
}
