package sessiongate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"
)

// ErrSignedOut is what a Client's calls fail with that need a session when there
// is none.
var ErrSignedOut = errors.New("sessiongate: nobody is signed in")

// State is what a session is like, as far as a Client knows.
type State string

// The states. A program shows its signed-in part in StateActive and StateStale.
const (
	StateUnknown   State = "unknown"    // not started, or the first answer has not come
	StateSignedOut State = "signed_out" // there is no session
	StateActive    State = "active"     // the gateway's last word was that the session is good
	StateStale     State = "stale"      // signed in, but the gateway could not be asked
)

// A Snapshot is what a Client knows at one moment.
type Snapshot struct {
	State State
	// Reason is why there is no session any more, such as expired or signed_out (on
	// this device); "" if there was none. Expect more.
	Reason string
	// Session is nil until the gateway has told, and shared: it must not be changed.
	Session *DeviceSession
}

// Credentials are a user's own.
type Credentials struct {
	Identifier string `json:"identifier"`
	Password   string `json:"password"`
	// Remember starts a new session on this device when the old one's time ran out.
	Remember bool `json:"remember,omitempty"`
}

// Device is what a program says of the device it runs on.
type Device struct {
	Name     string `json:"name,omitempty"`
	Platform string `json:"platform,omitempty"`
	ID       string `json:"id,omitempty"` // the program's own, of the installation
}

// A DeviceSession is one signed-in device of a user, as the gateway shows it to
// them. What it did not say is empty or zero.
type DeviceSession struct {
	ID                string    `json:"id"`
	UserID            string    `json:"user_id"`
	DeviceInfo        string    `json:"device_info"` // name and platform
	DeviceID          string    `json:"device_id"`
	Platform          string    `json:"platform"`
	IPAddress         string    `json:"ip_address"` // where it began
	Country           string    `json:"country"`    // ISO 3166-1
	UserAgent         string    `json:"user_agent"`
	Active            bool      `json:"is_active"`
	CreatedAt         time.Time `json:"created_at"`
	LastActivity      time.Time `json:"last_activity"`
	ExpiresAt         time.Time `json:"expires_at"`
	AbsoluteExpiresAt time.Time `json:"absolute_expires_at"`
	ClientID          string    `json:"client_id"`
	Scope             string    `json:"scope"`
	AMR               []string  `json:"amr"`
	Current           bool      `json:"current"` // the one that asks
	EndedAt           time.Time `json:"ended_at"`
	EndReason         string    `json:"end_reason"`
}

// SessionQuery says which sessions to list. The zero value: the active ones.
type SessionQuery struct {
	State  string // active, ended or all
	Limit  int
	Cursor string // NextCursor of the page before
}

// A SessionPage is a part of a list, newest activity first.
type SessionPage struct {
	Sessions   []DeviceSession `json:"sessions"`
	NextCursor string          `json:"next_cursor"` // "": it was the last
}

// LogQuery says which entries to list. The zero value: all, newest first.
type LogQuery struct {
	Action    string
	SessionID string
	From, To  time.Time
	Limit     int
	Cursor    string
}

// A LogEntry is something that happened to a session of the user.
type LogEntry struct {
	ID           string    `json:"id"`
	CreatedAt    time.Time `json:"created_at"`
	UserID       string    `json:"user_id"`
	SessionID    string    `json:"session_id"`
	Action       string    `json:"action"` // login, token_refresh, logout or session_expired
	Success      bool      `json:"success"`
	ErrorMessage string    `json:"error_message"`
	Reason       string    `json:"reason"`
	DeviceInfo   string    `json:"device_info"`
	IPAddress    string    `json:"ip_address"`
	UserAgent    string    `json:"user_agent"`
	Country      string    `json:"country"`
}

// A LogPage is a part of the log.
type LogPage struct {
	Logs       []LogEntry `json:"logs"`
	NextCursor string     `json:"next_cursor"` // "": it was the last
}

// A RememberedDevice is one that may start a new session by itself.
type RememberedDevice struct {
	ID        string    `json:"id"`
	Device    string    `json:"device"` // what it said of itself
	DeviceID  string    `json:"device_id"`
	Platform  string    `json:"platform"`
	IPAddress string    `json:"ip_address"` // of its last session
	Country   string    `json:"country"`
	CreatedAt time.Time `json:"created_at"`
	LastUsed  time.Time `json:"last_used"`
	ExpiresAt time.Time `json:"expires_at"`
	SessionID string    `json:"sid"` // its last session, which may be over
	Current   bool      `json:"current"`
}

// Status asks the gateway what the session is like now.
func (c *Client) Status(ctx context.Context) (*DeviceSession, error) {
	var out struct {
		Session *DeviceSession `json:"session"`
	}
	if err := c.do(ctx, call{method: "GET", path: "/sessions/status"}, &out); err != nil {
		return nil, err
	}
	if out.Session == nil {
		return nil, ErrNotOurs
	}
	return out.Session, nil
}

// LogoutAll signs out on all devices and returns how many sessions have ended. It
// can't be promised without the gateway: it fails then, and nothing has changed.
func (c *Client) LogoutAll(ctx context.Context) (revoked int, err error) {
	revoked, err = c.logoutAll(ctx, struct{}{})
	if err == nil {
		c.core.end("signed_out", "")
	}
	return revoked, err
}

// LogoutOthers is LogoutAll for all devices but this one.
func (c *Client) LogoutOthers(ctx context.Context) (revoked int, err error) {
	return c.logoutAll(ctx, map[string]bool{"except_current": true})
}

func (c *Client) logoutAll(ctx context.Context, body any) (int, error) {
	return c.revoking(ctx, call{method: "POST", path: "/sessions/logout-all", body: body})
}

// ChangePassword changes the user's password. This session goes on; the user's
// others end, and it returns how many.
func (c *Client) ChangePassword(ctx context.Context, current, next string) (revoked int, err error) {
	body := map[string]string{"current_password": current, "new_password": next}
	return c.revoking(ctx, call{method: "POST", path: "/sessions/password", body: body})
}

func (c *Client) revoking(ctx context.Context, ask call) (int, error) {
	var out struct {
		Revoked *int `json:"revoked"`
	}
	if err := c.do(ctx, ask, &out); err != nil {
		return 0, err
	}
	if out.Revoked == nil {
		return 0, ErrNotOurs
	}
	return *out.Revoked, nil
}

// Sessions lists the user's sessions: their devices.
func (c *Client) Sessions(ctx context.Context, q SessionQuery) (page SessionPage, err error) {
	v := values{}
	v.text("state", q.State)
	v.page(q.Limit, q.Cursor)
	err = c.do(ctx, call{method: "GET", path: "/sessions/my-sessions" + v.String()}, &page)
	return page, err
}

// EndSession ends one of the user's sessions.
func (c *Client) EndSession(ctx context.Context, id string) error {
	return c.do(ctx, call{method: "DELETE", path: "/sessions/my-sessions/" + url.PathEscape(id)}, nil)
}

// Logs lists what happened to the user's sessions.
func (c *Client) Logs(ctx context.Context, q LogQuery) (page LogPage, err error) {
	v := values{}
	v.text("action", q.Action)
	v.text("session_id", q.SessionID)
	v.time("from", q.From)
	v.time("to", q.To)
	v.page(q.Limit, q.Cursor)
	err = c.do(ctx, call{method: "GET", path: "/sessions/my-session-logs" + v.String()}, &page)
	return page, err
}

// Devices lists the devices that the user asked to be remembered on.
func (c *Client) Devices(ctx context.Context) ([]RememberedDevice, error) {
	var out struct {
		Devices []RememberedDevice `json:"devices"`
	}
	err := c.do(ctx, call{method: "GET", path: "/sessions/my-devices"}, &out)
	return out.Devices, err
}

// ForgetDevice forgets a device, and signs it out.
func (c *Client) ForgetDevice(ctx context.Context, id string) error {
	return c.do(ctx, call{method: "DELETE", path: "/sessions/my-devices/" + url.PathEscape(id)}, nil)
}

// do makes a call of the gateway's own endpoints, whose refusal is the gateway's
// word on the session.
func (c *Client) do(ctx context.Context, ask call, out any) error {
	if _, err := c.Token(ctx); err != nil {
		return err
	}
	c.core.mu.Lock()
	token, state := c.core.token(), c.core.snapshot.State
	c.core.mu.Unlock()
	if token == "" && state == StateStale {
		return fmt.Errorf("%w: the device is remembered, and its session not resumed yet", ErrNoAnswer)
	}
	if token == "" {
		return ErrSignedOut
	}
	ask.token = token
	r := c.wire.send(ctx, ask)
	if r.refused != "" {
		if err := wait(ctx, c.core.refusedElsewhere(token, r.refused)); err != nil {
			return err
		}
	}
	if r.err != nil || out == nil {
		return r.err
	}
	if json.Unmarshal(r.body, out) != nil {
		return ErrNotOurs
	}
	return nil
}

// values are the parameters of a query.
type values map[string][]string

func (v values) text(name, value string) {
	if value != "" {
		v[name] = []string{value}
	}
}

func (v values) time(name string, t time.Time) {
	if !t.IsZero() {
		v.text(name, t.UTC().Format(time.RFC3339Nano))
	}
}

func (v values) page(limit int, cursor string) {
	if limit > 0 {
		v.text("limit", strconv.Itoa(limit))
	}
	v.text("cursor", cursor)
}

func (v values) String() string {
	if len(v) == 0 {
		return ""
	}
	return "?" + url.Values(v).Encode()
}
