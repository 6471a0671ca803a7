package login

import (
	"context"
	"errors"
	"fmt"

	"github.com/sessiongate/sessiongate/session"
)

// devices is where remembered devices are kept.
type devices interface {
	// Grant returns the device that the token names, or session.ErrEnded. Whether the
	// token is good is for Resume to say.
	Grant(ctx context.Context, t session.RefreshToken) (session.Grant, error)
	// Resume begins the session for who has the device's token, and returns it with
	// the token's successor. Its errors are session.ErrEnded, ErrReused,
	// ErrTooManySessions and ErrUnavailable.
	Resume(ctx context.Context, g session.Grant, t session.RefreshToken, s session.Session, e session.Event) (session.Session, error)
}

// remembered is the authentication method of a session that began without a password.
// RFC 8176 has no name for it; auth_time says when there was one.
const remembered = "remembered"

// ResumeRequest is a remembered device that wants a session.
type ResumeRequest struct {
	Token  session.RefreshToken
	Device session.Device // as it says now; where it says nothing, as at login
	Origin session.Origin
}

// Resume returns a new session of a remembered device, with the device's next refresh
// token. The session has the user's present name and roles; its auth_time is when the
// password was given, and its method says that none was given now.
//
// The error is session.ErrEnded when the device is not remembered, or the token not
// its own; session.ErrReused when the token is an old one, which ends the device's
// session and its grant; session.ErrInvalidCredentials when the user is gone or
// disabled, or the sign-in is refused as too unusual: the audit log says so. As for Login, session.ErrTooManySessions is no
// failure and session.ErrUnavailable no answer.
//
// It costs two queries and two round trips to Redis. Repeating it gives the same session.
func (s *Service) Resume(ctx context.Context, r ResumeRequest) (session.Session, error) {
	grant, err := s.Devices.Grant(ctx, r.Token)
	if err != nil {
		return session.Session{}, fmt.Errorf("login: find device: %w", err)
	}
	if !grant.Names(r.Token) {
		return session.Session{}, session.ErrEnded
	}
	user, err := s.userOf(ctx, grant.UserID)
	if err != nil {
		return session.Session{}, err
	}
	if r.Device == (session.Device{}) {
		r.Device = grant.Device
	}
	attempt := Request{Device: r.Device, Origin: r.Origin}
	e := s.event(&attempt)
	e.UserID, e.Reason = grant.UserID, remembered
	if user.Disabled || user.ID == "" {
		e.Error = userDisabled
		return session.Session{}, s.record(ctx, e)
	}
	looking := s.look(ctx, &user, &attempt)
	looking.wait()
	if refused := looking.assess(ctx, &attempt, &e); refused != "" {
		e.Error, e.Device = refused, r.Device
		return session.Session{}, s.record(ctx, e)
	}
	created, err := s.Devices.Resume(ctx, grant, r.Token, session.Session{
		ID:        session.NewID(e.CreatedAt),
		UserID:    user.ID,
		ClientID:  session.FirstParty,
		AMR:       []string{remembered},
		Username:  user.Identifier,
		Roles:     s.roles(ctx, &user),
		Device:    r.Device,
		IP:        r.Origin.IP,
		Country:   r.Origin.Country,
		ASN:       r.Origin.ASN,
		UserAgent: r.Origin.UserAgent,
		AuthTime:  grant.AuthTime,
	}, e)
	if err != nil {
		return session.Session{}, fmt.Errorf("login: resume session: %w", err)
	}
	return created, nil
}

// userOf returns the user with this id, or one without an id if there is none.
func (s *Service) userOf(ctx context.Context, id string) (session.User, error) {
	user, err := s.Users.User(ctx, id)
	switch {
	case errors.Is(err, session.ErrNotFound):
		return session.User{}, nil
	case err != nil:
		return session.User{}, fmt.Errorf("login: find user: %w: %w", session.ErrUnavailable, err)
	}
	return user, nil
}
