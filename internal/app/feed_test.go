package app

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/internal/config"
	"github.com/sessiongate/sessiongate/internal/testenv"
)

// feed asks for the feed of revocations as the client "cache".
func (r *running) feed(query, accept string) *http.Response {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.url+"/revocations"+query, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.SetBasicAuth("cache", "s")
	req.Header.Set("Accept", accept)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { res.Body.Close() })
	return res
}

// TestStopWithReadersWaiting: neither an event stream nor a request that waits
// holds up a gateway that goes, and both end in good order.
func TestStopWithReadersWaiting(t *testing.T) {
	t.Parallel()
	redisURL, _ := testenv.Redis(t)
	cfg := testConfig(redisURL, testenv.Postgres(t))
	cfg.Clients = []config.Client{{ID: "cache", SecretsSHA256: []string{secretHashOf("s")}, Allow: []string{config.AllowFeed}}}
	r := start(t, cfg)
	r.until(ready)

	stream := r.feed("", "text/event-stream")
	lines := bufio.NewScanner(stream.Body)
	cursor := ""
	for cursor == "" && lines.Scan() {
		cursor, _ = strings.CutPrefix(lines.Text(), "id: ")
		if !strings.HasPrefix(lines.Text(), "id: ") {
			cursor = ""
		}
	}
	polled := make(chan *http.Response, 1)
	go func() { polled <- r.feed("?wait=25&since="+cursor, "application/json") }()
	for {
		_, metrics := r.get("/metrics")
		if strings.Contains(metrics, "\nsessiongate_feed_readers 2\n") {
			break
		}
	}

	began := time.Now()
	if err := r.stopped(); err != nil {
		t.Errorf("stops with %v\n%s", err, r.log)
	}
	t.Logf("stopped in %v", time.Since(began))
	for lines.Scan() {
	}
	if err := lines.Err(); err != nil {
		t.Errorf("the stream is cut off: %v", err)
	}
	res := <-polled
	body, err := io.ReadAll(res.Body)
	want := `{"revocations":[],"cursor":"` + cursor + `","reset":false}`
	if err != nil || res.StatusCode != http.StatusOK || string(body) != want {
		t.Errorf("the request that waited is answered %d %s, %v; want %s", res.StatusCode, body, err, want)
	}
}
