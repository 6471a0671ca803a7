package session

import (
	"context"
	"time"
)

// A Session is one signed-in device of one user. Times are UTC with millisecond
// precision.
type Session struct {
	ID        ID
	UserID    string // sub
	ClientID  string // client_id: who asked for the session; FirstParty for the user's own login
	Scope     string // space-separated (RFC 6749 §3.3); may be empty
	AMR       []string
	Username  string   // preferred_username: what the user goes by; may be empty
	Roles     []string // the user's at login, see CheckRoles
	Device    Device
	IP        string // where the session began; "" if unknown
	Country   string // of IP, ISO 3166-1 alpha-2; "" if unknown
	ASN       uint32 // the network of IP; 0 if unknown
	UserAgent string // with which the session began

	CreatedAt         time.Time
	AuthTime          time.Time // when the user last proved who they are (auth_time)
	LastActivity      time.Time // last refresh or use
	ExpiresAt         time.Time // of the current token and of the session: whole seconds
	AbsoluteExpiresAt time.Time // no refresh goes beyond it; zero: no limit

	Idle     time.Duration // how long the user may do nothing; 0: no limit
	ActiveAt time.Time     // when the user last did something; zero where Idle is 0
	GrantID  ID            // of the remembered device; "" for none
	// Refresh is to be handed out with the session, to a remembered device that has
	// just asked for it. It is stored nowhere.
	Refresh          RefreshToken
	RefreshExpiresAt time.Time

	Generation int64     // how often the token has been rotated; 0 after login
	RotatedAt  time.Time // when Generation began; CreatedAt for 0

	EndedAt   time.Time // zero while live
	EndReason EndReason // "" while live
}

// Place returns where the session began.
func (s *Session) Place() Place { return Place{IP: s.IP, Country: s.Country, ASN: s.ASN} }

// IdleExpiresAt returns when the session ends if the user does nothing; zero: no
// limit.
func (s *Session) IdleExpiresAt() time.Time {
	if s.Idle == 0 {
		return time.Time{}
	}
	return s.ActiveAt.Add(s.Idle)
}

// FirstParty is the client id of sessions that users open themselves at
// POST /sessions/login.
const FirstParty = "sessiongate"

// Live says whether the session has not ended.
func (s *Session) Live() bool { return s.EndReason == "" }

// Token returns the claims of the session's current token. It is a pure
// function: the same session gives the same token, however often and wherever
// it is asked.
func (s *Session) Token() Token {
	iat := s.RotatedAt.Unix()
	return Token{
		ID:         tokenID(s.ID, s.Generation, iat),
		SessionID:  s.ID,
		UserID:     s.UserID,
		ClientID:   s.ClientID,
		Scope:      s.Scope,
		AMR:        s.AMR,
		Username:   s.Username,
		Roles:      s.Roles,
		Generation: s.Generation,
		IssuedAt:   time.Unix(iat, 0).UTC(),
		ExpiresAt:  s.ExpiresAt,
		AuthTime:   s.AuthTime.Truncate(time.Second),
	}
}

// A Token is what an access token says about its session once its signature has
// been verified. Times are whole seconds, as JWT writes them (RFC 7519 §2).
type Token struct {
	ID         string // jti
	SessionID  ID     // sid
	UserID     string // sub
	ClientID   string // client_id
	Scope      string // scope
	AMR        []string
	Username   string    // preferred_username (OpenID Connect Core §5.1)
	Roles      []string  // roles (RFC 9068 §2.2.3.1)
	Generation int64     // gen
	IssuedAt   time.Time // iat
	ExpiresAt  time.Time // exp
	AuthTime   time.Time // auth_time
}

type contextKey struct{}

// Caller is who a request came from: the token and, behind it, the session.
type Caller struct {
	Token    Token
	Session  Session
	ByCookie bool // a browser sent the token by itself
}

// NewContext returns ctx carrying the caller. The authenticate middleware calls it.
func NewContext(ctx context.Context, c Caller) context.Context {
	return &callerContext{ctx, c}
}

// callerContext is a context.WithValue in one piece.
type callerContext struct {
	context.Context
	caller Caller
}

func (c *callerContext) Value(key any) any {
	if key == (contextKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// FromContext returns the caller that authenticated this request, if any.
func FromContext(ctx context.Context) (Caller, bool) {
	if c, ok := ctx.Value(contextKey{}).(*callerContext); ok {
		return c.caller, true
	}
	return Caller{}, false
}
