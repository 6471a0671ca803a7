package sessiongate

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// gateway is the part of a gateway that a test needs, with its answers in the
// test's hands.
type gateway struct {
	*httptest.Server
	stream chan string // what the feed says; closing it ends the connection

	mu         sync.Mutex
	introspect func(w http.ResponseWriter, token string)
	asked      int      // introspections
	cursors    []string // Last-Event-ID of each connection to the feed
}

func newGateway(t *testing.T) *gateway {
	t.Helper()
	g := &gateway{stream: make(chan string)}
	g.active(`{"active":true,"sub":"42","sid":"s1","scope":"read write","exp":4102444800}`)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /oauth2/introspect", g.serveIntrospect)
	mux.HandleFunc("GET /revocations", g.serveFeed)
	g.Server = httptest.NewServer(mux)
	t.Cleanup(g.Close)
	return g
}

// active lets all introspections be answered so.
func (g *gateway) active(body string) {
	g.answer(func(w http.ResponseWriter, _ string) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprint(w, body)
	})
}

func (g *gateway) answer(f func(w http.ResponseWriter, token string)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.introspect = f
}

func (g *gateway) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.asked
}

func (g *gateway) serveIntrospect(w http.ResponseWriter, r *http.Request) {
	if id, secret, _ := r.BasicAuth(); id != "api" || secret != "s%2Bcret" {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = fmt.Fprint(w, `{"error":"invalid_client","error_description":"wrong"}`)
		return
	}
	g.mu.Lock()
	g.asked++
	answer := g.introspect
	g.mu.Unlock()
	answer(w, r.PostFormValue("token"))
}

func (g *gateway) serveFeed(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	g.cursors = append(g.cursors, r.Header.Get("Last-Event-ID"))
	stream := g.stream
	g.mu.Unlock()
	w.Header().Set("Content-Type", "text/event-stream")
	_ = http.NewResponseController(w).Flush()
	for {
		select {
		case text, open := <-stream:
			if !open {
				return
			}
			_, _ = fmt.Fprint(w, text)
			_ = http.NewResponseController(w).Flush()
		case <-r.Context().Done():
			return
		}
	}
}

// cut ends the connection to the feed; the next one is on a new stream.
func (g *gateway) cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.stream)
	g.stream = make(chan string)
}

// say sends a block on whatever connection there is, or comes.
func (g *gateway) say(t *testing.T, text string) {
	t.Helper()
	g.mu.Lock()
	stream := g.stream
	g.mu.Unlock()
	select {
	case stream <- text:
	case <-time.After(10 * time.Second):
		t.Fatal("nobody reads the feed")
	}
}

func (g *gateway) introspector(t *testing.T, o IntrospectorOptions) *Introspector {
	t.Helper()
	o.BaseURL, o.ClientID, o.ClientSecret = g.URL+"/", "api", "s+cret"
	in, err := NewIntrospector(o)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// eventually waits until the condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for !holds() {
		select {
		case <-again.C:
		case <-deadline:
			t.Fatalf("%s: not within 10 s", what)
		}
	}
}

// clock is a time in the test's hands.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Now()} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}
