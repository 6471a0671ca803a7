package sessiongate

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// IntrospectorOptions says where and as whom to ask. BaseURL, ClientID and
// ClientSecret have to be set.
type IntrospectorOptions struct {
	BaseURL      string // of the gateway, such as https://login.example.com
	ClientID     string // an entry under the gateway's clients, with allow: [introspect], and feed to remember answers
	ClientSecret string

	// HTTPClient sends the requests; nil: one with 256 kept connections. Its Timeout
	// has to be 0 if Follow is used: the feed does not end.
	HTTPClient *http.Client
	// Timeout is how long one answer may take; 0: two seconds.
	Timeout time.Duration

	// CacheSize is how many answers are remembered while Follow runs; 0: 10,000.
	CacheSize int
	// CacheTTL is how long one is good: how long a token that was refreshed, or
	// whose key was deleted in Redis by hand, may still pass. 0: one minute.
	CacheTTL time.Duration
	// Silence is how long the feed may be silent before answers are no longer
	// remembered: more than the gateway's feed.heartbeat. 0: 20 seconds.
	Silence time.Duration
	// OnRevocation is called for each session that ends; nil: nobody asks. It must
	// not wait for anything.
	OnRevocation func(Revocation)
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// An Introspector asks the gateway whom a token speaks for (RFC 7662). It is a
// Verifier, safe for concurrent use.
//
// Without Follow it asks every time, so a revocation counts at once. While Follow
// runs and hears the gateway's feed of revocations, answers are remembered for
// CacheTTL and forgotten within milliseconds of a revocation. When the feed falls
// silent it asks every time again, within Silence at the latest.
type Introspector struct {
	o        IntrospectorOptions
	endpoint string
	client   *http.Client
	answers  *answers
	flights  flights
}

// NewIntrospector returns an introspector. It asks nothing yet. The error says
// which option is wrong.
func NewIntrospector(o IntrospectorOptions) (*Introspector, error) {
	base, err := baseURL(o.BaseURL)
	if err != nil {
		return nil, err
	}
	if o.ClientID == "" || o.ClientSecret == "" {
		return nil, errors.New("sessiongate: ClientID and ClientSecret must be set")
	}
	o.Timeout = orDuration(o.Timeout, 2*time.Second)
	o.CacheTTL = orDuration(o.CacheTTL, time.Minute)
	o.Silence = orDuration(o.Silence, 20*time.Second)
	if o.CacheSize == 0 {
		o.CacheSize = 10_000
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	client := o.HTTPClient
	if client == nil {
		client = pooled()
	}
	in := &Introspector{o: o, endpoint: base, client: noRedirects(client)}
	in.answers = newAnswers(o.CacheSize, o.CacheTTL, o.Now)
	in.flights.calls = map[digest]*flight{}
	return in, nil
}

// Follow reads the gateway's feed of revocations until ctx is done, and lets
// answers be remembered while it hears it. One is enough.
func (in *Introspector) Follow(ctx context.Context) {
	f := &feed{
		request: func(ctx context.Context) (*http.Request, error) {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, in.endpoint+"/revocations", nil)
			if err == nil {
				in.authenticate(req)
			}
			return req, err
		},
		client: in.client, silence: in.o.Silence, pause: sleep, on: in.o.OnRevocation, answers: in.answers,
	}
	f.run(ctx)
}

// Following says whether answers are remembered right now: whether the feed has
// been heard of late.
func (in *Introspector) Following() bool {
	in.answers.mu.Lock()
	defer in.answers.mu.Unlock()
	return in.answers.connected()
}

// Verify returns whom the token speaks for: with one request or, while the feed is
// followed, from memory or with one that all who ask at that moment share.
func (in *Introspector) Verify(ctx context.Context, token string) (*Session, error) {
	if !tokenLike(token) {
		return nil, ErrInactive
	}
	key := digest(sha256.Sum256([]byte(token)))
	s, life, following := in.answers.get(key)
	if s != nil {
		return s, nil
	}
	ask := func(ctx context.Context) (*Session, error) {
		ctx, cancel := context.WithTimeout(ctx, in.o.Timeout)
		defer cancel()
		s, remaining, err := in.ask(ctx, token)
		if err == nil && !in.answers.put(key, s, remaining, life) {
			return nil, ErrInactive
		}
		return s, err
	}
	if !following {
		return ask(ctx)
	}
	// Not the caller's context: others wait for the same answer.
	return in.flights.do(ctx, key, func() (*Session, error) { return ask(context.WithoutCancel(ctx)) })
}

// ask introspects. remaining is how long the token lives, by the gateway's clock.
func (in *Introspector) ask(ctx context.Context, token string) (_ *Session, remaining time.Duration, err error) {
	form := url.Values{"token": {token}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, in.endpoint+"/oauth2/introspect", strings.NewReader(form))
	if err != nil {
		return nil, 0, fmt.Errorf("sessiongate: introspect: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	in.authenticate(req)
	res, err := in.client.Do(req)
	if err != nil {
		return nil, 0, fmt.Errorf("sessiongate: introspect: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("sessiongate: introspect: %w", readError(res))
	}
	var a introspection
	if err := json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(&a); err != nil {
		return nil, 0, fmt.Errorf("sessiongate: introspect: the answer can't be read: %w", err)
	}
	switch {
	case a.Active == nil:
		return nil, 0, errors.New("sessiongate: introspect: the answer does not say whether the token is active")
	case !*a.Active:
		return nil, 0, ErrInactive
	}
	s := a.session()
	return s, s.ExpiresAt.Sub(dateOf(res.Header, in.o.Now())), nil
}

func (in *Introspector) authenticate(req *http.Request) {
	// RFC 6749 §2.3.1: each is form-encoded first.
	req.SetBasicAuth(url.QueryEscape(in.o.ClientID), url.QueryEscape(in.o.ClientSecret))
}

// introspection is an answer (RFC 7662 §2.2).
type introspection struct {
	Active   *bool    `json:"active"`
	Issuer   string   `json:"iss"`
	Subject  string   `json:"sub"`
	Audience audience `json:"aud"`
	ClientID string   `json:"client_id"`
	Username string   `json:"username"`
	Scope    string   `json:"scope"`
	Expires  int64    `json:"exp"`
	Issued   int64    `json:"iat"`
	ID       string   `json:"jti"`
	Session  string   `json:"sid"`
	AuthTime int64    `json:"auth_time"`
	AMR      []string `json:"amr"`
	Roles    []string `json:"roles"`
}

func (a *introspection) session() *Session {
	return &Session{
		ID: a.Session, Subject: a.Subject, ClientID: a.ClientID, Username: a.Username,
		Scopes: strings.Fields(a.Scope), Roles: a.Roles, AMR: a.AMR, Issuer: a.Issuer, Audience: a.Audience,
		TokenID: a.ID, IssuedAt: unix(a.Issued), ExpiresAt: unix(a.Expires), AuthTime: unix(a.AuthTime),
	}
}

// audience is one text or several (RFC 7519 §4.1.3).
type audience []string

// UnmarshalJSON reads either form.
func (a *audience) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(a))
}

func unix(s int64) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(s, 0).UTC()
}

// dateOf returns the sender's time, so that no clock of ours is compared with one
// of theirs; now where it does not say.
func dateOf(h http.Header, now time.Time) time.Time {
	if at, err := http.ParseTime(h.Get("Date")); err == nil {
		return at
	}
	return now
}
