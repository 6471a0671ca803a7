//go:build go1.25

package sessiongate_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	sessiongate "github.com/sessiongate/sessiongate/clients/go"
)

const base = "https://gateway.test"

// world is all that the clients of a vector have around them. What a client that
// was killed waits for never comes, until the end.
type world struct {
	canned map[string]cannedAnswer
	live   bool
	over   chan struct{}

	mu        sync.Mutex
	now       time.Duration
	wall      time.Time // less now
	timers    []*timer
	calls     []*request
	named     map[string]*request
	results   map[string][]*result
	instances map[string]*instance
	text      string
	held      chan struct{} // closed when writes go on; nil: they do
	answering string
}

type instance struct {
	*sessiongate.Client
	world *world
	name  string
	dead  bool
}

type timer struct {
	at  time.Duration
	run func()
	of  *instance
}

func newWorld(v vector, canned map[string]cannedAnswer) *world {
	w := &world{
		canned: canned, live: v.Given.Options.Live, over: make(chan struct{}), now: 5 * time.Second,
		named: map[string]*request{}, results: map[string][]*result{}, instances: map[string]*instance{},
	}
	w.wall = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC).Add(seconds(v.Given.WallOffset) - w.now)
	if given := v.Given.Stored; given != nil && json.Unmarshal(given, &w.text) != nil {
		w.store(given)
	}
	return w
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

func (w *world) store(object json.RawMessage) {
	w.text = `{"v":1,` + strings.TrimPrefix(string(object), "{")
}

// close lets everything come to its end.
func (w *world) close() {
	w.mu.Lock()
	for _, i := range w.instances {
		i.dead = true
	}
	w.mu.Unlock()
	for _, i := range w.instances {
		i.Stop()
	}
	close(w.over)
}

func (w *world) instance(name string) *instance {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i := w.instances[name]; i != nil {
		return i
	}
	i := &instance{world: w, name: name}
	client, err := sessiongate.NewClient(sessiongate.ClientOptions{
		BaseURL: base, NotLive: !w.live, Store: i, Clock: i, HTTPClient: &http.Client{Transport: i},
		Random: func() float64 { return 0.5 },
	})
	if err != nil {
		panic(err)
	}
	i.Client = client
	w.instances[name] = i
	return i
}

var errOver = errors.New("the vector is over")

// Load is the store's.
func (i *instance) Load() (string, error) {
	i.world.mu.Lock()
	defer i.world.mu.Unlock()
	if i.dead {
		i.never()
		return "", errOver
	}
	return i.world.text, nil
}

// Save is the store's.
func (i *instance) Save(text string) error {
	w := i.world
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.held != nil && !i.dead {
		held := w.held
		w.mu.Unlock()
		select {
		case <-held:
		case <-w.over:
		}
		w.mu.Lock()
	}
	if i.dead {
		i.never()
		return errOver
	}
	w.text = text
	return nil
}

// never is what waits without an end. The caller has the world's lock.
func (i *instance) never() {
	i.world.mu.Unlock()
	<-i.world.over
	i.world.mu.Lock()
}

// Now is the clock's.
func (i *instance) Now() time.Duration {
	i.world.mu.Lock()
	defer i.world.mu.Unlock()
	return i.world.now
}

// Wall is the clock's.
func (i *instance) Wall() time.Time {
	i.world.mu.Lock()
	defer i.world.mu.Unlock()
	return i.world.wall.Add(i.world.now)
}

// AfterFunc is the clock's.
func (i *instance) AfterFunc(d time.Duration, f func()) func() {
	w := i.world
	w.mu.Lock()
	defer w.mu.Unlock()
	t := &timer{at: w.now + d, run: f, of: i}
	w.timers = append(w.timers, t)
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.timers = slices.DeleteFunc(w.timers, func(o *timer) bool { return o == t })
	}
}

// settle lets everything run that can without time passing.
func (w *world) settle() {
	synctest.Wait()
	w.mu.Lock()
	answering := w.answering
	var calls []*request
	if answering != "" {
		calls, w.calls = w.calls, nil
	}
	w.mu.Unlock()
	for _, c := range calls {
		c.give(w.canned[answering])
	}
	synctest.Wait()
}

// advance lets time pass, and timers run in their order.
func (w *world) advance(d time.Duration, answering string) {
	w.mu.Lock()
	w.answering = answering
	until := w.now + d
	for {
		var due *timer
		for _, t := range w.timers {
			if t.at <= until && (due == nil || t.at < due.at) {
				due = t
			}
		}
		if due == nil {
			break
		}
		w.now = max(w.now, due.at)
		w.timers = slices.DeleteFunc(w.timers, func(o *timer) bool { return o == due })
		w.mu.Unlock()
		go due.run()
		w.settle()
		w.mu.Lock()
	}
	w.now, w.answering = until, ""
	w.mu.Unlock()
}

func (w *world) kill(name string) {
	i := w.instance(name)
	w.mu.Lock()
	defer w.mu.Unlock()
	i.dead = true
	w.timers = slices.DeleteFunc(w.timers, func(t *timer) bool { return t.of == i })
}

func (w *world) holdWrites(hold bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.held != nil {
		close(w.held)
		w.held = nil
	}
	if hold {
		w.held = make(chan struct{})
	}
}

// request is one that a client has made, and that waits for its answer.
type request struct {
	of           *instance
	method, path string
	token        *string // nil: no Authorization
	body         []byte
	answer       chan cannedAnswer
	stream       *stream
}

// RoundTrip is the network's.
func (i *instance) RoundTrip(r *http.Request) (*http.Response, error) {
	c := &request{of: i, method: r.Method, path: r.URL.RequestURI(), answer: make(chan cannedAnswer, 1), stream: newStream(r.Context().Done())}
	if r.URL.Scheme+"://"+r.URL.Host != base {
		c.path = r.URL.String()
	}
	if a, has := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); has {
		c.token = &a
	}
	if r.Body != nil {
		c.body, _ = io.ReadAll(r.Body)
		_ = r.Body.Close()
	}
	w := i.world
	w.mu.Lock()
	w.calls = append(w.calls, c)
	w.mu.Unlock()
	select {
	case <-w.over:
		return nil, errOver
	case <-r.Context().Done():
		return nil, r.Context().Err()
	case a := <-c.answer:
		return c.response(r, a)
	}
}

func (c *request) response(r *http.Request, a cannedAnswer) (*http.Response, error) {
	if a.Network != "" {
		return nil, errors.New("no network")
	}
	res := &http.Response{StatusCode: a.Status, Header: http.Header{}, Request: r, ProtoMajor: 1, ProtoMinor: 1}
	for name, value := range a.Headers {
		res.Header.Set(name, value)
	}
	switch {
	case a.Stream:
		res.Body = c.stream
	case a.Body != nil:
		res.Body = io.NopCloser(strings.NewReader(string(a.Body)))
	default:
		res.Body = io.NopCloser(strings.NewReader(a.Text))
	}
	return res, nil
}

func (c *request) give(a cannedAnswer) {
	if !c.of.dead {
		c.answer <- a
	}
}

// stream is a body that comes piece by piece.
type stream struct {
	pieces chan string
	gone   <-chan struct{} // the request's context
	rest   string
	closed chan struct{}
	once   sync.Once
}

func newStream(gone <-chan struct{}) *stream {
	return &stream{pieces: make(chan string, 16), gone: gone, closed: make(chan struct{})}
}

func (s *stream) Read(p []byte) (int, error) {
	if s.rest == "" {
		select {
		case <-s.gone:
			return 0, errors.New("canceled")
		case piece, open := <-s.pieces:
			if !open {
				return 0, io.EOF
			}
			s.rest = piece
		}
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

func (s *stream) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}
