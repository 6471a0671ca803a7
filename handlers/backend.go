package handlers

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/sessiongate/sessiongate/internal/problem"
	"github.com/sessiongate/sessiongate/login"
	"github.com/sessiongate/sessiongate/session"
)

// sessionCreator begins sessions, as store.Redis does.
type sessionCreator interface {
	// Create returns the session with its deadlines, and how many others of the
	// user it evicted.
	Create(ctx context.Context, s session.Session, op session.Event) (_ session.Session, evicted int, err error)
	// Append stores an event that changes no session.
	Append(ctx context.Context, e session.Event) error
}

// assessor says how unusual a sign-in is and why it is refused ("" if it is not),
// as login.Assessor does.
type assessor interface {
	Assess(ctx context.Context, in login.SignIn) (found session.Risk, refused string)
}

// Backend serves POST /sessions: a trusted backend has found out itself who the
// user is, and wants a session for them.
type Backend struct {
	Sessions sessionCreator
	Assessor assessor
	Place    func(ip string) session.Place // of the user's address
	Client   clientOf
	Grant    *Grant
}

// Bounds of what a backend may ask for. Scope and amr travel in every token, and
// a token has to fit into a header line.
const (
	maxScopeBytes  = 512
	maxMethods     = 8
	maxMethodBytes = 32
)

// Handle opens the session. What the backend says of the user's device, address
// and user agent is written down as the request's origin: it saw the user, we see
// the backend.
func (h *Backend) Handle(c *gin.Context) {
	var s session.Session
	err := readJSON(c.Request, false, members{
		"user_id":     takeUserID(&s.UserID),
		"device_info": takeDevice(&s.Device),
		"ip_address":  takeIP(&s.IP),
		"user_agent":  takeClean(&s.UserAgent, session.MaxUserAgentBytes),
		"scope":       takeScope(&s.Scope),
		"amr":         takeMethods(&s.AMR),
		"username":    takeUsername(&s.Username),
		"roles":       takeRoles(&s.Roles),
	})
	if err == nil && s.UserID == "" {
		err = &problem.Invalid{Field: "user_id", Reason: "must not be empty"}
	}
	if err != nil {
		problem.Write(c, err)
		return
	}
	if s, err = h.open(c.Request.Context(), s); err != nil {
		problem.Write(c, err)
		return
	}
	h.Grant.send(c, http.StatusCreated, &s, s.RotatedAt, inBody)
}

// open begins the session, unless the sign-in is refused for what is unusual
// about it. The backend is told so: it has verified the user, and can do more.
func (h *Backend) open(ctx context.Context, s session.Session) (session.Session, error) {
	place := h.Place(s.IP)
	s.Country, s.ASN = place.Country, place.ASN
	op := newEvent(h.Grant.Now(), session.Origin{IP: s.IP, UserAgent: s.UserAgent, Country: s.Country, ASN: s.ASN})
	op.Action = session.ActionLogin
	var refused string
	op.Risk, refused = h.Assessor.Assess(ctx, login.SignIn{UserID: s.UserID, Device: s.Device, Origin: op.Origin, At: op.CreatedAt})
	if refused != "" {
		op.Success, op.Error, op.UserID, op.Device = false, refused, s.UserID, s.Device
		if err := h.Sessions.Append(ctx, op); err != nil {
			return s, err
		}
		return s, session.ErrSignInRefused
	}
	s.ID, s.AuthTime, s.ClientID = session.NewID(op.CreatedAt), op.CreatedAt, h.Client(ctx)
	s, _, err := h.Sessions.Create(ctx, s, op)
	return s, err
}

// takeUserID reads an id of the application's own. It is refused or kept as it
// is: a change could make one user of two.
func takeUserID(to *string) func(value) error {
	return func(v value) error {
		s, err := v.text()
		if err != nil {
			return err
		}
		if err := session.CheckUserID(s); err != nil {
			_, reason, _ := strings.Cut(err.Error(), ": ")
			return v.invalid(reason)
		}
		*to = s
		return nil
	}
}

// takeIP reads an address and keeps its canonical text, without a zone.
func takeIP(to *string) func(value) error {
	return func(v value) error {
		s, err := v.text()
		if err != nil || s == "" {
			return err
		}
		addr, err := netip.ParseAddr(s)
		if err != nil {
			return v.invalid("must be an IPv4 or IPv6 address")
		}
		*to = addr.Unmap().WithZone("").String()
		return nil
	}
}

// takeScope reads space-separated scopes (RFC 6749 §3.3).
func takeScope(to *string) func(value) error {
	return func(v value) error {
		s, err := v.text()
		if err != nil || s == "" {
			return err
		}
		if len(s) > maxScopeBytes {
			return v.invalid(fmt.Sprintf("must be at most %d bytes", maxScopeBytes))
		}
		for token := range strings.SplitSeq(s, " ") {
			if !isScopeToken(token) {
				return v.invalid("must be scope tokens with one space between them (RFC 6749 section 3.3)")
			}
		}
		*to = s
		return nil
	}
}

// isScopeToken: 1*( %x21 / %x23-5B / %x5D-7E ).
func isScopeToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return s != ""
}

// takeMethods reads how the user proved who they are: names as in RFC 8176.
func takeMethods(to *[]string) func(value) error {
	return func(v value) error {
		list, err := v.texts(maxMethods)
		if err != nil {
			return err
		}
		for _, m := range list {
			if len(m) > maxMethodBytes || !isMethod(m) {
				return v.invalid(fmt.Sprintf("must hold names of 1 to %d letters, digits, '.', '_' and '-'", maxMethodBytes))
			}
		}
		*to = list
		return nil
	}
}

// takeUsername reads what the user goes by. As it names somebody, it is refused
// or kept as it is.
func takeUsername(to *string) func(value) error {
	return func(v value) error {
		s, err := v.text()
		if err != nil {
			return err
		}
		if err := session.CheckUsername(s); err != nil {
			return v.invalid(err.Error())
		}
		*to = s
		return nil
	}
}

// takeRoles reads what the user may do (RFC 9068 §2.2.3.1).
func takeRoles(to *[]string) func(value) error {
	return func(v value) error {
		list, err := v.texts(session.MaxRoles)
		if err != nil {
			return err
		}
		if err := session.CheckRoles(list); err != nil {
			return v.invalid(err.Error())
		}
		*to = list
		return nil
	}
}

func isMethod(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-')
	}) < 0
}
