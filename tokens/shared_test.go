package tokens

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/session"
)

// shelf is a ledger and a mirror in memory. Each can be away.
type shelf struct {
	mu     sync.Mutex
	keys   []session.SigningKey
	copies map[string]string

	ledgerAway, mirrorAway error
	reads, writes          int // of the ledger; of the mirror
}

func (s *shelf) SigningKeys(context.Context) ([]session.SigningKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	return slices.Clone(s.keys), s.ledgerAway
}

func (s *shelf) ChangeSigningKeys(_ context.Context, change func([]session.SigningKey) ([]session.SigningKey, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ledgerAway != nil {
		return s.ledgerAway
	}
	changed, err := change(slices.Clone(s.keys))
	if err != nil {
		return err
	}
	for _, k := range changed {
		if i := slices.IndexFunc(s.keys, func(o session.SigningKey) bool { return o.ID == k.ID }); i >= 0 {
			s.keys[i] = k
		} else {
			s.keys = append(s.keys, k)
		}
	}
	return nil
}

func (s *shelf) MirroredKeys(context.Context) (map[string]string, error) {
	return maps.Clone(s.copies), s.mirrorAway
}

func (s *shelf) MirrorKeys(_ context.Context, keys map[string]string) error {
	if s.mirrorAway == nil {
		s.writes++
		s.copies = keys
	}
	return s.mirrorAway
}

const (
	testEvery  = 30 * 24 * time.Hour
	testAhead  = time.Hour
	testLinger = 31 * time.Minute
)

// node is a gateway: keys, and an issuer and a verifier on them.
type node struct {
	*Shared
	*Issuer
	*Verifier
}

func newNode(tb testing.TB, shelf *shelf, c *clock, change func(*SharedOptions)) node {
	tb.Helper()
	o := SharedOptions{
		Ledger: shelf, Mirror: shelf, Sealer: must(NewAESSealer([]byte("a sealing key of thirty-two bytes"))),
		Algorithm: EdDSA, Every: testEvery, Ahead: testAhead, Linger: testLinger, Now: c.now,
		Log: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&o)
	}
	s := must(NewShared(o))
	options := testOptions(c)
	options.Leeway = time.Second
	return node{s, must(NewIssuer(s.Keyring(), options)), must(NewVerifier(s.Keyring(), options))}
}

func (n node) mustStart(tb testing.TB) node {
	tb.Helper()
	if err := n.Start(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return n
}

// issue returns a token that is good for half an hour.
func (n node) issue(tb testing.TB, c *clock) string {
	tb.Helper()
	token := testToken()
	token.IssuedAt, token.ExpiresAt = c.t.Truncate(time.Second), c.t.Truncate(time.Second).Add(30*time.Minute)
	token.AuthTime = token.IssuedAt
	raw, err := n.Sign(token)
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

func (s *shelf) states(now time.Time) string {
	var list []string
	for _, k := range s.keys {
		list = append(list, string(k.State(now)))
	}
	return strings.Join(list, " ")
}

// Whatever one of two gateways signs, both accept, at every minute of a rotation,
// although each reads the keys when it likes; and it is accepted until it expires.
func TestSharedRotationRefusesNobody(t *testing.T) {
	t.Parallel()
	shelf, c := &shelf{}, &clock{born}
	nodes := []node{newNode(t, shelf, c, nil).mustStart(t), newNode(t, shelf, c, nil).mustStart(t)}
	type issued struct {
		raw string
		exp time.Time
	}
	var live []issued
	kids := map[string]bool{}
	check := func() {
		for i, n := range nodes {
			raw := n.issue(t, c)
			kids[strings.SplitN(raw, ".", 2)[0]] = true
			live = append(live, issued{raw, c.t.Truncate(time.Second).Add(30 * time.Minute)})
			for _, token := range live {
				for j, other := range nodes {
					_, err := other.Verify(token.raw)
					if expired := !c.t.Add(-time.Second).Before(token.exp); expired != errors.Is(err, session.ErrTokenExpired) || !expired && err != nil {
						t.Fatalf("%v, issued by %d, asked %d: %v", c.t, i, j, err)
					}
				}
			}
		}
		live = slices.DeleteFunc(live, func(i issued) bool { return c.t.Sub(i.exp) > time.Minute })
	}
	from := testEvery - 2*testAhead
	for at := from; at < testEvery+2*testAhead; at += time.Minute {
		c.t = born.Add(at + 7*time.Millisecond)
		// The one rotates and reads all the time, the other reads now and then.
		if _, err := nodes[0].Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if int(at.Minutes())%29 == 0 {
			if err := nodes[1].Load(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		check()
	}
	if len(kids) != 2 {
		t.Errorf("%d keys have signed, want 2", len(kids))
	}
}

func TestSharedStart(t *testing.T) {
	t.Parallel()
	away := fmt.Errorf("postgres: %w", session.ErrUnavailable)
	otherKey := func(o *SharedOptions) { o.Sealer = must(NewAESSealer([]byte("another sealing key of 32 bytes!!"))) }
	before := func(o *SharedOptions) { o.Before = []*Key{testKeys[HS256]} }
	tests := []struct {
		name   string
		filled bool // by a gateway that was there before
		away   bool // the ledger
		change func(*SharedOptions)
		want   error
	}{
		{"for the first time", false, false, nil, nil},
		{"again", true, false, nil, nil},
		{"from the mirror", true, true, nil, nil},
		{"for the first time, without Postgres", false, true, nil, session.ErrUnavailable},
		{"for the first time, without Postgres, with a key from before", false, true, before, nil},
		{"with another sealing key", true, false, otherKey, ErrSealed},
		{"with another sealing key, from the mirror", true, true, otherKey, ErrSealed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			shelf, c := &shelf{}, &clock{born}
			var token string
			if tt.filled {
				token = newNode(t, shelf, c, nil).mustStart(t).issue(t, c)
			}
			if tt.away {
				shelf.ledgerAway = away
			}
			n := newNode(t, shelf, c, tt.change)
			err := n.Start(t.Context())
			if !errors.Is(err, tt.want) {
				t.Fatalf("%v, want %v", err, tt.want)
			}
			if tt.want != nil {
				if _, err := n.Sign(testToken()); err == nil {
					t.Error("it signs all the same")
				}
				return
			}
			if _, err := n.Verify(n.issue(t, c)); err != nil {
				t.Errorf("its own token: %v", err)
			}
			if tt.filled {
				if _, err := n.Verify(token); err != nil {
					t.Errorf("the other one's token: %v", err)
				}
			}
		})
	}
}

// Changing over from a key in the configuration: gateways that have not changed
// yet know no shared key, and meet none before an hour is over.
func TestSharedTakesOver(t *testing.T) {
	t.Parallel()
	shelf, c := &shelf{}, &clock{born}
	static := must(NewVerifier(must(NewKeyring(testKeys[HS256])), testOptions(c)))
	n := newNode(t, shelf, c, func(o *SharedOptions) { o.Before = []*Key{testKeys[HS256], testKeys[RS256]} }).mustStart(t)
	for at := time.Duration(0); at < testAhead; at += 10 * time.Minute {
		c.t = born.Add(at)
		raw := n.issue(t, c)
		for name, v := range map[string]*Verifier{"old": static, "new": n.Verifier} {
			if _, err := v.Verify(raw); err != nil {
				t.Errorf("after %v, %s: %v", at, name, err)
			}
		}
	}
	old := n.issue(t, c)
	c.t = born.Add(testAhead)
	raw := n.issue(t, c)
	wantInvalid(t, static, raw)
	for _, token := range []string{old, raw} {
		if _, err := n.Verify(token); err != nil {
			t.Error(err)
		}
	}
}

// Strangers' tokens with well-formed headers cost one look a second, however many
// come; those with any other header, none.
func TestUnknownKeysAreBounded(t *testing.T) {
	t.Parallel()
	shelf, c := &shelf{}, &clock{born}
	n := newNode(t, shelf, c, nil).mustStart(t)
	reads := shelf.reads
	for _, header := range []string{
		`{"alg":"none","kid":"` + testKeys[EdDSA].ID() + `","typ":"at+jwt"}`,
		`{"alg":"EdDSA","kid":"../../etc/passwd","typ":"at+jwt"}`,
		`{"alg":"EdDSA","kid":"` + testKeys[EdDSA].ID() + `","typ":"JWT"}`,
		`{"kid":"` + testKeys[EdDSA].ID() + `","alg":"EdDSA","typ":"at+jwt"}`,
		strings.Repeat("x", 400), "",
	} {
		wantInvalid(t, n.Verifier, encode(header)+".e30.")
	}
	if shelf.reads != reads {
		t.Errorf("headers that nobody writes made it look %d times", shelf.reads-reads)
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 50 {
				key, _, err := GenerateKey(EdDSA)
				if err != nil {
					t.Error(err)
				}
				wantInvalid(t, n.Verifier, key.header+".e30.AAAA")
			}
		})
	}
	group.Wait()
	if got := shelf.reads - reads; got < 1 || got > 5 {
		t.Errorf("it looked %d times", got)
	}
}
