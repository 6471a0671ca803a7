package e2e

import (
	"crypto/rand"
	"net/http"
	"strings"
	"testing"

	"github.com/lib/pq"
)

// user is somebody who can sign in with password.
type user struct{ id, identifier string }

// newID returns a user id that no other test has.
func newID() string { return "u-" + strings.ToLower(rand.Text()) }

// user makes a user.
func (s *stack) user(t testing.TB) user {
	t.Helper()
	u := user{id: newID()}
	u.identifier = u.id + "@example.com"
	s.exec(t, "INSERT INTO users (id, identifier, password_hash, roles) VALUES ($1, $2, $3, $4)",
		u.id, u.identifier, passwordHash(), pq.StringArray{})
	return u
}

// grant is the answer that hands out a token.
type grant struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int    `json:"expires_in"`
	RefreshAfter int    `json:"refresh_after"`
	ServerTime   stamp  `json:"server_time"`

	IdleExpiresIn     *int `json:"idle_expires_in"`
	AbsoluteExpiresIn *int `json:"absolute_expires_in"`

	Session sess `json:"session"`
}

// sess is a session as every answer shows it.
type sess struct {
	ID                string   `json:"id"`
	UserID            string   `json:"user_id"`
	DeviceInfo        string   `json:"device_info"`
	DeviceID          string   `json:"device_id"`
	Platform          string   `json:"platform"`
	IPAddress         string   `json:"ip_address"`
	Country           string   `json:"country"`
	UserAgent         string   `json:"user_agent"`
	IsActive          bool     `json:"is_active"`
	CreatedAt         stamp    `json:"created_at"`
	LastActivity      stamp    `json:"last_activity"`
	ExpiresAt         stamp    `json:"expires_at"`
	AbsoluteExpiresAt stamp    `json:"absolute_expires_at"`
	ClientID          string   `json:"client_id"`
	Scope             string   `json:"scope"`
	AMR               []string `json:"amr"`
	Current           bool     `json:"current"`
	EndedAt           stamp    `json:"ended_at"`
	EndReason         string   `json:"end_reason"`
}

type object = map[string]any

// loginCall is a user's sign-in.
func loginCall(identifier, password string) call {
	return call{path: "/sessions/login", json: object{
		"identifier": identifier, "password": password, "device_info": "a test",
	}}
}

// login signs the user in with their password.
func (g *gateway) login(t testing.TB, u user) grant {
	t.Helper()
	return decode[grant](t, g.do(t, loginCall(u.identifier, password)), http.StatusCreated)
}

// openCall is a backend's wish for a session.
func openCall(userID string) call {
	return call{path: "/sessions", client: &backend, json: object{"user_id": userID}}
}

// open has the backend open a session: no password, so it is the cheaper way to
// one.
func (g *gateway) open(t testing.TB, userID string) grant {
	t.Helper()
	return decode[grant](t, g.do(t, openCall(userID)), http.StatusCreated)
}

func get(path, token string) call     { return call{method: http.MethodGet, path: path, token: token} }
func statusCall(token string) call    { return get("/sessions/status", token) }
func refreshCall(token string) call   { return call{path: "/sessions/refresh", token: token} }
func logoutCall(token string) call    { return call{path: "/sessions/logout", token: token} }
func logoutAllCall(token string) call { return call{path: "/sessions/logout-all", token: token} }

// refresh exchanges the token for its successor.
func (g *gateway) refresh(t testing.TB, token string) grant {
	t.Helper()
	return decode[grant](t, g.do(t, refreshCall(token)), http.StatusOK)
}

// alive fails the test unless the token is good.
func (g *gateway) alive(t testing.TB, token string) {
	t.Helper()
	g.do(t, statusCall(token)).want(t, http.StatusOK)
}

// over fails the test unless the token is refused everywhere for this reason.
func (g *gateway) over(t testing.TB, token, reason string) {
	t.Helper()
	g.do(t, statusCall(token)).problem(t, http.StatusUnauthorized, "unauthenticated", reason)
	g.inactive(t, token)
}

func introspectCall(token string) call {
	return call{path: "/oauth2/introspect", client: &introspector, form: map[string][]string{"token": {token}}}
}

// introspection is the answer of RFC 7662 §2.2.
type introspection struct {
	Active    bool     `json:"active"`
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  string   `json:"aud"`
	ClientID  string   `json:"client_id"`
	Username  string   `json:"username"`
	Scope     string   `json:"scope"`
	TokenType string   `json:"token_type"`
	ExpiresAt int64    `json:"exp"`
	IssuedAt  int64    `json:"iat"`
	TokenID   string   `json:"jti"`
	SessionID string   `json:"sid"`
	AuthTime  int64    `json:"auth_time"`
	AMR       []string `json:"amr"`
}

// inactive fails the test unless introspection says so, and nothing more.
func (g *gateway) inactive(t testing.TB, token string) {
	t.Helper()
	a := g.do(t, introspectCall(token))
	if a.status != http.StatusOK || strings.TrimSpace(a.body) != `{"active":false}` {
		t.Errorf(`%s, want 200 {"active":false}`, a)
	}
}

// sessionPage is a page of my-sessions.
type sessionPage struct {
	Sessions   []sess  `json:"sessions"`
	NextCursor *string `json:"next_cursor"`
}

// logPage is a page of my-session-logs.
type logPage struct {
	Logs       []logEntry `json:"logs"`
	NextCursor *string    `json:"next_cursor"`
}

type logEntry struct {
	ID           string `json:"id"`
	CreatedAt    stamp  `json:"created_at"`
	UserID       string `json:"user_id"`
	SessionID    string `json:"session_id"`
	Action       string `json:"action"`
	Success      bool   `json:"success"`
	ErrorMessage string `json:"error_message"`
	Reason       string `json:"reason"`
	DeviceInfo   string `json:"device_info"`
	IPAddress    string `json:"ip_address"`
	UserAgent    string `json:"user_agent"`
	Country      string `json:"country"`
}

func (l logEntry) String() string {
	return row{action: l.Action, success: l.Success, err: l.ErrorMessage, reason: l.Reason}.String()
}
