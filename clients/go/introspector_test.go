package sessiongate

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

const heartbeat = ": heartbeat\n\n"

// verify fails the test unless the token is judged so; want is "" for good.
func verify(t *testing.T, v Verifier, token string, want error) *Session {
	t.Helper()
	s, err := v.Verify(t.Context(), token)
	if !errors.Is(err, want) || (err == nil) != (want == nil) {
		t.Fatalf("verify: %v, want %v", err, want)
	}
	return s
}

func TestIntrospect(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	in := g.introspector(t, IntrospectorOptions{})
	g.active(`{"active":true,"iss":"https://i","sub":"42","aud":"api","client_id":"app","username":"ana",` +
		`"scope":"read write","token_type":"Bearer","exp":4102444800,"iat":1790000000,"jti":"j","sid":"s1",` +
		`"auth_time":1780000000,"amr":["pwd"],"roles":["admin"],"new":{"claim":1}}`)
	s := verify(t, in, "good", nil)
	if s.ID != "s1" || s.Subject != "42" || s.ClientID != "app" || s.Username != "ana" || !s.HasScopes("read", "write") ||
		s.HasScopes("read", "admin") || !s.HasRoles("admin") || s.TokenID != "j" || s.Audience[0] != "api" ||
		s.IssuedAt.Unix() != 1790000000 || s.AuthTime.Unix() != 1780000000 || s.AMR[0] != "pwd" {
		t.Errorf("the session is %+v", s)
	}
	g.active(`{"active":false}`)
	verify(t, in, "bad", ErrInactive)
	if asked := g.count(); asked != 2 {
		t.Errorf("%d questions, want 2: nothing is remembered without the feed", asked)
	}
}

func TestIntrospectRefusesWithoutAsking(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	in := g.introspector(t, IntrospectorOptions{})
	for _, token := range []string{"", "a b", "a\nb", "é", strings.Repeat("a", maxToken+1)} {
		verify(t, in, token, ErrInactive)
	}
	if g.count() != 0 {
		t.Error("the gateway was asked")
	}
}

func TestIntrospectDoesNotTakeDoubtForNo(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	in := g.introspector(t, IntrospectorOptions{Timeout: 200 * time.Millisecond})
	hung := make(chan struct{})
	defer close(hung)
	for name, answer := range map[string]func(http.ResponseWriter, string){
		"503": func(w http.ResponseWriter, _ string) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusServiceUnavailable)
		},
		"a page of a proxy":           func(w http.ResponseWriter, _ string) { _, _ = fmt.Fprint(w, "<html>") },
		"no answer in time":           func(http.ResponseWriter, string) { <-hung },
		"an answer without a verdict": func(w http.ResponseWriter, _ string) { _, _ = fmt.Fprint(w, "{}") },
		"a redirect": func(w http.ResponseWriter, _ string) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(http.StatusFound)
		},
	} {
		t.Run(name, func(t *testing.T) {
			g.answer(answer)
			_, err := in.Verify(t.Context(), "token-of-somebody")
			if err == nil || errors.Is(err, ErrInactive) {
				t.Fatalf("verify: %v, want another error", err)
			}
			if strings.Contains(err.Error(), "token-of-somebody") || strings.Contains(err.Error(), "cret") {
				t.Errorf("the error shows a credential: %v", err)
			}
			if name == "503" && retryIn(err) != 7*time.Second {
				t.Errorf("retry in %v, want 7 s", retryIn(err))
			}
		})
	}
}

func TestIntrospectWithWrongCredentials(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	in, err := NewIntrospector(IntrospectorOptions{BaseURL: g.URL, ClientID: "api", ClientSecret: "wrong"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = in.Verify(t.Context(), "good")
	var refused *Error
	if !errors.As(err, &refused) || refused.Code != "invalid_client" || refused.Temporary() || errors.Is(err, ErrInactive) {
		t.Errorf("verify: %v, want invalid_client", err)
	}
}

// following returns an introspector that hears the feed.
func following(t *testing.T, g *gateway, o IntrospectorOptions) *Introspector {
	t.Helper()
	in := g.introspector(t, o)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); in.Follow(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	g.say(t, "retry: 1000\nid: c0\n\n"+heartbeat)
	eventually(t, "the feed is followed", in.Following)
	return in
}

func TestFollow(t *testing.T) {
	t.Parallel()

	t.Run("an answer is remembered until its session ends", func(t *testing.T) {
		t.Parallel()
		g := newGateway(t)
		heard := make(chan Revocation, 1)
		in := following(t, g, IntrospectorOptions{OnRevocation: func(r Revocation) { heard <- r }})
		for range 3 {
			verify(t, in, "good", nil)
		}
		if g.count() != 1 {
			t.Fatalf("%d questions, want 1", g.count())
		}
		g.active(`{"active":false}`)
		g.say(t, "event: revocation\ndata: {\"session_id\":\"s1\",\"reason\":\"logout\",\"until\":\"2030-01-01T00:00:00Z\"}\nid: c1\n\n")
		if r := <-heard; r.SessionID != "s1" || r.Reason != "logout" {
			t.Errorf("heard %+v", r)
		}
		verify(t, in, "good", ErrInactive)
	})

	t.Run("an end that overtakes the answer counts", func(t *testing.T) {
		t.Parallel()
		g := newGateway(t)
		heard := make(chan Revocation, 1)
		in := following(t, g, IntrospectorOptions{OnRevocation: func(r Revocation) { heard <- r }})
		asked, go_ := make(chan struct{}), make(chan struct{})
		g.answer(func(w http.ResponseWriter, _ string) {
			close(asked)
			<-go_
			_, _ = fmt.Fprint(w, `{"active":true,"sub":"42","sid":"s1","exp":4102444800}`)
		})
		verdict := make(chan error, 1)
		go func() { _, err := in.Verify(t.Context(), "good"); verdict <- err }()
		<-asked
		g.say(t, "event: revocation\ndata: {\"session_id\":\"s1\",\"until\":\"2030-01-01T00:00:00Z\"}\nid: c1\n\n")
		<-heard
		close(go_)
		if err := <-verdict; !errors.Is(err, ErrInactive) {
			t.Errorf("verify: %v, want inactive", err)
		}
	})

	t.Run("a reset forgets everything", func(t *testing.T) {
		t.Parallel()
		g := newGateway(t)
		in := following(t, g, IntrospectorOptions{})
		verify(t, in, "good", nil)
		g.say(t, "event: reset\ndata: {}\nid: c9\n\n")
		g.say(t, heartbeat) // and after it the reset has been taken
		g.active(`{"active":false}`)
		eventually(t, "the reset is taken", func() bool {
			_, err := in.Verify(t.Context(), "good")
			return errors.Is(err, ErrInactive)
		})
	})

	t.Run("a lost connection is doubt, and what was missed comes first", func(t *testing.T) {
		t.Parallel()
		g := newGateway(t)
		in := following(t, g, IntrospectorOptions{})
		verify(t, in, "good", nil)
		g.cut()
		eventually(t, "the connection is lost", func() bool { return !in.Following() })
		verify(t, in, "good", nil)
		if g.count() != 2 {
			t.Errorf("%d questions, want 2: nothing is taken from memory in doubt", g.count())
		}
		g.say(t, "event: revocation\ndata: {\"session_id\":\"s1\",\"until\":\"2030-01-01T00:00:00Z\"}\nid: c1\n\n")
		if in.Following() {
			t.Error("followed before the first heartbeat")
		}
		g.say(t, heartbeat)
		eventually(t, "the feed is followed again", in.Following)
		g.active(`{"active":false}`)
		verify(t, in, "good", ErrInactive)
		g.mu.Lock()
		defer g.mu.Unlock()
		if last := g.cursors[len(g.cursors)-1]; last != "c0" {
			t.Errorf("it connected again from %q, want c0", last)
		}
	})

	t.Run("silence is doubt", func(t *testing.T) {
		t.Parallel()
		g := newGateway(t)
		c := newClock()
		in := following(t, g, IntrospectorOptions{Now: c.now, Silence: 3 * time.Second})
		verify(t, in, "good", nil)
		c.advance(3 * time.Second)
		if in.Following() {
			t.Error("still followed")
		}
		verify(t, in, "good", nil)
		if g.count() != 2 {
			t.Errorf("%d questions, want 2", g.count())
		}
	})

	t.Run("revocations without a pause vouch like heartbeats", func(t *testing.T) {
		t.Parallel()
		g := newGateway(t)
		c := newClock()
		heard := make(chan Revocation, 1)
		in := following(t, g, IntrospectorOptions{Now: c.now, OnRevocation: func(r Revocation) { heard <- r }})
		for i := range 5 {
			c.advance(15 * time.Second)
			g.say(t, fmt.Sprintf("event: revocation\ndata: {\"session_id\":\"x%d\"}\nid: c%d\n\n", i, i))
			<-heard
			eventually(t, "the feed is followed", in.Following)
		}
	})

	t.Run("an answer is not remembered beyond its time", func(t *testing.T) {
		t.Parallel()
		g := newGateway(t)
		c := newClock()
		in := following(t, g, IntrospectorOptions{Now: c.now, Silence: time.Hour, CacheTTL: 10 * time.Second})
		verify(t, in, "good", nil)
		c.advance(9 * time.Second)
		verify(t, in, "good", nil)
		c.advance(time.Second)
		verify(t, in, "good", nil)
		if g.count() != 2 {
			t.Errorf("%d questions, want 2", g.count())
		}
		// By the gateway's clock the token has two seconds left, whatever ours says.
		g.answer(func(w http.ResponseWriter, _ string) {
			w.Header().Set("Date", time.Unix(4102444798, 0).UTC().Format(http.TimeFormat))
			_, _ = fmt.Fprint(w, `{"active":true,"sub":"42","sid":"s2","exp":4102444800}`)
		})
		verify(t, in, "short", nil)
		c.advance(2 * time.Second)
		verify(t, in, "short", nil)
		if g.count() != 4 {
			t.Errorf("%d questions, want 4", g.count())
		}
	})

	t.Run("an entry that can't be read forgets everything", func(t *testing.T) {
		t.Parallel()
		g := newGateway(t)
		in := following(t, g, IntrospectorOptions{})
		verify(t, in, "good", nil)
		g.say(t, "event: revocation\ndata: {\"session\n\n")
		eventually(t, "the connection is given up", func() bool { return !in.Following() })
		g.say(t, heartbeat)
		eventually(t, "the feed is followed again", in.Following)
		verify(t, in, "good", nil)
		if g.count() != 2 {
			t.Errorf("%d questions, want 2", g.count())
		}
	})
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	g.answer(func(w http.ResponseWriter, token string) {
		_, _ = fmt.Fprintf(w, `{"active":true,"sub":"42","sid":"sid-%s","exp":4102444800}`, token)
	})
	in := following(t, g, IntrospectorOptions{CacheSize: 3})
	for _, token := range []string{"a", "b", "c", "a", "d", "a", "b"} { // b goes for d
		verify(t, in, token, nil)
	}
	if g.count() != 5 {
		t.Errorf("%d questions, want 5: a, b, c, d and b again", g.count())
	}
	if n := len(in.answers.byID); n != 3 {
		t.Errorf("%d sessions are remembered, want 3", n)
	}
	for i := range maxEnded + 10 {
		in.answers.end(fmt.Sprint("s", i), in.o.Now().Add(time.Hour))
	}
	if n := len(in.answers.ended); n > maxEnded {
		t.Errorf("%d ended sessions are remembered, want %d at most", n, maxEnded)
	}
}

func TestManyAskOnce(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	in := following(t, g, IntrospectorOptions{})
	asked, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	g.answer(func(w http.ResponseWriter, _ string) {
		once.Do(func() { close(asked) })
		<-release
		_, _ = fmt.Fprint(w, `{"active":true,"sub":"42","sid":"s1","exp":4102444800}`)
	})
	first, cancel := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { _, err := in.Verify(first, "good"); left <- err }()
	<-asked
	verdicts := make(chan error, 20)
	for range cap(verdicts) {
		go func() { _, err := in.Verify(t.Context(), "good"); verdicts <- err }()
	}
	cancel() // who asked first leaves, and takes nobody's answer along
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("who left got %v", err)
	}
	close(release)
	for range cap(verdicts) {
		if err := <-verdicts; err != nil {
			t.Errorf("verify: %v", err)
		}
	}
	if g.count() != 1 {
		t.Errorf("%d questions, want 1", g.count())
	}
}

func TestNewIntrospectorRefuses(t *testing.T) {
	t.Parallel()
	for _, o := range []IntrospectorOptions{
		{},
		{BaseURL: "login.example.com", ClientID: "a", ClientSecret: "b"},
		{BaseURL: "https://u:hidden@h", ClientID: "a", ClientSecret: "b"},
		{BaseURL: "https://h?q=1", ClientID: "a", ClientSecret: "b"},
		{BaseURL: "https://h", ClientSecret: "b"},
		{BaseURL: "https://h", ClientID: "a"},
	} {
		_, err := NewIntrospector(o)
		if err == nil || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
