package session

import (
	"errors"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"
)

// login is an event with a value in each of its fields.
func login() Event {
	now := time.Date(2026, 11, 24, 4, 20, 0, 123_000_000, time.UTC)
	return Event{
		ID: NewEventID(now), CreatedAt: now, Action: ActionLogin, Success: true, Reason: "password", Error: "none",
		UserID: "42", SessionID: NewID(now), Origin: Origin{IP: "192.0.2.1", UserAgent: "test/1", Country: "VN", ASN: 45899},
		Device: Device{Name: "phone", Platform: "ios", ID: "1"}, ClientID: "mobile", Scope: "read write",
		SessionPlace: Place{IP: "192.0.2.2", Country: "DE", ASN: 3320}, Risk: Risk{Score: 30, Signals: []string{"new_device"}},
		AMR: []string{"pwd", "otp"}, ExpiresAt: now.Add(time.Hour), AbsoluteExpiresAt: now.Add(2 * time.Hour),
	}
}

func fieldsOf(e Event) map[string]string {
	fields := e.Fields()
	m := make(map[string]string, len(fields)/2)
	for i := 0; i < len(fields); i += 2 {
		m[fields[i]] = fields[i+1]
	}
	return m
}

func TestEventSurvivesTheStream(t *testing.T) {
	t.Parallel()
	full := login()
	ending := full
	ending.Action, ending.Ends, ending.Reason = ActionLogout, EndLogout, "I lost it"
	ending.ID = EndingID(full.SessionID)
	now := full.CreatedAt
	failed := Event{ID: NewEventID(now), CreatedAt: now, Action: ActionLogin, Error: "unknown user"}
	for name, want := range map[string]Event{"login": full, "ending": ending, "failed login": failed} {
		got, err := DecodeEvent(fieldsOf(want))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !reflect.DeepEqual(got, want) && name != "failed login" {
			t.Errorf("%s comes back as\n%+v, want\n%+v", name, got, want)
		} else if got.ID != want.ID || got.Error != want.Error {
			t.Errorf("%s comes back as %+v", name, got)
		}
	}
}

func TestDecodeEventRefuses(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]map[string]string{
		"version":                      {"v": "2"},
		"no version":                   {"v": ""},
		"an id that is none":           {"id": "1"},
		"a time that is not the id's":  {"at": "1763958000124"},
		"no time":                      {"at": ""},
		"a time in words":              {"at": "now"},
		"a time in seconds":            {"at": "1763958000"},
		"a time in 2999":               {"at": "32472144000000"},
		"an unknown action":            {"action": "dance"},
		"success in words":             {"ok": "yes"},
		"an ending without a session":  {"sid": "", "ends": "logout"},
		"a session without its user":   {"user": ""},
		"a session without its expiry": {"exp": ""},
		"a sid that is none":           {"sid": "../etc"},
		"a user that can't be":         {"user": " 42"},
		"NUL":                          {"ua": "a\x00b"},
		"no UTF-8":                     {"device": "\xff"},
	} {
		fields := maps.Clone(fieldsOf(login()))
		maps.Copy(fields, change)
		if _, err := DecodeEvent(fields); !errors.Is(err, ErrMalformedEvent) {
			t.Errorf("%s: error is %v, want ErrMalformedEvent", name, err)
		}
	}
	if _, err := DecodeEvent(nil); !errors.Is(err, ErrMalformedEvent) {
		t.Errorf("nothing at all: error is %v, want ErrMalformedEvent", err)
	}
}

func TestAccess(t *testing.T) {
	t.Parallel()
	for packed, want := range map[string]Access{
		"":                               {},
		"app":                            {ClientID: "app"},
		"app\tread write":                {ClientID: "app", Scope: "read write"},
		"sessiongate\t\tpwd otp":         {ClientID: "sessiongate", AMR: []string{"pwd", "otp"}},
		"sessiongate\t\tpwd\tana b":      {ClientID: "sessiongate", AMR: []string{"pwd"}, Username: "ana b"},
		"app\tread\tpwd\tana\tadmin ops": {ClientID: "app", Scope: "read", AMR: []string{"pwd"}, Username: "ana", Roles: []string{"admin", "ops"}},
		"app\t\t\t\tadmin":               {ClientID: "app", Roles: []string{"admin"}},
	} {
		if got := PackAccess(want); got != packed {
			t.Errorf("%+v is packed as %q, want %q", want, got, packed)
		}
		if got := UnpackAccess(packed); !reflect.DeepEqual(got, want) {
			t.Errorf("%q is %+v, want %+v", packed, got, want)
		}
	}
	// Written before there were usernames and roles.
	for packed, want := range map[string]Access{
		"app\t\t":          {ClientID: "app"},
		"app\tread\t":      {ClientID: "app", Scope: "read"},
		"app\tread\tpwd":   {ClientID: "app", Scope: "read", AMR: []string{"pwd"}},
		"a\tb\tc\td\te\tf": {ClientID: "a", Scope: "b", AMR: []string{"c"}, Username: "d", Roles: []string{"e"}},
	} {
		if got := UnpackAccess(packed); !reflect.DeepEqual(got, want) {
			t.Errorf("%q is %+v, want %+v", packed, got, want)
		}
	}
}

// What Lua copies from a session's hash into an event may say more than the log
// keeps.
func TestDecodeEventWithRoles(t *testing.T) {
	t.Parallel()
	want := login()
	fields := fieldsOf(want)
	fields["access"] += "\tana\tadmin"
	if got, err := DecodeEvent(fields); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("comes back as\n%+v (%v), want\n%+v", got, err, want)
	}
}

func TestCheckRolesAndUsername(t *testing.T) {
	t.Parallel()
	sixteen := strings.Fields(strings.Repeat("r ", 16))
	for _, roles := range [][]string{
		nil,
		{},
		{"admin"},
		{"urn:role:a/b", "a@b.c", "x_y-z+1"},
		{strings.Repeat("r", 64)},
		sixteen,
		strings.Fields(strings.Repeat(strings.Repeat("r", 63)+" ", 8)),
	} {
		if err := CheckRoles(roles); err != nil {
			t.Errorf("%q: %v", roles, err)
		}
	}
	for _, roles := range [][]string{
		{""},
		{"a b"},
		{"a,b"},
		{"a;b"},
		{"a\tb"},
		{"a\nb"},
		{"é"},
		{"a\x00"},
		{"\"a"},
		{"<a>"},
		{"$a"},
		{"a", ""},
		{strings.Repeat("r", 65)},
		append(sixteen, "r"), strings.Fields(strings.Repeat(strings.Repeat("r", 64)+" ", 8)),
	} {
		if err := CheckRoles(roles); err == nil {
			t.Errorf("%q pass", roles)
		}
	}
	for name, ok := range map[string]bool{
		"": true, "ana@example.com": true, "Ana Ü": true, strings.Repeat("a", 320): true, strings.Repeat("a", 321): false,
		"a\tb": false, "a\x00": false, "a\nb": false, "\xff": false, "a\u202eb": false, "a\u0085b": false,
	} {
		if err := CheckUsername(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func FuzzDecodeEvent(f *testing.F) {
	seed := login()
	f.Add(strings.Join(seed.Fields(), "\x1f"))
	f.Add("v\x1f1\x1fat\x1f-9223372036854775808")
	f.Fuzz(func(t *testing.T, packed string) {
		parts := strings.Split(packed, "\x1f")
		fields := make(map[string]string)
		for i := 0; i+1 < len(parts); i += 2 {
			fields[parts[i]] = parts[i+1]
		}
		e, err := DecodeEvent(fields)
		if err != nil {
			if !errors.Is(err, ErrMalformedEvent) {
				t.Errorf("error is %v, want ErrMalformedEvent", err)
			}
			return
		}
		if again, err := DecodeEvent(fieldsOf(e)); err != nil || again.ID != e.ID || !again.CreatedAt.Equal(e.CreatedAt) {
			t.Errorf("%+v comes back as %+v, %v", e, again, err)
		}
	})
}
