package store

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/session"
)

// remembering is a fixture whose policy remembers devices for 30 days.
func remembering(t *testing.T) *fixture {
	return newFixture(t, func(o *RedisOptions) { o.Policy.Remember = 720 * time.Hour })
}

// remember signs the user in on a device that is to be remembered.
func (f *fixture) remember(user string) session.Session {
	f.Helper()
	s := session.Session{
		ID: session.NewID(f.Clock()), UserID: user, ClientID: session.FirstParty, Device: session.Device{Name: "phone"},
		AuthTime: f.Clock(), IP: "192.0.2.1",
	}
	s, _, err := f.Remember(f.Context(), s, f.op())
	if err != nil {
		f.Fatal(err)
	}
	if s.Refresh.IsZero() || s.GrantID == "" {
		f.Fatal("no refresh token")
	}
	return s
}

// resume presents a refresh token.
func (f *fixture) resume(token session.RefreshToken) (session.Session, error) {
	f.Helper()
	g, err := f.Grant(f.Context(), token)
	if err != nil {
		return session.Session{}, err
	}
	s := session.Session{
		ID: session.NewID(f.Clock()), UserID: g.UserID, ClientID: session.FirstParty, Device: g.Device, AuthTime: g.AuthTime,
	}
	return f.Resume(f.Context(), g, token, s, f.op())
}

// resumed presents a refresh token that is good.
func (f *fixture) resumed(token session.RefreshToken) session.Session {
	f.Helper()
	s, err := f.resume(token)
	if err != nil {
		f.Fatal(err)
	}
	return s
}

// expire lets a session run out, as Redis would.
func (f *fixture) expire(s session.Session) {
	f.Helper()
	f.raw.Del(f.Context(), f.keys.session(s.UserID, s.ID))
	f.raw.ZAddXX(f.Context(), f.keys.user(s.UserID), z(string(s.ID), f.Clock().Add(-time.Second)))
}

// ageGrant moves the grant's last use into the past.
func (f *fixture) ageGrant(s session.Session, by time.Duration) {
	f.Helper()
	key := f.keys.grant(0, s.GrantID)
	if f.raw.HExists(f.Context(), key, "r").Val() {
		f.raw.HSet(f.Context(), key, "r", unixMilli(f.Clock().Add(-by)))
	}
}

func (f *fixture) dead(s session.Session) {
	f.Helper()
	if _, err := f.Validate(f.Context(), s.Token()); !errors.Is(err, session.ErrEnded) {
		f.Errorf("Validate: %v, want %v", err, session.ErrEnded)
	}
}

func (f *fixture) live(s session.Session) {
	f.Helper()
	if _, err := f.Validate(f.Context(), s.Token()); err != nil {
		f.Errorf("Validate: %v", err)
	}
}

func TestRemember(t *testing.T) {
	t.Parallel()

	t.Run("the grant is in the user's key, and no token anywhere", func(t *testing.T) {
		t.Parallel()
		f := remembering(t)
		s := f.remember("ana")
		hash := f.raw.HGetAll(f.Context(), f.keys.grant(0, s.GrantID)).Val()
		text := s.Refresh.Text()
		for field, value := range hash {
			if len(value) > maxInline || strings.Contains(text, value) && len(value) > 3 {
				t.Errorf("field %s is %q", field, value)
			}
		}
		score := f.raw.ZScore(f.Context(), f.keys.user("ana"), "g:"+string(s.GrantID)).Val()
		if until := scoreTime(score); !until.Equal(s.RefreshExpiresAt) || time.Until(until) < 719*time.Hour {
			t.Errorf("remembered until %v, want %v", until, s.RefreshExpiresAt)
		}
		if ttl := f.raw.PTTL(f.Context(), f.keys.user("ana")).Val(); ttl < 719*time.Hour {
			t.Errorf("the user's key lives %v", ttl)
		}
		list, err := f.List(f.Context(), "ana")
		if err != nil || len(list) != 1 || list[0].GrantID != s.GrantID {
			t.Errorf("sessions %+v, error %v", list, err)
		}
	})

	t.Run("a policy that remembers nobody gives no token", func(t *testing.T) {
		t.Parallel()
		f := newFixture(t, nil)
		s, _, err := f.Remember(f.Context(), session.Session{ID: session.NewID(f.Clock()), UserID: "ana"}, f.op())
		if err != nil || !s.Refresh.IsZero() || s.GrantID != "" {
			t.Errorf("%+v, error %v", s, err)
		}
		if n := f.raw.ZCard(f.Context(), f.keys.user("ana")).Val(); n != 1 {
			t.Errorf("the user's key has %d members", n)
		}
	})

	t.Run("beyond the cap the oldest device is forgotten", func(t *testing.T) {
		t.Parallel()
		f := newFixture(t, func(o *RedisOptions) { o.Policy.Remember, o.Policy.MaxPerUser = time.Hour, 2 })
		var all []session.Session
		for range 4 {
			s := f.remember("ana")
			f.expire(s) // so that no session is evicted, which would end the grant as well
			all = append(all, s)
		}
		grants, err := f.Grants(f.Context(), "ana")
		if err != nil || len(grants) != 2 {
			t.Fatalf("%d grants, error %v", len(grants), err)
		}
		if _, err := f.resume(all[0].Refresh); !errors.Is(err, session.ErrEnded) {
			t.Errorf("the oldest: %v", err)
		}
		f.resumed(all[3].Refresh)
	})
}

func TestResume(t *testing.T) {
	t.Parallel()

	t.Run("after the session has run out it begins a new one", func(t *testing.T) {
		t.Parallel()
		f := remembering(t)
		first := f.remember("ana")
		f.expire(first)
		f.login("ana") // prunes what has expired
		second := f.resumed(first.Refresh)
		if second.ID == first.ID || second.Refresh.Text() == first.Refresh.Text() {
			t.Error("the session or the token is the same")
		}
		if !second.RefreshExpiresAt.Equal(first.RefreshExpiresAt) {
			t.Errorf("remembered until %v, want still %v", second.RefreshExpiresAt, first.RefreshExpiresAt)
		}
		if second.AuthTime.Unix() != first.AuthTime.Unix() {
			t.Errorf("auth_time is %v, want that of the password, %v", second.AuthTime, first.AuthTime)
		}
		f.live(second)
		f.dead(first)
		events := f.appended()
		last := events[len(events)-1]
		if last.Action != session.ActionLogin || last.Reason != "remembered" || last.GrantID != first.GrantID || !last.Success {
			t.Errorf("event is %+v", last)
		}
		f.resumed(second.Refresh)
	})

	t.Run("the device's session that still lives is replaced", func(t *testing.T) {
		t.Parallel()
		f := remembering(t)
		first := f.remember("ana")
		second := f.resumed(first.Refresh)
		f.dead(first)
		f.live(second)
		f.wantActions("login", "login", "logout:replaced")
	})

	t.Run("a lost answer: the same successor and session, however often", func(t *testing.T) {
		t.Parallel()
		f := remembering(t)
		first := f.remember("ana")
		second := f.resumed(first.Refresh)
		f.ageGrant(second, 48*time.Hour) // days later: nothing has arrived
		for range 2 {
			again := f.resumed(first.Refresh)
			if again.Refresh.Text() != second.Refresh.Text() || again.ID != second.ID || again.Token().ID != second.Token().ID {
				t.Errorf("session %s, want %s", again.ID, second.ID)
			}
		}
		f.wantActions("login", "login", "logout:replaced")
	})

	t.Run("a lost answer whose session has run out: the same successor, a new session", func(t *testing.T) {
		t.Parallel()
		f := remembering(t)
		first := f.remember("ana")
		second := f.resumed(first.Refresh)
		f.expire(second)
		f.ageGrant(second, 48*time.Hour)
		third := f.resumed(first.Refresh)
		if third.Refresh.Text() != second.Refresh.Text() || third.ID == second.ID {
			t.Error("the token is another one, or the session the same")
		}
		f.live(third)
		f.resumed(third.Refresh)
	})

	t.Run("the previous token, once its successor has arrived: good for the grace only", func(t *testing.T) {
		t.Parallel()
		f := remembering(t)
		first := f.remember("ana")
		second := f.resumed(first.Refresh)
		f.use(second)
		if again := f.resumed(first.Refresh); again.ID != second.ID {
			t.Error("within the grace: another session")
		}
		f.ageGrant(second, time.Minute)
		if _, err := f.resume(first.Refresh); !errors.Is(err, session.ErrReused) {
			t.Fatalf("after the grace: %v, want %v", err, session.ErrReused)
		}
		f.dead(second)
		if _, err := f.resume(second.Refresh); !errors.Is(err, session.ErrEnded) {
			t.Errorf("the grant goes on: %v", err)
		}
		f.wantActions("login", "login", "logout:replaced", "login!refresh_token_reused", "logout:refresh_reused")
	})

	t.Run("that the access token was refreshed says that it has arrived, too", func(t *testing.T) {
		t.Parallel()
		f := remembering(t)
		first := f.remember("ana")
		second := f.resumed(first.Refresh)
		f.refresh(second.Token())
		f.ageGrant(second, time.Minute)
		if _, err := f.resume(first.Refresh); !errors.Is(err, session.ErrReused) {
			t.Errorf("%v, want %v", err, session.ErrReused)
		}
	})

	t.Run("an older token, days later: grant and session end, others' and other devices' do not", func(t *testing.T) {
		t.Parallel()
		f := remembering(t)
		first, other, bo := f.remember("ana"), f.remember("ana"), f.remember("bo")
		second := f.resumed(first.Refresh)
		third := f.resumed(second.Refresh)
		f.ageGrant(third, 72*time.Hour)
		if _, err := f.resume(first.Refresh); !errors.Is(err, session.ErrReused) {
			t.Fatalf("%v, want %v", err, session.ErrReused)
		}
		f.dead(third)
		f.live(other)
		f.live(bo)
		f.wantExists(false, f.keys.grant(0, third.GrantID))
		f.resumed(other.Refresh)
	})

	t.Run("a made-up token ends nothing", func(t *testing.T) {
		t.Parallel()
		f := remembering(t)
		first := f.remember("ana")
		second := f.resumed(first.Refresh)
		third := f.resumed(second.Refresh)
		for _, generation := range []uint32{0, 1, 2, 3, 1 << 30} {
			forged := third.Refresh
			forged.Generation = generation
			forged.Secret[5] ^= 1
			if _, err := f.resume(forged); !errors.Is(err, session.ErrEnded) {
				t.Errorf("generation %d: %v, want %v", generation, err, session.ErrEnded)
			}
		}
		f.live(third)
		f.resumed(third.Refresh)
	})

	t.Run("fifty at once get the same successor and session", func(t *testing.T) {
		t.Parallel()
		f := remembering(t)
		first := f.remember("ana")
		f.expire(first)
		var wg sync.WaitGroup
		got := make([]session.Session, 50)
		errs := make([]error, 50)
		for i := range got {
			wg.Go(func() { got[i], errs[i] = f.resume(first.Refresh) })
		}
		wg.Wait()
		for i := range got {
			if errs[i] != nil || got[i].ID != got[0].ID || got[i].Refresh.Text() != got[0].Refresh.Text() {
				t.Fatalf("number %d: session %s, want %s, error %v", i, got[i].ID, got[0].ID, errs[i])
			}
		}
		f.wantActions("login", "login")
	})

	t.Run("the grant ends with its lifetime, whatever its use", func(t *testing.T) {
		t.Parallel()
		f := remembering(t)
		first := f.remember("ana")
		second := f.resumed(first.Refresh)
		f.raw.ZAddXX(f.Context(), f.keys.user("ana"), z("g:"+string(first.GrantID), f.Clock().Add(-time.Second)))
		if _, err := f.resume(second.Refresh); !errors.Is(err, session.ErrEnded) {
			t.Errorf("%v, want %v", err, session.ErrEnded)
		}
		f.login("ana")
		f.wantExists(false, f.keys.grant(0, first.GrantID))
	})
}

// TestEndingAGrant: what ends a remembered device, through the gateway and by hand.
func TestEndingAGrant(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		end  func(f *fixture, s session.Session)
		ends bool // the grant
	}{
		{"logout", func(f *fixture, s session.Session) {
			_, _ = f.Revoke(f.Context(), s.UserID, s.ID, session.EndLogout, f.op())
		}, true},
		{"logout-all", func(f *fixture, s session.Session) {
			_, _, _ = f.RevokeUser(f.Context(), s.UserID, "", session.EndLogoutAll, f.op())
		}, true},
		{"logout-all from another device", func(f *fixture, s session.Session) {
			_, _, _ = f.RevokeUser(f.Context(), s.UserID, f.login(s.UserID).ID, session.EndPassword, f.op())
		}, true},
		{"logout-all from this device, but for it", func(f *fixture, s session.Session) {
			_, _, _ = f.RevokeUser(f.Context(), s.UserID, s.ID, session.EndPassword, f.op())
		}, false},
		{"forgetting the device", func(f *fixture, s session.Session) {
			_, _ = f.EndGrant(f.Context(), s.UserID, s.GrantID, session.EndRevoked, f.op())
		}, true},
		{"forgetting the device of somebody else", func(f *fixture, s session.Session) {
			_, _ = f.EndGrant(f.Context(), "bo", s.GrantID, session.EndRevoked, f.op())
		}, false},
		{"an old access token", func(f *fixture, s session.Session) {
			once := f.refresh(s.Token())
			f.refresh(once.Token())
			_, _, _ = f.Refresh(f.Context(), s.Token(), f.op())
		}, true},
		{"DEL of the user's key", func(f *fixture, s session.Session) {
			f.raw.Del(f.Context(), f.keys.user(s.UserID))
		}, true},
		{"DEL of the user's key, and a login", func(f *fixture, s session.Session) {
			f.raw.Del(f.Context(), f.keys.user(s.UserID))
			f.login(s.UserID)
		}, true},
		{"ZREM of the session", func(f *fixture, s session.Session) {
			f.raw.ZRem(f.Context(), f.keys.user(s.UserID), string(s.ID))
		}, true},
		{"ZREM of the session after it has run out", func(f *fixture, s session.Session) {
			f.expire(s)
			f.login(s.UserID)
			f.raw.ZRem(f.Context(), f.keys.user(s.UserID), string(s.ID))
		}, true},
		{"ZREM of the grant", func(f *fixture, s session.Session) {
			f.raw.ZRem(f.Context(), f.keys.user(s.UserID), "g:"+string(s.GrantID))
		}, true},
		{"DEL of the grant", func(f *fixture, s session.Session) {
			f.raw.Del(f.Context(), f.keys.grant(0, s.GrantID))
		}, true},
		{"DEL of the session", func(f *fixture, s session.Session) {
			f.raw.Del(f.Context(), f.keys.session(s.UserID, s.ID))
		}, false},
		{"running out", func(f *fixture, s session.Session) {
			f.expire(s)
			f.login(s.UserID)
		}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := remembering(t)
			s := f.remember("ana")
			tt.end(f, s)
			_, err := f.resume(s.Refresh)
			if ended := errors.Is(err, session.ErrEnded); ended != tt.ends || !ended && err != nil {
				t.Errorf("resuming: %v; the grant should have ended: %v", err, tt.ends)
			}
		})
	}
}

func TestGrants(t *testing.T) {
	t.Parallel()
	f := remembering(t)
	long := session.Session{
		ID: session.NewID(f.Clock()), UserID: "ana", ClientID: session.FirstParty, IP: "192.0.2.7", AuthTime: f.Clock(),
		Device: session.Device{Name: strings.Repeat("a very long name ", 6), Platform: "ios"},
	}
	first, _, err := f.Remember(t.Context(), long, f.op())
	if err != nil {
		t.Fatal(err)
	}
	other := f.remember("ana")
	f.remember("bo")
	first = f.resumed(first.Refresh)
	grants, err := f.Grants(t.Context(), "ana")
	if err != nil || len(grants) != 2 {
		t.Fatalf("%d grants, error %v", len(grants), err)
	}
	if g := grants[0]; g.ID != first.GrantID || g.Device != long.Device || g.SessionID != first.ID ||
		!g.ExpiresAt.Equal(first.RefreshExpiresAt) || g.UsedAt.Before(first.CreatedAt) {
		t.Errorf("first %+v, want that of session %s", g, first.ID)
	}
	if grants[1].ID != other.GrantID || grants[1].SessionID != other.ID {
		t.Errorf("second %+v, want that of session %s", grants[1], other.ID)
	}
	ended, err := f.EndGrant(t.Context(), "ana", other.GrantID, session.EndRevoked, f.op())
	if err != nil || !ended {
		t.Errorf("EndGrant: %v, error %v", ended, err)
	}
	f.dead(other)
	f.live(first)
	if ended, err := f.EndGrant(t.Context(), "ana", other.GrantID, session.EndRevoked, f.op()); err != nil || ended {
		t.Errorf("EndGrant again: %v, error %v", ended, err)
	}
}
