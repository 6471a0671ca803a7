package sessiongate

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// ClientOptions says where the gateway is and how to keep a session. Only BaseURL
// has to be set.
type ClientOptions struct {
	BaseURL string // of the gateway, such as https://login.example.com

	// Store keeps the session over restarts; nil: in memory.
	Store Store
	// Device is what sign-ins say of the device; users see it in their list.
	Device Device
	// APIOrigins are those, beside the gateway's own, that Transport gives the token
	// to, such as https://api.example.com.
	APIOrigins []string
	// NotLive leaves out the stream that lets a sign-out from elsewhere arrive at once.
	NotLive bool

	// HTTPClient sends the requests; nil: one of its own. Its Timeout has to be 0
	// unless NotLive is set: the stream does not end.
	HTTPClient *http.Client
	// Clock is the time; nil: the system's.
	Clock Clock
	// Random spreads retries, 0 ≤ r < 1; nil: math/rand/v2.Float64.
	Random func() float64
}

// A Client keeps a user signed in: it refreshes the session before its time runs
// out, survives restarts and outages, and signs out only on the gateway's definite
// word. Make one for the whole program. It is safe for concurrent use.
type Client struct {
	wire     *wire
	keeper   *keeper
	core     *core
	farewell *farewell
	live     *live // nil: not wanted
	origins  map[string]bool
	news     news

	mu      sync.Mutex
	started *exchange
}

// NewClient returns a client. It asks nothing yet. The error says which option is
// wrong.
func NewClient(o ClientOptions) (*Client, error) {
	base, err := baseURL(o.BaseURL)
	if err != nil {
		return nil, err
	}
	c := &Client{origins: map[string]bool{}}
	for _, s := range append([]string{base}, o.APIOrigins...) {
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return nil, fmt.Errorf("sessiongate: one of APIOrigins is %q, want one such as https://api.example.com", redact(s))
		}
		c.origins[originOf(u)] = true
	}
	if o.HTTPClient == nil {
		o.HTTPClient = &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}
	}
	if o.Store == nil {
		o.Store = NewMemoryStore()
	}
	if o.Clock == nil {
		o.Clock = newSystemClock()
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	c.wire = &wire{base: base, client: noRedirects(o.HTTPClient), clock: o.Clock}
	if o.Device != (Device{}) {
		c.wire.device = &o.Device
	}
	c.keeper = newKeeper(o.Store)
	c.core = newCore(c.wire, c.keeper, o.Random, c.changed)
	c.farewell = newFarewell(c.wire, c.keeper, o.Random)
	if !o.NotLive {
		c.live = newLive(c.wire, c.core, o.Random)
	}
	return c, nil
}

// originOf is an origin as browsers have it: scheme, host and port.
func originOf(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[strings.ToLower(u.Scheme)]
	}
	return strings.ToLower(u.Scheme + "://" + u.Hostname() + ":" + port)
}

// changed is called with the core's lock.
func (c *Client) changed(s Snapshot) {
	switch {
	case c.live == nil:
	case s.State == StateActive && s.Session != nil:
		c.live.open(s.Session.ID)
	case s.State == StateSignedOut:
		c.live.close()
	}
	c.news.tell(s)
}

// Snapshot returns what is known now.
func (c *Client) Snapshot() Snapshot {
	c.core.mu.Lock()
	defer c.core.mu.Unlock()
	return c.core.snapshot
}

// Subscribe calls back with every change, one after the other, until the function
// that it returns is called.
func (c *Client) Subscribe(f func(Snapshot)) (unsubscribe func()) { return c.news.subscribe(f) }

// Start takes up the stored session, if there is one, and keeps it from then on.
// It returns when it is known what there is. The error is ctx's; the start goes
// on all the same.
func (c *Client) Start(ctx context.Context) (Snapshot, error) {
	c.mu.Lock()
	x := c.started
	if x == nil {
		x = newExchange()
		c.started = x
		go func() {
			c.farewell.send()
			c.core.begin()
			x.finish()
		}()
	}
	c.mu.Unlock()
	err := wait(ctx, x.done)
	return c.Snapshot(), err
}

// Stop stops timers and requests, and leaves the session as it is. Start goes on.
func (c *Client) Stop() {
	c.core.stop()
	c.farewell.stop()
	if c.live != nil {
		c.live.close()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.started = nil
}

// Login signs the user in. A refusal of the gateway is an *Error, such as of the
// code invalid_credentials.
func (c *Client) Login(ctx context.Context, who Credentials) error {
	body := struct {
		Credentials
		Device *Device `json:"device_info,omitempty"`
	}{who, c.wire.device}
	return c.open(ctx, func() reply {
		return c.wire.send(ctx, call{method: "POST", path: "/sessions/login", body: body})
	})
}

// Accept takes over a session that the application's own backend has opened. The
// answer is the body that POST /sessions gave it.
func (c *Client) Accept(ctx context.Context, answer []byte) error {
	return c.open(ctx, func() reply { return reply{body: answer} })
}

func (c *Client) open(ctx context.Context, ask func() reply) error {
	c.mu.Lock()
	started := c.started != nil
	c.mu.Unlock()
	if !started {
		if _, err := c.Start(ctx); err != nil {
			return err
		}
	}
	c.core.mu.Lock()
	e := c.core.epoch
	c.core.mu.Unlock()
	r := ask()
	if r.err != nil {
		return r.err
	}
	at := c.wire.clock.Now()
	t, isOurs := readTerms(r.body, true)
	if !isOurs {
		return ErrNotOurs
	}
	c.core.mu.Lock()
	left := c.core.epoch != e && c.core.snapshot.Reason == "signed_out"
	c.core.mu.Unlock()
	if left { // the user signed out while the answer was on its way
		c.keeper.remove(nil, "", t.held.access)
		c.farewell.send()
		return ErrSignedOut
	}
	c.core.open(t, at)
	return nil
}

// Token returns the token to send to an API, and waits for a refresh if the one
// there is will not last; "" if nobody is signed in. The error is ctx's alone: a
// gateway that can't be reached is no reason not to try the token.
func (c *Client) Token(ctx context.Context) (string, error) {
	if err := c.known(ctx); err != nil {
		return "", err
	}
	core := c.core
	core.mu.Lock()
	defer core.mu.Unlock()
	if core.token() == "" || !core.isDue() || core.retrying {
		return core.token(), nil
	}
	refreshed := core.sync(wantRefresh)
	if core.roomy() {
		return core.token(), nil
	}
	core.mu.Unlock()
	err := wait(ctx, refreshed)
	core.mu.Lock()
	if err != nil {
		return "", err
	}
	return core.token(), nil
}

// Refresh refreshes now, if the gateway may be asked, and returns the token that
// there is then, as Token does.
func (c *Client) Refresh(ctx context.Context) (string, error) {
	if err := c.known(ctx); err != nil {
		return "", err
	}
	c.core.mu.Lock()
	defer c.core.mu.Unlock()
	refreshed := c.core.sync(wantRefresh)
	c.core.mu.Unlock()
	err := wait(ctx, refreshed)
	c.core.mu.Lock()
	if err != nil {
		return "", err
	}
	return c.core.token(), nil
}

// known starts the client if nobody has.
func (c *Client) known(ctx context.Context) error {
	if c.Snapshot().State != StateUnknown {
		return nil
	}
	_, err := c.Start(ctx)
	return err
}

// Logout signs out on this device: at once, and at the gateway as soon as it can be
// reached. The error is ctx's, which ends the waiting and nothing else.
func (c *Client) Logout(ctx context.Context) error {
	c.core.load()
	if c.live != nil {
		c.live.close()
	}
	c.core.mu.Lock()
	c.core.endLocked("signed_out", c.core.token())
	return wait(ctx, c.farewell.send())
}

// Resume is for a program that was not running for a while: the gateway is asked,
// unless it just was.
func (c *Client) Resume() {
	if c.live != nil {
		c.live.hurry()
	}
	core := c.core
	core.mu.Lock()
	defer core.mu.Unlock()
	switch {
	case core.retrying:
		core.hurry()
	case core.held == nil || !core.hasWaited():
	case core.isDue():
		core.sync(wantRefresh)
	default:
		core.sync(wantStatus)
	}
}

// Online is for when there is a network again: waits end, but not those that the
// gateway asked for.
func (c *Client) Online() {
	if c.live != nil {
		c.live.hurry()
	}
	c.farewell.send()
	c.core.mu.Lock()
	defer c.core.mu.Unlock()
	c.core.hurry()
}

// Touch says that the user did something: it counts against an idle timeout, with
// the next refresh.
func (c *Client) Touch() {
	c.core.mu.Lock()
	defer c.core.mu.Unlock()
	c.core.touched = true
}

func wait(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("sessiongate: %w", context.Cause(ctx))
	}
}
