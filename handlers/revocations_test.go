package handlers_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/internal/config"
	"github.com/sessiongate/sessiongate/internal/testenv"
	"github.com/sessiongate/sessiongate/store"
)

// pair is two gateways on the same stores.
func pair(t *testing.T, change func(*config.Config)) (one, other *gateway) {
	t.Helper()
	redisURL, _ := testenv.Redis(t)
	cfg := testConfig(redisURL, testenv.Postgres(t))
	if change != nil {
		change(&cfg)
	}
	return startWith(t, cfg), startWith(t, cfg)
}

func (g *gateway) feedRequest(ctx context.Context, client, query string) *http.Request {
	g.t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, g.url+"/revocations"+query, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	if client != "" {
		r.SetBasicAuth(client, url.QueryEscape(clientSecret))
	}
	return r
}

func (g *gateway) poll(query string) answer {
	g.t.Helper()
	return g.send(g.feedRequest(g.t.Context(), "cache", query))
}

// here is the cursor of now.
func (g *gateway) here() string {
	g.t.Helper()
	a := g.want(g.poll(""), http.StatusOK)
	if a.text("cursor") == "" || len(a.list("revocations")) > 0 || a.body["reset"] != false {
		g.t.Fatalf("without a cursor: %s", a.raw)
	}
	return a.text("cursor")
}

func (g *gateway) logout(token string) {
	g.t.Helper()
	g.want(g.do(http.MethodPost, "/sessions/logout", token, ""), http.StatusNoContent)
}

func TestRevocations(t *testing.T) {
	t.Parallel()
	one, other := pair(t, nil)
	token, sid := one.open("u1")
	spared, _ := one.open("u2")
	cursor := other.here()

	type heard struct {
		answer
		at time.Time
	}
	got := make(chan heard, 1)
	go func() { got <- heard{other.poll("?wait=25&since=" + cursor), time.Now()} }()
	other.eventually("the reader", func() bool {
		return strings.Contains(other.do(http.MethodGet, "/metrics", "", "").raw, "\nsessiongate_feed_readers 1\n")
	})
	one.logout(token)
	acknowledged := time.Now()
	h := <-got
	t.Logf("heard on the other gateway %v after the logout was acknowledged", h.at.Sub(acknowledged))
	list := other.want(h.answer, http.StatusOK).list("revocations")
	if len(list) != 1 || h.body["reset"] != false || h.text("cursor") == cursor {
		t.Fatalf("answer %s", h.raw)
	}
	r := list[0]
	if r["session_id"] != sid || r["user_id"] != "u1" || r["reason"] != "logout" || len(r) != 5 {
		t.Errorf("revocation %v", r)
	}
	at, until := one.moment(r["revoked_at"]), one.moment(r["until"])
	if !until.Equal(one.read(token).ExpiresAt) || at.After(until) || time.Since(at).Abs() > time.Minute {
		t.Errorf("revoked at %v, matters until %v", at, until)
	}
	// A refresh is no ending.
	one.want(one.do(http.MethodPost, "/sessions/refresh", spared, ""), http.StatusOK)
	if a := other.want(other.poll("?wait=1&since="+h.text("cursor")), http.StatusOK); len(a.list("revocations")) > 0 ||
		a.body["reset"] != false || a.text("cursor") != h.text("cursor") {
		t.Errorf("nothing has ended since, and the answer is %s", a.raw)
	}
	// Either gateway goes on from the other's cursor.
	if a := one.want(one.poll("?since="+cursor), http.StatusOK); a.text("cursor") != h.text("cursor") || len(a.list("revocations")) != 1 {
		t.Errorf("at the first gateway: %s", a.raw)
	}
	if a := one.want(one.poll("?wait=25&since=AQAB"), http.StatusOK); a.body["reset"] != true || len(a.list("revocations")) > 0 {
		t.Errorf("a cursor of nobody's: %s", a.raw)
	}
}

func TestRevocationsRefuses(t *testing.T) {
	t.Parallel()
	g := start(t, func(c *config.Config) { c.Feed.MaxReaders = 1 })
	ctx := t.Context()
	g.wantProblem(g.send(g.feedRequest(ctx, "", "")), http.StatusUnauthorized, "invalid_client", "")
	g.wantProblem(g.send(g.feedRequest(ctx, "shop", "")), http.StatusForbidden, "forbidden", "")
	for _, query := range []string{"?wait=26", "?wait=-1", "?wait=x", "?wait=01", "?wait=1&wait=1", "?since=a&since=b", "?since=%"} {
		g.wantProblem(g.poll(query), http.StatusBadRequest, "invalid_request", "")
	}
	head := g.feedRequest(ctx, "cache", "?wait=25&since="+g.here())
	head.Method = http.MethodHead
	g.want(g.send(head), http.StatusOK)

	s := g.stream("", "")
	s.until("id")
	if a := g.poll(""); a.status != http.StatusServiceUnavailable || a.body["code"] != "overloaded" || a.header.Get("Retry-After") == "" {
		t.Errorf("one reader too many: %d %s", a.status, a.raw)
	}
}

// stream is the other end of an event stream.
type stream struct {
	t      *testing.T
	header http.Header
	lines  *bufio.Scanner
	last   string // Last-Event-ID
	stop   context.CancelFunc
}

func (g *gateway) stream(query, last string) *stream {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), time.Minute)
	g.t.Cleanup(cancel)
	r := g.feedRequest(ctx, "cache", query)
	r.Header.Set("Accept", "text/event-stream")
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { res.Body.Close() })
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
		b, _ := io.ReadAll(res.Body)
		g.t.Fatalf("%d %s %s", res.StatusCode, res.Header.Get("Content-Type"), b)
	}
	return &stream{t: g.t, header: res.Header, lines: bufio.NewScanner(res.Body), last: last, stop: cancel}
}

// until reads to the end of the next block of that kind (an event's name, "id" for
// an id alone, "comment") and returns its data.
func (s *stream) until(want string) (data map[string]any) {
	s.t.Helper()
	for {
		kind, raw, ok := s.block()
		if !ok {
			s.t.Fatalf("the stream ends before %s: %v", want, s.lines.Err())
		}
		if kind != want {
			continue
		}
		if raw != "" {
			if err := json.Unmarshal([]byte(raw), &data); err != nil {
				s.t.Fatalf("data %s: %v", raw, err)
			}
		}
		return data
	}
}

func (s *stream) block() (kind, data string, ok bool) {
	for s.lines.Scan() {
		name, value, _ := strings.Cut(s.lines.Text(), ": ")
		switch {
		case s.lines.Text() == "" && kind != "":
			return kind, data, true
		case strings.HasPrefix(s.lines.Text(), ":"):
			kind = "comment"
		case name == "id":
			s.last = value
			if kind == "" {
				kind = "id"
			}
		case name == "event":
			kind = value
		case name == "data":
			data = value
		}
	}
	return "", "", false
}

// ends reads to the end, and wants it to be one in good order.
func (s *stream) ends() {
	s.t.Helper()
	for s.lines.Scan() {
	}
	if err := s.lines.Err(); err != nil {
		s.t.Errorf("the stream is cut off: %v", err)
	}
}

func TestRevocationStream(t *testing.T) {
	t.Parallel()
	one, other := pair(t, func(c *config.Config) {
		c.Feed.Heartbeat = time.Second
		c.HTTP.RequestTimeout, c.HTTP.ReadHeaderTimeout = 500*time.Millisecond, 100*time.Millisecond
	})
	tokens := make(map[string]string)
	var sids []string
	for range 3 {
		token, sid := one.open("u1")
		tokens[sid] = token
		sids = append(sids, sid)
	}
	s := other.stream("", "")
	if s.header.Get("Cache-Control") != "no-store" || s.header.Get("X-Request-Id") == "" {
		t.Errorf("header %v", s.header)
	}
	s.until("id")
	start := s.last
	for range 7 { // beyond all time limits of other requests
		s.until("comment")
	}
	one.logout(tokens[sids[0]])
	acknowledged := time.Now()
	first := s.until("revocation")
	t.Logf("heard on the other gateway %v after the logout was acknowledged", time.Since(acknowledged))
	if first["session_id"] != sids[0] || first["reason"] != "logout" || len(first) != 5 {
		t.Errorf("event %v", first)
	}
	afterFirst := s.last
	s.stop()

	one.logout(tokens[sids[1]])
	again := one.stream("?since="+start, afterFirst) // the header is the later one
	if e := again.until("revocation"); e["session_id"] != sids[1] {
		t.Errorf("after Last-Event-ID comes %v", e)
	}
	whole := one.stream("?since="+start, "")
	for i := range 2 {
		kind, data, _ := whole.block() // and no id before it that would skip it
		if kind != "revocation" || !strings.Contains(data, sids[i]) {
			t.Errorf("block %d is %s %s", i, kind, data)
		}
	}
	if kind, _, _ := whole.block(); kind != "comment" {
		t.Errorf("when it has told all comes %s, want a heartbeat", kind)
	}
	late := one.stream("", "AQAB")
	late.until("reset")
	one.logout(tokens[sids[2]])
	if e := late.until("revocation"); e["session_id"] != sids[2] {
		t.Errorf("after the reset comes %v", e)
	}
}

// TestRevocationOfARemovedKey: what an administrator deletes by hand reaches the
// feed within reconcile's period.
func TestRevocationOfARemovedKey(t *testing.T) {
	t.Parallel()
	one, other := pair(t, func(c *config.Config) { c.Jobs.Reconcile = "@every 1s" })
	_, sid := one.open("u1")
	_, sid2 := one.open("u1")
	one.eventually("the rows", func() bool {
		rows, err := one.postgres.Active(t.Context(), "", 10)
		return err == nil && len(rows) == 2
	})
	s := other.stream("", "")
	s.until("id")
	one.redis.Del(t.Context(), store.KeysOf("u1", 1).User)
	var got []string
	for len(got) < 2 {
		e := s.until("revocation")
		id, _ := e["session_id"].(string)
		if e["reason"] != "removed_in_redis" || e["user_id"] != "u1" {
			t.Errorf("event %v", e)
		}
		if !slices.Contains(got, id) { // two gateways may both announce it
			got = append(got, id)
		}
	}
	want := []string{sid, sid2}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("heard of %v, want %v", got, want)
	}
}

func TestRevocationsOverARestartOfRedis(t *testing.T) {
	t.Parallel()
	rd := testenv.OwnRedis(t)
	g := startWith(t, testConfig(rd.URL(), testenv.Postgres(t)))
	token, sid := g.open("u1")
	s := g.stream("", "")
	s.until("id")
	if err := rd.Stop(); err != nil {
		t.Fatal(err)
	}
	s.ends()
	if a := g.poll("?wait=25&since=" + s.last); a.status != http.StatusServiceUnavailable ||
		a.body["code"] != "store_unavailable" || a.header.Get("Retry-After") == "" {
		t.Errorf("while Redis is away: %d %s", a.status, a.raw)
	}
	if err := rd.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.eventually("the feed", func() bool { return g.poll("?since="+s.last).status == http.StatusOK })
	g.eventually("Redis", func() bool { return g.do(http.MethodGet, "/sessions/status", token, "").status == http.StatusOK })
	g.logout(token)
	var a answer
	g.eventually("the logout", func() bool {
		a = g.poll("?wait=5&since=" + s.last)
		return a.status == http.StatusOK
	})
	list := a.list("revocations")
	if len(list) != 1 || list[0]["session_id"] != sid || a.body["reset"] != false {
		t.Errorf("after the restart: %s", a.raw)
	}
}
