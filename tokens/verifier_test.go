package tokens

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/session"
)

func TestVerify(t *testing.T) {
	t.Parallel()
	eachKey(t, func(t *testing.T, key *Key) {
		issuer, verifier, _ := pair(t, key)
		raw := must(issuer.Sign(testToken()))
		for _, try := range []string{"first", "cached"} {
			got, err := verifier.Verify(raw)
			if err != nil {
				t.Fatalf("%s: %v", try, err)
			}
			if want := testToken(); !reflect.DeepEqual(got, want) {
				t.Errorf("%s: got\n%+v, want\n%+v", try, got, want)
			}
		}
	})
}

func TestVerifyRefusesForms(t *testing.T) {
	t.Parallel()
	eachKey(t, func(t *testing.T, key *Key) {
		issuer, verifier, _ := pair(t, key)
		raw := must(issuer.Sign(testToken()))
		if _, err := verifier.Verify(raw); err != nil { // so that it is in the cache
			t.Fatal(err)
		}
		parts := strings.Split(raw, ".")
		header, payload, signature := parts[0], parts[1], parts[2]
		tests := map[string]string{
			"nothing": "", "a dot": ".", "two dots": "..", "dots": strings.Repeat(".", MaxBytes), "a word": "token",
			"one segment": header, "two segments": header + "." + payload, "no signature": header + "." + payload + ".",
			"no payload": header + ".." + signature, "no header": "." + payload + "." + signature,
			"four segments": raw + ".", "four segments, one full": raw + "." + signature,
			"five segments (JWE)": raw + "." + payload + "." + signature, "a dot first": "." + raw,
			"a space first": " " + raw, "a space last": raw + " ", "a tab last": raw + "\t", "a line break last": raw + "\n",
			"a line break first": "\n" + raw, "carriage returns last": raw + "\r\r",
			"a line break in the signature": header + "." + payload + "." + signature[:10] + "\n" + signature[10:],
			"a line break in the payload":   header + "." + payload[:10] + "\r\n" + payload[10:] + "." + signature,
			"NUL last":                      raw + "\x00", "NUL first": "\x00" + raw,
			"padding": raw + "=", "two paddings": raw + "==", "a padded header": header + "=." + payload + "." + signature,
			"a padded payload": header + "." + payload + "==." + signature,
			"a scheme":         "Bearer " + raw, "in quotes": `"` + raw + `"`, "twice": raw + raw, "two, by comma": raw + "," + raw,
			"the signature of another": header + "." + payload + "." + strings.Split(forge(t, key, ownHeader(t, key), "{}"), ".")[2],
			"segments exchanged":       payload + "." + header + "." + signature,
			"too long by one":          raw + strings.Repeat("A", MaxBytes+1-len(raw)),
			"as long as is allowed":    raw + strings.Repeat("A", MaxBytes-len(raw)),
			"a megabyte":               strings.Repeat("A", 1<<20), "not UTF-8": "\xff\xfe." + payload + "." + signature,
		}
		for name, form := range tests {
			t.Run(name, func(t *testing.T) { wantInvalid(t, verifier, form) })
		}
	})
}

// The cap holds for tokens that are valid otherwise, and comes before any work
// that grows with what was sent.
func TestVerifyRefusesLongTokens(t *testing.T) {
	key := testKeys[HS256]
	_, verifier, _ := pair(t, key)
	padded := func(n int) string {
		return forge(t, key, ownHeader(t, key), toJSON(t, with(map[string]any{"x": strings.Repeat("x", n)})))
	}
	n := MaxBytes / 2
	for len(padded(n+1)) <= MaxBytes {
		n++
	}
	if _, err := verifier.Verify(padded(n)); err != nil {
		t.Errorf("of %d bytes: %v", len(padded(n)), err)
	}
	wantInvalid(t, verifier, padded(n+1))
	for name, raw := range map[string]string{
		"of dots":    strings.Repeat(".", 1<<20),
		"of letters": strings.Repeat("A", 1<<20),
	} {
		if n := testing.AllocsPerRun(10, func() { verifier.Verify(raw) }); n > 5 {
			t.Errorf("a megabyte %s: %v allocations", name, n)
		}
	}
}

// Valid signatures over segments that are not strict base64url.
func TestVerifyRefusesLooseBase64(t *testing.T) {
	t.Parallel()
	eachKey(t, func(t *testing.T, key *Key) {
		_, verifier, _ := pair(t, key)
		// A payload whose last group is of two characters, with four spare bits.
		good := toJSON(t, goodClaims())
		for len(good)%3 != 1 {
			good += " "
		}
		body := encode(good)
		if _, err := verifier.Verify(forgeSegments(t, key, key.header, body)); err != nil {
			t.Fatal(err)
		}
		tests := map[string]string{
			"spare bits":     body[:len(body)-1] + next(body[len(body)-1]),
			"padding":        body + "==",
			"one padding":    body + "=",
			"a line break":   body[:20] + "\n" + body[20:],
			"a space":        body + " ",
			"a plus":         body[:20] + "+" + body[21:],
			"a slash":        body[:20] + "/" + body[21:],
			"one character":  body + "AAA",
			"a percent sign": body[:20] + "%41" + body[21:],
		}
		for name, payload := range tests {
			t.Run(name, func(t *testing.T) { wantInvalid(t, verifier, forgeSegments(t, key, key.header, payload)) })
		}
		t.Run("spare bits of the signature", func(t *testing.T) {
			raw := forgeSegments(t, key, key.header, body)
			wantInvalid(t, verifier, raw[:len(raw)-1]+next(raw[len(raw)-1]))
		})
	})
}

// next returns the character whose base64url value is one more.
func next(c byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[(strings.IndexByte(alphabet, c)+1)%64])
}

func TestVerifyJudgesTime(t *testing.T) {
	t.Parallel()
	exp := born.Add(30 * time.Minute)
	nbf := born.Add(10 * time.Minute)
	tests := []struct {
		name   string
		leeway time.Duration
		nbf    bool
		at     time.Time
		want   error
	}{
		{"at iat", 0, false, born, nil},
		{"just before iat", 0, false, born.Add(-time.Nanosecond), session.ErrInvalidToken},
		{"before iat within the leeway", 5 * time.Second, false, born.Add(-5 * time.Second), nil},
		{"before iat beyond the leeway", 5 * time.Second, false, born.Add(-5*time.Second - 1), session.ErrInvalidToken},
		{"just before exp", 0, false, exp.Add(-time.Nanosecond), nil},
		{"at exp", 0, false, exp, session.ErrTokenExpired},
		{"a second before exp", 0, false, exp.Add(-time.Second), nil},
		{"a second after exp", 0, false, exp.Add(time.Second), session.ErrTokenExpired},
		{"after exp within the leeway", 5 * time.Second, false, exp.Add(5*time.Second - 1), nil},
		{"at the end of the leeway", 5 * time.Second, false, exp.Add(5 * time.Second), session.ErrTokenExpired},
		{"a year later", 5 * time.Second, false, exp.AddDate(1, 0, 0), session.ErrTokenExpired},
		{"at nbf", 0, true, nbf, nil},
		{"just before nbf", 0, true, nbf.Add(-1), session.ErrInvalidToken},
		{"before nbf within the leeway", 5 * time.Second, true, nbf.Add(-5 * time.Second), nil},
		{"before nbf beyond the leeway", 5 * time.Second, true, nbf.Add(-5*time.Second - 1), session.ErrInvalidToken},
	}
	key := testKeys[HS256]
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := &clock{tt.at}
			o := testOptions(c)
			o.Leeway = tt.leeway
			verifier := must(NewVerifier(must(NewKeyring(key)), o))
			claims := goodClaims()
			if tt.nbf {
				claims["nbf"] = nbf.Unix()
			}
			raw := forge(t, key, ownHeader(t, key), toJSON(t, claims))
			for _, try := range []string{"first", "cached"} {
				token, err := verifier.Verify(raw)
				if !errors.Is(err, tt.want) {
					t.Errorf("%s: error is %v, want %v", try, err, tt.want)
				}
				if known := token.UserID == "user-42"; known != (tt.want != session.ErrInvalidToken) {
					t.Errorf("%s: the token is %+v", try, token)
				}
			}
		})
	}
}

// Time is judged on each call, whatever the cache knows.
func TestCachedTokenExpires(t *testing.T) {
	t.Parallel()
	issuer, verifier, c := pair(t, testKeys[EdDSA])
	raw := must(issuer.Sign(testToken()))
	steps := []struct {
		at   time.Time
		want error
	}{
		{born, nil},
		{born.Add(30*time.Minute - 1), nil},
		{born.Add(30 * time.Minute), session.ErrTokenExpired},
		{born.Add(time.Hour), session.ErrTokenExpired},
		{born.Add(-time.Second), session.ErrInvalidToken}, // the clock was set back
		{born.Add(time.Minute), nil},
	}
	for _, step := range steps {
		c.t = step.at
		if _, err := verifier.Verify(raw); !errors.Is(err, step.want) {
			t.Errorf("at %v: error is %v, want %v", step.at, err, step.want)
		}
	}
}

func TestOnlyVerifiedTokensAreCached(t *testing.T) {
	t.Parallel()
	key := testKeys[HS256]
	issuer, verifier, _ := pair(t, key)
	raw := must(issuer.Sign(testToken()))
	for i := range 100 {
		wantInvalid(t, verifier, raw+fmt.Sprint(i))
		wantInvalid(t, verifier, forge(t, key, ownHeader(t, key), toJSON(t, with(map[string]any{"iss": fmt.Sprint(i)}))))
	}
	if n := verifier.cache.entries(); n != 0 {
		t.Errorf("%d refused tokens are cached", n)
	}
	if _, err := verifier.Verify(raw); err != nil {
		t.Fatal(err)
	}
	if n := verifier.cache.entries(); n != 1 {
		t.Errorf("%d tokens are cached, want 1", n)
	}
}

func TestVerifyConcurrently(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 8, 1024} {
		t.Run(fmt.Sprintf("cache of %d", size), func(t *testing.T) {
			t.Parallel()
			c := &clock{born.Add(time.Minute)}
			o := testOptions(c)
			o.CacheSize = size
			ring := must(NewKeyring(testKeys[HS256]))
			issuer, verifier := must(NewIssuer(ring, o)), must(NewVerifier(ring, o))
			raws := make([]string, 50)
			for i := range raws {
				token := testToken()
				token.UserID = fmt.Sprint("user-", i)
				raws[i] = must(issuer.Sign(token))
			}
			var wg sync.WaitGroup
			for g := range 8 {
				wg.Go(func() {
					for i := range 300 {
						n := (i + g*13) % len(raws)
						token, err := verifier.Verify(raws[n])
						if err != nil || token.UserID != fmt.Sprint("user-", n) {
							t.Errorf("token %d is %+v, %v", n, token, err)
							return
						}
					}
				})
			}
			wg.Wait()
			if n := verifier.cache.entries(); n > size {
				t.Errorf("the cache holds %d, its size is %d", n, size)
			}
		})
	}
}
