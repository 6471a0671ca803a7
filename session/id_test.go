package session

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestIDKeepsItsTimeAndItsOrder(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 4, 20, 0, 123_000_000, time.UTC)
	id, later := NewID(now), NewID(now.Add(time.Millisecond))
	if !id.Time().Equal(now) {
		t.Errorf("time is %v, want %v", id.Time(), now)
	}
	if id >= later {
		t.Errorf("%s sorts behind %s, which is younger", id, later)
	}
	if parsed, err := ParseID(string(id)); err != nil || parsed != id {
		t.Errorf("ParseID(%s) is %s, %v", id, parsed, err)
	}
}

func TestParseIDRefuses(t *testing.T) {
	t.Parallel()
	id := string(NewID(time.Now()))
	for name, s := range map[string]string{
		"nothing":         "",
		"one too short":   id[:35],
		"one too long":    id + "0",
		"upper case":      strings.ToUpper(id[:35]) + "A",
		"braces":          "{" + id[1:35] + "}",
		"another version": id[:14] + "4" + id[15:],
		"another variant": id[:19] + "c" + id[20:],
		"no hex":          id[:35] + "g",
	} {
		if _, err := ParseID(s); !errors.Is(err, ErrMalformedID) {
			t.Errorf("%s: ParseID(%q) gives %v, want ErrMalformedID", name, s, err)
		}
	}
}

func TestEndingIDIsTheSameForEverybody(t *testing.T) {
	t.Parallel()
	// Fixed for ever: another gateway, older or newer, must come to the same.
	const sid, want = ID("019ab1f4-0000-7000-8000-000000000000"), EventID("8272344f-9fb7-822a-9a1d-8641244d25c7")
	if got := EndingID(sid); got != want {
		t.Errorf("EndingID is %s, want %s", got, want)
	}
	if EndingID(sid) == EndingID(sid[:35]+"1") {
		t.Error("two sessions share an ending")
	}
	if !EndingID(sid).Time().IsZero() {
		t.Error("an ending's id claims to carry a time")
	}
}

func TestCheckUserID(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"42", "ana@example.com", "{curly}", "a b", "用户", "a:b*c", strings.Repeat("x", 255)} {
		if err := CheckUserID(id); err != nil {
			t.Errorf("CheckUserID(%q): %v", id, err)
		}
	}
	for id, want := range map[string]string{
		"":                       "empty",
		strings.Repeat("x", 256): "255 bytes",
		" 42":                    "space",
		"42\u00a0":               "space",
		"4\x002":                 "control",
		"4\n2":                   "control",
		"\xff":                   "UTF-8",
	} {
		if err := CheckUserID(id); !errors.Is(err, ErrMalformedUserID) || !strings.Contains(err.Error(), want) {
			t.Errorf("CheckUserID(%q): %v, want ErrMalformedUserID that says %q", id, err, want)
		}
	}
}

func FuzzParseID(f *testing.F) {
	f.Add("019ab1f4-0000-7000-8000-000000000000")
	f.Add("")
	f.Add(strings.Repeat("-", 36))
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseID(s)
		if err == nil && (string(id) != s || id.Time().IsZero()) {
			t.Errorf("ParseID(%q) is %q at %v", s, id, id.Time())
		}
	})
}
