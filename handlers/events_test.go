package handlers_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/internal/config"
)

// events opens the stream of a session's own end.
func (g *gateway) events(method, token string) *http.Response {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	g.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, method, g.url+"/sessions/events", nil)
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

// until reads until the text is there, and returns what it read.
func (g *gateway) until(res *http.Response, text string) string {
	g.t.Helper()
	var read strings.Builder
	b := make([]byte, 4096)
	for !strings.Contains(read.String(), text) {
		n, err := res.Body.Read(b)
		read.Write(b[:n])
		if err != nil && !strings.Contains(read.String(), text) {
			g.t.Fatalf("%v after %q, want %q", err, &read, text)
		}
	}
	return read.String()
}

func TestEvents(t *testing.T) {
	t.Parallel()
	g := start(t, func(c *config.Config) { c.Feed.Heartbeat = time.Second })
	token, sid := g.open("u1")
	res := g.events(http.MethodGet, token)
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" || res.Header.Get("X-Accel-Buffering") != "no" {
		t.Fatalf("%d %v", res.StatusCode, res.Header)
	}
	if got := g.until(res, "\n\n"); !strings.HasPrefix(got, "retry: 1000\nevent: hello\ndata: {\"sid\":\""+sid+`","server_time":"`) {
		t.Errorf("it begins with %q", got)
	}
	g.until(res, ": heartbeat\n\n")
	g.logout(token)
	got := g.until(res, "\n\n")
	if want := "event: ended\ndata: {\"sid\":\"" + sid + `","reason":"logout","ended_at":"`; !strings.Contains(got, want) {
		t.Errorf("it ends with %q, want %q", got, want)
	}
	if n, err := res.Body.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Error("it goes on after the end")
	}
	g.eventually("the reader to leave", func() bool {
		return strings.Contains(g.do(http.MethodGet, "/metrics", "", "").raw, "\nsessiongate_feed_readers 0\n")
	})
}

func TestEventsAreBounded(t *testing.T) {
	t.Parallel()
	g := start(t, func(c *config.Config) { c.Feed.MaxReaders = 1 })
	token, _ := g.open("u1")
	other, _ := g.open("u2")
	if head := g.events(http.MethodHead, token); head.StatusCode != http.StatusOK {
		t.Errorf("HEAD: %d", head.StatusCode)
	}
	g.until(g.events(http.MethodGet, token), "hello")
	g.wantProblem(g.do(http.MethodGet, "/sessions/events", other, ""), http.StatusServiceUnavailable, "overloaded", "")
}
