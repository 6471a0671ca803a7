package login

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sessiongate/sessiongate/session"
)

// revoker ends a user's sessions and forgets their devices, but for one session.
type revoker interface {
	RevokeUser(
		ctx context.Context, userID string, except session.ID, reason session.EndReason, e session.Event,
	) (n int, at time.Time, err error)
}

// MinPasswordBytes is NIST SP 800-63B's least for a password (§3.1.1.2).
const MinPasswordBytes = 8

// CheckPassword reports why nobody may have this new password, as a phrase for the
// caller, or nil. Nothing is asked of its characters (NIST SP 800-63B §3.1.1.2).
func CheckPassword(password string) error {
	if len(password) < MinPasswordBytes || len(password) > MaxPasswordBytes {
		return fmt.Errorf("must have %d to %d bytes, has %d", MinPasswordBytes, MaxPasswordBytes, len(password))
	}
	return nil
}

// PasswordRequest is a user who is signed in and wants another password.
type PasswordRequest struct {
	UserID       string
	SessionID    session.ID // goes on
	Current, New string     // as typed
	Origin       session.Origin
}

// ChangePassword replaces the user's password and ends all their sessions but the one
// named, with what their devices remembered. ended is how many those were.
//
// The error is session.ErrWrongPassword when the current password is not theirs, or
// they have none; the audit log has it as a failed attempt. It is a
// *session.RateLimitedError after too many of those. With any other error the
// password is what it was. The call must not be repeated after a success: the current
// password is another one then.
func (s *Service) ChangePassword(ctx context.Context, r PasswordRequest) (ended int, err error) {
	user, err := s.userOf(ctx, r.UserID)
	if err != nil {
		return 0, err
	}
	// Who holds somebody's session must not find out the password by it.
	try, err := s.Guard.Begin(ctx, user.Identifier, session.Device{}, r.Origin)
	if err != nil {
		return 0, fmt.Errorf("login: change password: %w", err)
	}
	matches, err := s.verify(ctx, &user, r.Current)
	if err != nil {
		try.Withdraw(ctx)
		return 0, err
	}
	attempt := Request{Origin: r.Origin}
	if !matches || user.Disabled {
		return 0, s.refuseChange(ctx, &attempt, r.UserID)
	}
	try.Right(ctx)
	hash, err := s.Passwords.Hash(ctx, r.New)
	if err != nil {
		return 0, fmt.Errorf("login: hash password: %w", err)
	}
	// Before, so that a Redis which is away is found out while nothing has changed;
	// and after, for who came in with the old password in between.
	ended, err = s.endOthers(ctx, &r)
	if err != nil {
		return 0, err
	}
	err = s.Users.SetPassword(ctx, user.ID, user.PasswordHash, hash)
	switch {
	case errors.Is(err, session.ErrConflict):
		return 0, s.refuseChange(ctx, &attempt, r.UserID) // it was the current one a moment ago
	case err != nil:
		return 0, fmt.Errorf("login: set password: %w: %w", session.ErrUnavailable, err)
	}
	late, err := s.endOthers(ctx, &r)
	return ended + late, err
}

func (s *Service) endOthers(ctx context.Context, r *PasswordRequest) (int, error) {
	id := session.NewEventID(s.Clock())
	e := session.Event{
		ID: id, CreatedAt: id.Time(), Action: session.ActionLogout, Success: true, Origin: r.Origin,
	}
	n, _, err := s.Revoker.RevokeUser(ctx, r.UserID, r.SessionID, session.EndPassword, e)
	if err != nil {
		return 0, fmt.Errorf("login: end other sessions: %w", err)
	}
	return n, nil
}

// refuseChange records the failure as refuse does.
func (s *Service) refuseChange(ctx context.Context, r *Request, userID string) error {
	err := s.refuse(ctx, r, userID, wrongPassword)
	if errors.Is(err, session.ErrInvalidCredentials) {
		return session.ErrWrongPassword
	}
	return err
}
