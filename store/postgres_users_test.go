package store

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/session"
)

func TestPostgresUsers(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	ana := session.User{
		ID: "1", Identifier: "ana@example.com", PasswordHash: "$argon2id$…", Roles: []string{"admin", `a "b", c`},
		CreatedAt: noon,
	}
	bo := session.User{ID: "2", Identifier: "bo@example.com", Disabled: true, CreatedAt: noon.Add(-time.Hour)}
	for _, u := range []session.User{ana, bo} {
		if err := l.CreateUser(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	bo.Roles = []string{}

	want := func(want session.User, got session.User, err error) {
		t.Helper()
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v; want %+v", got, err, want)
		}
	}
	got, err := l.UserByIdentifier(t.Context(), "ana@example.com")
	want(ana, got, err)
	got, err = l.User(t.Context(), "2")
	want(bo, got, err)

	l.write(newLife("a stub", noon.Add(time.Hour)).login())
	list, err := l.ListUsers(t.Context(), 10)
	if err != nil || len(list) != 3 || list[0].ID != "2" || list[1].ID != "1" || list[2].ID != "a stub" {
		t.Errorf("list is %+v, %v", list, err)
	}
	if list[1].PasswordHash != "" {
		t.Error("the list has a password hash")
	}
	if list, err := l.ListUsers(t.Context(), 1); err != nil || len(list) != 1 {
		t.Errorf("list of 1 is %+v, %v", list, err)
	}
}

func TestPostgresUserNotFound(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	l.write(newLife("a stub", noon).login())
	for _, name := range []string{"", "nobody", "nul\x00", "\xff"} {
		if _, err := l.User(t.Context(), name); !errors.Is(err, session.ErrNotFound) {
			t.Errorf("User(%q) gives %v, want ErrNotFound", name, err)
		}
		if _, err := l.UserByIdentifier(t.Context(), name); !errors.Is(err, session.ErrNotFound) {
			t.Errorf("UserByIdentifier(%q) gives %v, want ErrNotFound", name, err)
		}
	}
}

func TestPostgresCreateUserTaken(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	if err := l.CreateUser(t.Context(), session.User{ID: "1", Identifier: "ana"}); err != nil {
		t.Fatal(err)
	}
	for name, u := range map[string]session.User{
		"id":         {ID: "1", Identifier: "bo"},
		"identifier": {ID: "2", Identifier: "ana"},
	} {
		if err := l.CreateUser(t.Context(), u); !errors.Is(err, ErrExists) {
			t.Errorf("%s taken: error is %v, want ErrExists", name, err)
		}
	}
	for _, id := range []string{"3", "4"} { // no identifier is not one that can be taken
		if err := l.CreateUser(t.Context(), session.User{ID: id}); err != nil {
			t.Error(err)
		}
	}
}

func TestPostgresSetPassword(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	if err := l.CreateUser(t.Context(), session.User{ID: "1", PasswordHash: "old"}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		id, old, new string
		want         error
		hash         string
	}{
		{"1", "another", "new", ErrConflict, "old"},
		{"1", "old", "new", nil, "new"},
		{"1", "old", "newer", ErrConflict, "new"},
		{"1", "", "newest", nil, "newest"},
		{"2", "", "new", session.ErrNotFound, "newest"},
		{"2", "old", "new", session.ErrNotFound, "newest"},
	} {
		if err := l.SetPassword(t.Context(), tt.id, tt.old, tt.new); !errors.Is(err, tt.want) {
			t.Errorf("SetPassword(%s, %s, %s) gives %v, want %v", tt.id, tt.old, tt.new, err, tt.want)
		}
		l.wantRows([]string{tt.hash}, `SELECT password_hash FROM users`)
	}
}

func TestPostgresSetDisabled(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	if err := l.CreateUser(t.Context(), session.User{ID: "1"}); err != nil {
		t.Fatal(err)
	}
	for _, disabled := range []bool{true, true, false} {
		if err := l.SetDisabled(t.Context(), "1", disabled); err != nil {
			t.Fatal(err)
		}
		if u, err := l.User(t.Context(), "1"); err != nil || u.Disabled != disabled {
			t.Errorf("user is %+v, %v; want disabled %v", u, err, disabled)
		}
	}
	if err := l.SetDisabled(t.Context(), "2", true); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("error is %v, want ErrNotFound", err)
	}
}
