package store

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sessiongate/sessiongate/session"
)

// model is what the store promises, without Redis: which sessions are live, and
// which of a session's tokens are good.
type model struct {
	cap   int
	users map[string][]*modelSession // live ones, oldest first
	all   []*modelSession            // every one there ever was
}

type modelSession struct {
	user     string
	live     bool
	tokens   []session.Token // by generation
	used     bool            // the latest
	graceful bool            // the latest began within the grace
}

func (m *model) remove(s *modelSession) {
	s.live = false
	m.users[s.user] = slices.DeleteFunc(m.users[s.user], func(o *modelSession) bool { return o == s })
}

// verdict is what Validate and Refresh must say of the token of a generation.
func (s *modelSession) good(generation int) bool {
	current := len(s.tokens) - 1
	return generation == current || generation == current-1 && (!s.used || s.graceful)
}

// TestModel runs random histories against the store and the model, and looks at
// every token ever made after each step. Time passes by way of the keys.
func TestModel(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(o *RedisOptions) { o.Policy.MaxPerUser = 3 })
	rapid.Check(t, func(rt *rapid.T) {
		f.raw.FlushDB(t.Context())
		m := &machine{f: f, model: model{cap: 3, users: map[string][]*modelSession{}}}
		m.feed = NewFeed(f.Redis, FeedOptions{MaxReaders: 10, Block: 50 * time.Millisecond})
		defer m.feed.Close() // has nothing to say that Read has not
		m.marks = []mark{{f.readFeed(m.feed, "", 0).Cursor, 0}}
		rt.Repeat(rapid.StateMachineActions(m))
	})
}

type machine struct {
	f *fixture
	model
	feedModel
	born int
}

func (m *machine) user(rt *rapid.T) string {
	return rapid.SampledFrom([]string{"ana", "bo", "{x}:1"}).Draw(rt, "user")
}

// pick returns one of the sessions there ever were, the live ones more often.
func (m *machine) pick(rt *rapid.T) *modelSession {
	if len(m.all) == 0 {
		m.Login(rt)
	}
	var live []*modelSession
	for _, s := range m.all {
		if s.live {
			live = append(live, s)
		}
	}
	if len(live) > 0 && rapid.IntRange(0, 3).Draw(rt, "live") > 0 {
		return rapid.SampledFrom(live).Draw(rt, "session")
	}
	return rapid.SampledFrom(m.all).Draw(rt, "session")
}

func (m *machine) Login(rt *rapid.T) {
	user := m.user(rt)
	m.born++ // sids in order, also within a millisecond
	id := session.NewID(m.f.Clock().Add(time.Duration(m.born-1000) * time.Millisecond))
	s, evicted, err := m.f.Create(m.f.Context(), session.Session{ID: id, UserID: user}, m.f.op())
	if err != nil {
		rt.Fatal(err)
	}
	want := max(len(m.users[user])-m.cap+1, 0)
	if evicted != want {
		rt.Fatalf("login evicted %d, want %d", evicted, want)
	}
	m.announce(m.users[user][:want]...)
	for range want {
		m.remove(m.users[user][0])
	}
	made := &modelSession{user: user, live: true, tokens: []session.Token{s.Token()}, used: true}
	m.users[user] = append(m.users[user], made)
	slices.SortFunc(m.users[user], func(a, b *modelSession) int {
		return slices.Compare([]byte(a.tokens[0].SessionID), []byte(b.tokens[0].SessionID))
	})
	m.all = append(m.all, made)
}

func (m *machine) Refresh(rt *rapid.T) {
	s := m.pick(rt)
	generation := rapid.IntRange(max(0, len(s.tokens)-3), len(s.tokens)-1).Draw(rt, "generation")
	got, rotated, err := m.f.Refresh(m.f.Context(), s.tokens[generation], m.f.op())
	current := len(s.tokens) - 1
	switch {
	case !s.live:
		m.want(rt, err, session.ErrEnded)
	case generation == current:
		m.want(rt, err, nil)
		if !rotated {
			rt.Fatal("the current token did not rotate")
		}
		s.tokens = append(s.tokens, got.Token())
		s.used, s.graceful = false, true
	case s.good(generation):
		m.want(rt, err, nil)
		if rotated || fmt.Sprint(got.Token()) != fmt.Sprint(s.tokens[current]) {
			rt.Fatalf("the previous token gives %v, want the same successor %v", got.Token(), s.tokens[current])
		}
	default:
		m.want(rt, err, session.ErrReused)
		m.announce(s)
		m.remove(s)
	}
}

func (m *machine) Use(rt *rapid.T) {
	s := m.pick(rt)
	t := s.tokens[rapid.IntRange(0, len(s.tokens)-1).Draw(rt, "generation")]
	use := session.Use{SessionID: t.SessionID, UserID: t.UserID, At: m.f.Clock(), Generation: t.Generation}
	if err := m.f.Use(m.f.Context(), []session.Use{use}); err != nil {
		rt.Fatal(err)
	}
	if s.live && t.Generation == int64(len(s.tokens)-1) {
		s.used = true
	}
}

// GracePasses moves a rotation back by a minute, and the token's iat with it.
func (m *machine) GracePasses(rt *rapid.T) {
	s := m.pick(rt)
	current := len(s.tokens) - 1
	if !s.live || current == 0 {
		return // there is no grace that could pass
	}
	key := m.f.keys.session(s.user, s.tokens[0].SessionID)
	at := s.tokens[current].IssuedAt.Add(-time.Minute)
	m.f.raw.HSet(m.f.Context(), key, "r", at.UnixMilli())
	moved := session.Session{
		ID: s.tokens[0].SessionID, UserID: s.user, Generation: int64(current), RotatedAt: at,
		ExpiresAt: s.tokens[current].ExpiresAt, AuthTime: s.tokens[current].AuthTime,
	}
	s.tokens[current] = moved.Token()
	s.graceful = false
}

func (m *machine) Logout(rt *rapid.T) {
	s := m.pick(rt)
	ended, err := m.f.Revoke(m.f.Context(), s.user, s.tokens[0].SessionID, session.EndLogout, m.f.op())
	if err != nil || ended != s.live {
		rt.Fatalf("ended %v, error %v; want %v", ended, err, s.live)
	}
	m.announce(s)
	m.remove(s)
}

func (m *machine) LogoutAll(rt *rapid.T) {
	user := m.user(rt)
	n, _, err := m.f.RevokeUser(m.f.Context(), user, "", session.EndLogoutAll, m.f.op())
	if err != nil || n != len(m.users[user]) {
		rt.Fatalf("ended %d, error %v; want %d", n, err, len(m.users[user]))
	}
	m.announce(m.users[user]...)
	for _, s := range slices.Clone(m.users[user]) {
		m.remove(s)
	}
}

func (m *machine) DeleteUserKey(rt *rapid.T) {
	user := m.user(rt)
	m.f.raw.Del(m.f.Context(), m.f.keys.user(user))
	for _, s := range slices.Clone(m.users[user]) {
		m.remove(s)
	}
}

func (m *machine) DeleteSessionKey(rt *rapid.T) {
	s := m.pick(rt)
	if !s.live {
		return // its key is gone already
	}
	m.f.raw.Del(m.f.Context(), m.f.keys.session(s.user, s.tokens[0].SessionID))
	m.f.raw.ZRem(m.f.Context(), m.f.keys.user(s.user), string(s.tokens[0].SessionID))
	m.remove(s)
}

// Check is the oracle: every token ever made is good or not, as the model says.
func (m *machine) Check(rt *rapid.T) {
	m.checkFeed(rt)
	for _, s := range m.all {
		for generation, token := range s.tokens {
			_, err := m.f.Validate(m.f.Context(), token)
			switch {
			case !s.live:
				m.want(rt, err, session.ErrEnded)
			case s.good(generation):
				m.want(rt, err, nil)
			default:
				m.want(rt, err, session.ErrSuperseded)
			}
		}
	}
	for user, sessions := range m.users {
		listed, err := m.f.List(m.f.Context(), user)
		if err != nil || len(listed) != len(sessions) {
			rt.Fatalf("%d sessions of %s are listed, error %v; want %d", len(listed), user, err, len(sessions))
		}
	}
}

func (m *machine) want(rt *rapid.T, got, want error) {
	rt.Helper()
	if !errors.Is(got, want) || want == nil && got != nil {
		rt.Fatalf("error is %v, want %v", got, want)
	}
}
