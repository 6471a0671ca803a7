package tokens

import (
	"fmt"
	"testing"
)

// allowedAllocs is what a verification may cost when the token is cached. Time
// is for benchstat; allocations are exact, so a test holds them.
const allowedAllocs = 0

func TestCachedVerifyAllocates(t *testing.T) {
	for alg, key := range testKeys {
		issuer, verifier, _ := pair(t, key)
		raw := must(issuer.Sign(testToken()))
		got := testing.AllocsPerRun(200, func() {
			if _, err := verifier.Verify(raw); err != nil {
				t.Error(err)
			}
		})
		if got > allowedAllocs {
			t.Errorf("%s: %v allocations, allowed are %d", alg, got, allowedAllocs)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, alg := range []string{HS256, EdDSA, ES256, RS256} {
		issuer, verifier, c := pair(b, testKeys[alg])
		raw := must(issuer.Sign(testToken()))
		b.Run(alg+"/cached", func(b *testing.B) { benchVerify(b, verifier, raw, false) })

		o := testOptions(c)
		o.CacheSize = 0
		uncached := must(NewVerifier(issuer.keys, o))
		b.Run(alg+"/uncached", func(b *testing.B) { benchVerify(b, uncached, raw, false) })
		forged := raw[:len(raw)-2] + next(raw[len(raw)-2]) + raw[len(raw)-1:]
		b.Run(alg+"/forged", func(b *testing.B) { benchVerify(b, verifier, forged, true) })
		b.Run(alg+"/foreign", func(b *testing.B) { benchVerify(b, verifier, "x"+raw, true) })
	}
}

func benchVerify(b *testing.B, v *Verifier, raw string, refused bool) {
	b.ReportAllocs()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if _, err := v.Verify(raw); (err != nil) != refused {
			b.Fatal(err)
		}
	}
}

// A hundred thousand live tokens in a cache that is large enough, and in one
// that isn't.
func BenchmarkVerifyMany(b *testing.B) {
	for _, size := range []int{1 << 18, 1 << 14} {
		issuer, _, c := pair(b, testKeys[HS256])
		o := testOptions(c)
		o.CacheSize = size
		verifier := must(NewVerifier(issuer.keys, o))
		raws := make([]string, 100_000)
		for i := range raws {
			token := testToken()
			token.UserID = fmt.Sprint("user-", i)
			raws[i] = must(issuer.Sign(token))
			must(verifier.Verify(raws[i]))
		}
		b.Run(fmt.Sprintf("cache=%d", size), func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					if _, err := verifier.Verify(raws[i*7919%len(raws)]); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

func BenchmarkSign(b *testing.B) {
	for _, alg := range []string{HS256, EdDSA} {
		issuer, _, _ := pair(b, testKeys[alg])
		token := testToken()
		b.Run(alg, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				must(issuer.Sign(token))
			}
		})
	}
}
