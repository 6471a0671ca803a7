package login

import (
	"errors"
	"strings"
	"testing"
)

const validPHC = "$argon2id$v=19$m=64,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"

func TestParsePHC(t *testing.T) {
	t.Parallel()
	cost := func(c string) string { return strings.Replace(validPHC, "m=64,t=1,p=1", c, 1) }
	salt := func(s string) string { return strings.Replace(validPHC, "MDEyMzQ1Njc4OWFiY2RlZg$", s+"$", 1) }
	key := func(s string) string { return validPHC[:strings.LastIndexByte(validPHC, '$')+1] + s }
	tests := []struct {
		name, hash string
		ok         bool
	}{
		{"valid", validPHC, true},
		{"the default cost", cost("m=19456,t=2,p=1"), true},
		{"the most memory", cost("m=262144,t=4,p=16"), true},
		{"a salt of 8 bytes", salt("MDEyMzQ1Njc"), true},
		{"a salt of 64 bytes", salt(strings.Repeat("AAAA", 21) + "AA"), true},
		{"a hash of 16 bytes", key("MDEyMzQ1Njc4OWFiY2RlZg"), true},

		{"empty", "", false},
		{"dollars", "$$$$$", false},
		{"many dollars", strings.Repeat("$", 10000), false},
		{"argon2d", strings.Replace(validPHC, "argon2id", "argon2d", 1), false},
		{"upper case", strings.ToUpper(validPHC), false},
		{"something before it", "x" + validPHC, false},
		{"a space before it", " " + validPHC, false},
		{"a line break after it", validPHC + "\n", false},
		{"another field after it", validPHC + "$x", false},
		{"a field missing", validPHC[:strings.LastIndexByte(validPHC, '$')], false},
		{"version 16", strings.Replace(validPHC, "v=19", "v=16", 1), false},
		{"no version", strings.Replace(validPHC, "$v=19", "", 1), false},
		{"no cost", cost(""), false},
		{"another order", cost("t=1,m=64,p=1"), false},
		{"a key id", cost("m=64,t=1,p=1,keyid=x"), false},
		{"no t", cost("m=64,p=1"), false},
		{"t twice", cost("m=64,t=1,t=1"), false},
		{"a plus", cost("m=+64,t=1,p=1"), false},
		{"a minus", cost("m=-64,t=1,p=1"), false},
		{"a leading zero", cost("m=064,t=1,p=1"), false},
		{"hexadecimal", cost("m=0x40,t=1,p=1"), false},
		{"an underscore", cost("m=6_4,t=1,p=1"), false},
		{"a space", cost("m= 64,t=1,p=1"), false},
		{"no number", cost("m=,t=1,p=1"), false},
		{"too little memory for p", cost("m=64,t=1,p=9"), false},
		{"too much memory", cost("m=262145,t=1,p=1"), false},
		{"memory beyond 32 bits", cost("m=4294967360,t=1,p=1"), false},
		{"no iterations", cost("m=64,t=0,p=1"), false},
		{"too many iterations", cost("m=64,t=4294967295,p=1"), false},
		{"too much in all", cost("m=262144,t=5,p=1"), false},
		{"no parallelism", cost("m=64,t=1,p=0"), false},
		{"too much parallelism", cost("m=256,t=1,p=17"), false},
		{"parallelism beyond 8 bits", cost("m=64,t=1,p=257"), false},
		{"no salt", salt(""), false},
		{"a salt of 7 bytes", salt("MDEyMzQ1Ng"), false},
		{"a salt of 65 bytes", salt(strings.Repeat("AAAA", 21) + "AAA"), false},
		{"a long salt", salt(strings.Repeat("AAAA", 10000)), false},
		{"a padded salt", salt("MDEyMzQ1Njc4OWFiY2RlZg=="), false},
		{"a salt with spare bits", salt("MDEyMzQ1Njc4OWFiY2RlZh"), false},
		{"a salt in base64url", salt("____MzQ1Njc4OWFiY2RlZg"), false},
		{"a line break in the salt", salt("MDEyMzQ1\nNjc4OWFiY2RlZg"), false},
		{"no hash", key(""), false},
		{"a hash of 15 bytes", key("MDEyMzQ1Njc4OWFiY2Rl"), false},
		{"a padded hash", validPHC + "=", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, err := parsePHC(tt.hash)
			if tt.ok != (err == nil) {
				t.Fatalf("error is %v", err)
			}
			if err != nil {
				if !errors.Is(err, ErrMalformedHash) || len(err.Error()) > 200 {
					t.Errorf("error is %v", err)
				}
				return
			}
			if got := p.String(); got != tt.hash {
				t.Errorf("written again it is\n%s, was\n%s", got, tt.hash)
			}
		})
	}
}

func FuzzParsePHC(f *testing.F) {
	f.Add(validPHC)
	f.Add("$argon2id$v=19$m=262144,t=4,p=16$MDEyMzQ1Njc$MDEyMzQ1Njc4OWFiY2RlZg")
	f.Add("$2b$10$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW")
	f.Add("$$$$$")
	f.Fuzz(func(t *testing.T, hash string) {
		p, err := parsePHC(hash)
		if err != nil {
			return
		}
		if isBcrypt(hash) {
			t.Error("both argon2id and bcrypt")
		}
		if p.String() != hash {
			t.Errorf("read %q, writes %q", hash, p.String())
		}
		if work := uint64(p.memory) * uint64(p.time); work > maxPassesKiB || p.memory > maxMemoryKiB || p.threads > maxThreads {
			t.Errorf("%q costs %+v", hash, p.params)
		}
	})
}
