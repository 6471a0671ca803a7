package sessiongate

import (
	"context"
	"slices"
	"time"
)

// A Session is whom a good token speaks for. What the gateway did not say is
// empty or zero.
type Session struct {
	ID        string // sid: one signed-in device; the same across refreshes
	Subject   string // sub: the user
	ClientID  string // client_id: to whom the session was given
	Username  string // what the user goes by
	Scopes    []string
	Roles     []string
	AMR       []string // how the user proved who they are (RFC 8176)
	Issuer    string
	Audience  []string
	TokenID   string // jti
	IssuedAt  time.Time
	ExpiresAt time.Time // of this token; a refresh gives another
	AuthTime  time.Time // when the user last proved who they are
}

// HasScopes says whether the token carries all of the scopes.
func (s *Session) HasScopes(scopes ...string) bool { return containsAll(s.Scopes, scopes) }

// HasRoles says whether the user had all of the roles at login.
func (s *Session) HasRoles(roles ...string) bool { return containsAll(s.Roles, roles) }

func containsAll(have, want []string) bool {
	for _, w := range want {
		if !slices.Contains(have, w) {
			return false
		}
	}
	return true
}

// A Verifier says whom a token speaks for.
//
// The error is ErrInactive, alone or wrapped, when it is known that the token is
// no good, and never otherwise: any other error means that nobody could tell.
// The Session may be shared between callers and must not be changed.
type Verifier interface {
	Verify(ctx context.Context, token string) (*Session, error)
}

type sessionKey struct{}

// NewContext returns ctx carrying s. Require calls it.
func NewContext(ctx context.Context, s *Session) context.Context {
	return context.WithValue(ctx, sessionKey{}, s)
}

// FromContext returns whom the request speaks for, behind Require; nil elsewhere.
func FromContext(ctx context.Context) *Session {
	s, _ := ctx.Value(sessionKey{}).(*Session)
	return s
}
