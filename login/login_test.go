package login

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sessiongate/sessiongate/session"
)

// world is everything around the service: users and sessions as the stores keep
// them, in memory, and whatever of it is to fail.
type world struct {
	users    map[string]session.User // by identifier
	steps    []string                // calls, in order
	asked    []string                // identifiers
	created  []session.Session
	asking   []bool // for a refresh token, in the order of created
	grant    session.Grant
	revoked  []session.ID // spared by RevokeUser
	events   []session.Event
	replaced [][3]string // SetPassword

	counted            []string // calls of the guard, in order
	attempts, forgiven []session.Attempt

	findErr, setErr, createErr, appendErr, revokeErr, takeErr, forgiveErr error
}

func (w *world) UserByIdentifier(_ context.Context, identifier string) (session.User, error) {
	w.steps = append(w.steps, "find")
	w.asked = append(w.asked, identifier)
	if w.findErr != nil {
		return session.User{}, w.findErr
	}
	u, ok := w.users[identifier]
	if !ok {
		return session.User{}, fmt.Errorf("store: find user: %w", session.ErrNotFound)
	}
	return u, nil
}

func (w *world) User(_ context.Context, id string) (session.User, error) {
	w.steps = append(w.steps, "find")
	if w.findErr != nil {
		return session.User{}, w.findErr
	}
	for _, u := range w.users {
		if u.ID == id {
			return u, nil
		}
	}
	return session.User{}, fmt.Errorf("store: find user: %w", session.ErrNotFound)
}

func (w *world) SetPassword(_ context.Context, id, oldHash, newHash string) error {
	w.steps = append(w.steps, "set password")
	w.replaced = append(w.replaced, [3]string{id, oldHash, newHash})
	return w.setErr
}

func (w *world) Create(_ context.Context, s session.Session, e session.Event) (session.Session, int, error) {
	w.steps = append(w.steps, "create")
	if w.createErr != nil {
		return session.Session{}, 0, w.createErr
	}
	w.created, w.asking = append(w.created, s), append(w.asking, false)
	w.events = append(w.events, e)
	s.ExpiresAt = s.ID.Time().Add(30 * time.Minute)
	return s, 0, nil
}

func (w *world) Remember(ctx context.Context, s session.Session, e session.Event) (session.Session, int, error) {
	s, n, err := w.Create(ctx, s, e)
	if err == nil {
		w.asking[len(w.asking)-1] = true
	}
	return s, n, err
}

func (w *world) Grant(_ context.Context, t session.RefreshToken) (session.Grant, error) {
	if t.GrantID != w.grant.ID {
		return session.Grant{}, fmt.Errorf("store: get grant: %w", session.ErrEnded)
	}
	return w.grant, nil
}

func (w *world) Resume(
	ctx context.Context, _ session.Grant, _ session.RefreshToken, s session.Session, e session.Event,
) (session.Session, error) {
	s, _, err := w.Create(ctx, s, e)
	return s, err
}

func (w *world) RevokeUser(
	_ context.Context, _ string, except session.ID, _ session.EndReason, e session.Event,
) (int, time.Time, error) {
	w.steps = append(w.steps, "revoke")
	if w.revokeErr != nil {
		return 0, time.Time{}, w.revokeErr
	}
	w.revoked, w.events = append(w.revoked, except), append(w.events, e)
	return 2, now, nil
}

func (w *world) Append(_ context.Context, e session.Event) error {
	w.steps = append(w.steps, "append")
	if w.appendErr != nil {
		return w.appendErr
	}
	w.events = append(w.events, e)
	return nil
}

const password = "correct horse"

var now = time.Date(2026, 3, 1, 12, 0, 0, 123_456_789, time.UTC)

// setup is a service in a world of users with a password of each kind.
type setup struct {
	*world
	*Service
	hasher *Hasher
	count  *counter
	reg    *prometheus.Registry
	log    bytes.Buffer
}

func newSetup(t *testing.T) *setup {
	t.Helper()
	argon := hashOf(t, cheap, password)
	s := &setup{world: &world{users: map[string]session.User{
		"bob":      {ID: "u-bob", Identifier: "bob", PasswordHash: argon, Roles: []string{"admin", "ops"}},
		"odd":      {ID: "u-odd", Identifier: "odd", PasswordHash: argon, Roles: []string{"ops", "user,admin"}},
		"gone":     {ID: "u-gone", Identifier: "gone", PasswordHash: argon, Disabled: true},
		"gone-old": {ID: "u-gone-old", Identifier: "gone-old", PasswordHash: bcryptOf(t, "2a", password), Disabled: true},
		"stub":     {ID: "u-stub", Identifier: "stub"},
		"broken":   {ID: "u-broken", Identifier: "broken", PasswordHash: "$1$rubbish"},
		"old":      {ID: "u-old", Identifier: "old", PasswordHash: bcryptOf(t, "2y", password)},
		"weak": {ID: "u-weak", Identifier: "weak", PasswordHash: hashOf(t,
			HasherOptions{MemoryKiB: 32, Iterations: 1, Parallelism: 1}, password)},
	}}}
	s.hasher, s.count = newHasher(t, cheap)
	s.Service = &Service{
		Users: s.world, Sessions: s.world, Devices: s.world, Revoker: s.world, Passwords: s.hasher, Guard: s.guard(t),
		Clock: func() time.Time { return now },
		Log:   slog.New(slog.NewTextHandler(&s.log, nil)),
	}
	return s
}

func request(identifier, password string) Request {
	return Request{
		Identifier: identifier, Password: password,
		Device: session.Device{Name: "Bob's phone", Platform: "ios"},
		Origin: session.Origin{IP: "203.0.113.7", UserAgent: "app/1.0"},
	}
}

func TestLogin(t *testing.T) {
	t.Parallel()
	for _, typed := range []string{"bob", " BOB ", "ｂｏｂ"} {
		t.Run(typed, func(t *testing.T) {
			t.Parallel()
			s := newSetup(t)
			got, err := s.Login(t.Context(), request(typed, password))
			if err != nil {
				t.Fatal(err)
			}
			at := now.Truncate(time.Millisecond)
			want := session.Session{
				ID: got.ID, UserID: "u-bob", ClientID: session.FirstParty, AMR: []string{"pwd"}, Username: "bob", Roles: []string{"admin", "ops"},
				Device: session.Device{Name: "Bob's phone", Platform: "ios"}, IP: "203.0.113.7", UserAgent: "app/1.0",
				AuthTime: at,
			}
			if !reflect.DeepEqual(s.created[0], want) {
				t.Errorf("created\n%+v, want\n%+v", s.created[0], want)
			}
			if _, err := session.ParseID(string(got.ID)); err != nil || !got.ID.Time().Equal(at) {
				t.Errorf("id is %s, of %v", got.ID, got.ID.Time())
			}
			if got.ExpiresAt.IsZero() {
				t.Error("the session is not the one the store returned")
			}
			e := s.events[0]
			if !e.Success || e.Action != session.ActionLogin || e.UserID != "u-bob" || e.Error != "" ||
				!e.CreatedAt.Equal(at) || !e.ID.Time().Equal(at) || e.Origin != request("", "").Origin {
				t.Errorf("event is %+v", e)
			}
			if want := []string{"find", "create"}; !slices.Equal(s.steps, want) || s.asked[0] != "bob" {
				t.Errorf("steps are %v for %q, want %v for bob", s.steps, s.asked, want)
			}
			if s.count.total() != 1 || s.log.Len() != 0 {
				t.Errorf("%d hashes, log %q", s.count.total(), s.log.String())
			}
		})
	}
}

// Roles that no token can carry do not keep anybody out; they are left at home.
func TestLoginWithUnusableRoles(t *testing.T) {
	t.Parallel()
	s := newSetup(t)
	if _, err := s.Login(t.Context(), request("odd", password)); err != nil {
		t.Fatal(err)
	}
	if got := s.created[0]; got.Roles != nil || got.Username != "odd" {
		t.Errorf("created %+v", got)
	}
	if !strings.Contains(s.log.String(), "stored roles are unusable") || !strings.Contains(s.log.String(), "u-odd") {
		t.Errorf("log %q", s.log.String())
	}
}

func TestLoginMakesAnotherSessionEachTime(t *testing.T) {
	t.Parallel()
	s := newSetup(t)
	ids := map[session.ID]bool{}
	for range 20 {
		got, err := s.Login(t.Context(), request("bob", password))
		if err != nil {
			t.Fatal(err)
		}
		ids[got.ID] = true
	}
	if len(ids) != 20 {
		t.Errorf("%d ids for 20 logins", len(ids))
	}
}

// All failures are one from outside, cost one hash, and are told apart in the
// audit log alone, which never holds what was typed.
func TestLoginFails(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, identifier, password string
		wantUser, wantError        string
		wantLog                    string // part of it
	}{
		{"unknown user", "nobody", password, "", "unknown user", ""},
		{"a password typed as identifier", "hunter2-my-password", "x", "", "unknown user", ""},
		{"no identifier", "", password, "", "unknown user", ""},
		{"an identifier with NUL", "bob\x00", password, "", "unknown user", ""},
		{"an identifier that is too long", strings.Repeat("b", 5000), password, "", "unknown user", ""},
		{"SQL", "' OR 1=1--", password, "", "unknown user", ""},
		{"wrong password", "bob", "wrong", "u-bob", "wrong password", ""},
		{"empty password", "bob", "", "u-bob", "wrong password", ""},
		{"a password that is too long", "bob", strings.Repeat("p", MaxPasswordBytes+1), "u-bob", "wrong password", ""},
		{"wrong password, bcrypt", "old", "wrong", "u-old", "wrong password", ""},
		{"disabled, right password", "gone", password, "u-gone", "user disabled", ""},
		{"disabled, wrong password", "gone", "wrong", "u-gone", "wrong password", ""},
		{"disabled, right password, bcrypt", "gone-old", password, "u-gone-old", "user disabled", ""},
		{"without a password", "stub", password, "u-stub", "wrong password", ""},
		{"without a password, empty", "stub", "", "u-stub", "wrong password", ""},
		{"an unusable hash", "broken", password, "u-broken", "wrong password", "stored password hash is unusable"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSetup(t)
			got, err := s.Login(t.Context(), request(tt.identifier, tt.password))
			if err != session.ErrInvalidCredentials { // the very same, with nothing wrapped round it
				t.Errorf("error is %v", err)
			}
			if got.ID != "" {
				t.Errorf("session is %+v", got)
			}
			if n := s.count.total(); n != 1 {
				t.Errorf("%d hashes were computed, want 1", n)
			}
			want := session.Event{
				Action: session.ActionLogin, Error: tt.wantError, UserID: tt.wantUser,
				CreatedAt: now.Truncate(time.Millisecond), Origin: request("", "").Origin,
			}
			if len(s.events) != 1 {
				t.Fatalf("events are %+v, want one", s.events)
			}
			e := s.events[0]
			if want.ID = e.ID; !reflect.DeepEqual(e, want) || !e.ID.Time().Equal(e.CreatedAt) {
				t.Errorf("event is\n%+v, want\n%+v", e, want)
			}
			if len(s.created)+len(s.replaced) != 0 {
				t.Errorf("created %v, replaced %v", s.created, s.replaced)
			}
			checkLog(t, s.log.String(), tt.wantLog, tt.identifier, tt.password)
			if _, err := session.DecodeEvent(fieldsOf(e)); err != nil {
				t.Errorf("the event can't be read back: %v", err)
			}
		})
	}
}

func checkLog(t *testing.T, log, want string, secrets ...string) {
	t.Helper()
	if want == "" && log != "" || !strings.Contains(log, want) {
		t.Errorf("log is %q, want %q", log, want)
	}
	for _, secret := range secrets {
		if len(secret) > 6 && strings.Contains(log, secret) {
			t.Errorf("the log shows what was typed: %s", log)
		}
	}
	if strings.Contains(log, "$argon2id$") || strings.Contains(log, "$2y$") || strings.Contains(log, "$1$") {
		t.Errorf("the log shows a hash: %s", log)
	}
}

func fieldsOf(e session.Event) map[string]string {
	m := map[string]string{}
	for pair := range slices.Chunk(e.Fields(), 2) {
		m[pair[0]] = pair[1]
	}
	return m
}

// What can't be said is never a "no", and what can't be recorded is not said.
func TestLoginWhenAStoreFails(t *testing.T) {
	t.Parallel()
	down := errors.New("connection refused")
	tests := []struct {
		name       string
		fail       func(*world)
		req        Request
		wantHashes int64
		wantSteps  []string
	}{
		{"users", func(w *world) { w.findErr = down }, request("bob", password), 0, []string{"find"}},
		{"the log of an unknown user", func(w *world) { w.appendErr = down }, request("nobody", password), 1, []string{"find", "append"}},
		{"the log of a wrong password", func(w *world) { w.appendErr = down }, request("bob", "wrong"), 1, []string{"find", "append"}},
		{"the log of a disabled user", func(w *world) { w.appendErr = down }, request("gone", password), 1, []string{"find", "append"}},
		{
			"sessions", func(w *world) { w.createErr = fmt.Errorf("store: %w: %w", session.ErrUnavailable, down) },
			request("old", password), 1,
			[]string{"find", "create"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSetup(t)
			tt.fail(s.world)
			got, err := s.Login(t.Context(), tt.req)
			if !errors.Is(err, session.ErrUnavailable) || !errors.Is(err, down) || errors.Is(err, session.ErrInvalidCredentials) {
				t.Errorf("error is %v", err)
			}
			if got.ID != "" || len(s.events) != 0 {
				t.Errorf("session %+v, events %+v", got, s.events)
			}
			if s.count.total() != tt.wantHashes || !slices.Equal(s.steps, tt.wantSteps) {
				t.Errorf("%d hashes, steps %v, want %d, %v", s.count.total(), s.steps, tt.wantHashes, tt.wantSteps)
			}
		})
	}
}

func TestLoginWhenOverloaded(t *testing.T) {
	t.Parallel()
	for _, identifier := range []string{"bob", "nobody", "gone", "old"} {
		t.Run(identifier, func(t *testing.T) {
			t.Parallel()
			s := newSetup(t)
			s.hasher.maxWait = 0
			for range cap(s.hasher.slots) {
				s.hasher.slots <- struct{}{}
			}
			_, err := s.Login(t.Context(), request(identifier, password))
			if !errors.Is(err, session.ErrOverloaded) || errors.Is(err, session.ErrInvalidCredentials) {
				t.Errorf("error is %v", err)
			}
			if s.count.total() != 0 || len(s.events) != 0 || len(s.created) != 0 {
				t.Errorf("%d hashes, events %v, sessions %v", s.count.total(), s.events, s.created)
			}
		})
	}
}

func TestLoginWhenTheCallerLeaves(t *testing.T) {
	t.Parallel()
	s := newSetup(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Login(ctx, request("bob", password))
	if !errors.Is(err, session.ErrOverloaded) || !errors.Is(err, context.Canceled) || len(s.events) != 0 {
		t.Errorf("error is %v, events %v", err, s.events)
	}
}

func TestLoginUpgradesTheHash(t *testing.T) {
	t.Parallel()
	for _, identifier := range []string{"old", "weak"} {
		t.Run(identifier, func(t *testing.T) {
			t.Parallel()
			s := newSetup(t)
			before := s.users[identifier]
			if _, err := s.Login(t.Context(), request(identifier, password)); err != nil {
				t.Fatal(err)
			}
			if want := []string{"find", "create", "set password"}; !slices.Equal(s.steps, want) {
				t.Fatalf("steps are %v, want %v", s.steps, want)
			}
			id, oldHash, newHash := s.replaced[0][0], s.replaced[0][1], s.replaced[0][2]
			if id != before.ID || oldHash != before.PasswordHash {
				t.Errorf("replaced the hash of %s if it is %s", id, oldHash)
			}
			if s.hasher.NeedsRehash(newHash) {
				t.Errorf("the new hash is %s", newHash)
			}

			// The next login finds nothing to do.
			before.PasswordHash = newHash
			s.users[identifier] = before
			s.steps = nil
			if _, err := s.Login(t.Context(), request(identifier, password)); err != nil {
				t.Fatal(err)
			}
			if want := []string{"find", "create"}; !slices.Equal(s.steps, want) {
				t.Errorf("steps are %v, want %v", s.steps, want)
			}
		})
	}
}

// busy is a hasher without a slot to spare for an upgrade.
type busy struct{ *Hasher }

func (busy) Upgrade(string, string) (string, error) { return "", session.ErrOverloaded }

func TestLoginSucceedsWithoutTheUpgrade(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*setup){
		"the store fails":  func(s *setup) { s.setErr = session.ErrUnavailable },
		"the hash changed": func(s *setup) { s.setErr = session.ErrNotFound },
		"no slot is free":  func(s *setup) { s.Passwords = busy{s.hasher} },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSetup(t)
			spoil(s)
			got, err := s.Login(t.Context(), request("old", password))
			if err != nil || got.ID == "" || len(s.created) != 1 {
				t.Errorf("got %+v, %v", got, err)
			}
			checkLog(t, s.log.String(), "password hash not upgraded", password)
		})
	}
}
