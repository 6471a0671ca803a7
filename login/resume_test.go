package login

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/session"
)

// device makes a remembered device of the user's, and returns its refresh token.
func (s *setup) device(userID string) session.RefreshToken {
	token := session.NewRefreshToken(0, session.NewID(now.Add(-time.Hour)))
	s.grant = session.Grant{
		ID: token.GrantID, UserID: userID, Device: session.Device{Name: "phone"}, AuthTime: now.Add(-time.Hour),
		Digest: token.Digest(), Seed: session.NewSeed(),
	}
	return token
}

func TestLoginRemembers(t *testing.T) {
	t.Parallel()
	for _, remember := range []bool{false, true} {
		s := newSetup(t)
		r := request("bob", password)
		r.Remember = remember
		if _, err := s.Login(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(s.asking, []bool{remember}) {
			t.Errorf("remember %v: asked for a refresh token %v", remember, s.asking)
		}
	}
}

func TestResume(t *testing.T) {
	t.Parallel()
	origin := session.Origin{IP: "203.0.113.7", UserAgent: "app/1.0"}

	t.Run("the session says that no password was given, and has the present roles", func(t *testing.T) {
		t.Parallel()
		s := newSetup(t)
		token := s.device("u-bob")
		got, err := s.Service.Resume(t.Context(), ResumeRequest{Token: token, Origin: origin})
		if err != nil {
			t.Fatal(err)
		}
		want := session.Session{
			ID: got.ID, UserID: "u-bob", ClientID: session.FirstParty, AMR: []string{"remembered"}, Username: "bob",
			Roles: []string{"admin", "ops"}, Device: session.Device{Name: "phone"}, IP: "203.0.113.7", UserAgent: "app/1.0",
			AuthTime: s.grant.AuthTime,
		}
		if !reflect.DeepEqual(s.created[0], want) {
			t.Errorf("created %+v\nwant    %+v", s.created[0], want)
		}
		if s.count.total() != 0 {
			t.Error("a password was hashed")
		}
	})

	for _, tt := range []struct{ name, user string }{
		{"a disabled user", "u-gone"}, {"a user who is not there any more", "u-nobody"},
	} {
		t.Run(tt.name+" does not come back, and the log says so", func(t *testing.T) {
			t.Parallel()
			s := newSetup(t)
			_, err := s.Service.Resume(t.Context(), ResumeRequest{Token: s.device(tt.user), Origin: origin})
			if !errors.Is(err, session.ErrInvalidCredentials) || len(s.created) != 0 {
				t.Errorf("error %v, %d sessions", err, len(s.created))
			}
			if len(s.events) != 1 || s.events[0].Success || s.events[0].UserID != tt.user || s.events[0].Error != userDisabled {
				t.Errorf("events %+v", s.events)
			}
		})
	}

	t.Run("a token that is not the device's asks nobody", func(t *testing.T) {
		t.Parallel()
		s := newSetup(t)
		token := s.device("u-bob")
		token.Secret[0] ^= 1
		if _, err := s.Service.Resume(t.Context(), ResumeRequest{Token: token}); !errors.Is(err, session.ErrEnded) || len(s.steps) != 0 {
			t.Errorf("error %v after %q", err, s.steps)
		}
	})

	t.Run("without Postgres there is no answer", func(t *testing.T) {
		t.Parallel()
		s := newSetup(t)
		s.findErr = errors.New("down")
		if _, err := s.Service.Resume(t.Context(), ResumeRequest{Token: s.device("u-bob")}); !errors.Is(err, session.ErrUnavailable) {
			t.Errorf("error %v, want %v", err, session.ErrUnavailable)
		}
	})
}

func TestChangePassword(t *testing.T) {
	t.Parallel()
	change := func(user, current string) PasswordRequest {
		return PasswordRequest{UserID: user, SessionID: session.NewID(now), Current: current, New: "another horse"}
	}

	t.Run("ends the other sessions before and after it is set", func(t *testing.T) {
		t.Parallel()
		s := newSetup(t)
		r := change("u-bob", password)
		ended, err := s.ChangePassword(t.Context(), r)
		if err != nil || ended != 4 {
			t.Errorf("ended %d, error %v", ended, err)
		}
		if want := []string{"find", "revoke", "set password", "revoke"}; !slices.Equal(s.steps, want) {
			t.Errorf("steps %q, want %q", s.steps, want)
		}
		if !slices.Equal(s.revoked, []session.ID{r.SessionID, r.SessionID}) {
			t.Errorf("spared %q, want %s", s.revoked, r.SessionID)
		}
		if ok, err := s.hasher.Verify(t.Context(), s.replaced[0][2], "another horse"); !ok || err != nil {
			t.Errorf("the new hash matches: %v, error %v", ok, err)
		}
	})

	for _, tt := range []struct{ name, user, current string }{
		{"a wrong password", "u-bob", "wrong"},
		{"a user without one", "u-stub", password},
		{"nobody", "u-nobody", password},
		{"a disabled user", "u-gone", password},
	} {
		t.Run(tt.name+" changes nothing and is a failed attempt", func(t *testing.T) {
			t.Parallel()
			s := newSetup(t)
			if _, err := s.ChangePassword(t.Context(), change(tt.user, tt.current)); !errors.Is(err, session.ErrWrongPassword) {
				t.Errorf("error %v, want %v", err, session.ErrWrongPassword)
			}
			if len(s.replaced) != 0 || len(s.revoked) != 0 {
				t.Error("something has changed")
			}
			if len(s.events) != 1 || s.events[0].Error != wrongPassword || s.events[0].UserID != tt.user {
				t.Errorf("events %+v", s.events)
			}
		})
	}

	t.Run("without Redis nothing changes", func(t *testing.T) {
		t.Parallel()
		s := newSetup(t)
		s.revokeErr = session.ErrUnavailable
		if _, err := s.ChangePassword(t.Context(), change("u-bob", password)); !errors.Is(err, session.ErrUnavailable) || len(s.replaced) != 0 {
			t.Errorf("error %v, %d passwords set", err, len(s.replaced))
		}
	})

	t.Run("of two at once the second is wrong", func(t *testing.T) {
		t.Parallel()
		s := newSetup(t)
		s.setErr = session.ErrConflict
		if _, err := s.ChangePassword(t.Context(), change("u-bob", password)); !errors.Is(err, session.ErrWrongPassword) {
			t.Errorf("error %v, want %v", err, session.ErrWrongPassword)
		}
	})
}

func TestCheckPassword(t *testing.T) {
	t.Parallel()
	for length, good := range map[int]bool{0: false, 7: false, 8: true, 1024: true, 1025: false} {
		if err := CheckPassword(strings.Repeat("x", length)); (err == nil) != good {
			t.Errorf("%d bytes: %v", length, err)
		}
	}
}
