package handlers

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sessiongate/sessiongate/session"
)

func TestCursor(t *testing.T) {
	sid := session.NewID(at("2026-11-24T12:00:00Z"))
	for _, want := range []cursor{
		{list: activeSessions},
		{list: endedSessions},
		{list: endedSessions, at: at("2026-11-24T12:00:00.123456Z"), id: string(sid)},
		{list: logRows, at: time.UnixMicro(0).UTC(), id: string(session.EndingID(sid))},
	} {
		got, err := parseCursor(want.String(), want.list)
		if err != nil || got != want {
			t.Errorf("%+v came back as %+v, %v", want, got, err)
		}
		if strings.ContainsAny(want.String(), "+/=.") {
			t.Errorf("%s needs escaping in a URL", want)
		}
	}
}

func TestParseCursorRefuses(t *testing.T) {
	id := "0192f0c0-0000-7000-8000-000000000001"
	enc := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	good := enc("e.1700000000000000." + id)
	if _, err := parseCursor(good, endedSessions); err != nil {
		t.Fatal(err)
	}
	bad := map[string]string{
		"nothing":                   "",
		"text":                      "next",
		"standard base64":           base64.StdEncoding.EncodeToString([]byte("e.1."+id)) + "=",
		"one more character":        good + "A",
		"one less":                  good[:len(good)-1],
		"a line break inside":       good[:4] + "\n" + good[4:],
		"another list":              enc("a.1700000000000000." + id),
		"no list":                   enc(".1700000000000000." + id),
		"two letters":               enc("ee.1700000000000000." + id),
		"a number with a sign":      enc("e.+1700000000000000." + id),
		"a number with a zero":      enc("e.01700000000000000." + id),
		"a negative number":         enc("e.-1." + id),
		"a number too far":          enc("e.253402300800000000." + id),
		"no number":                 enc("e.." + id),
		"a place without an id":     enc("e.1700000000000000."),
		"SQL":                       enc("e.1.' OR 1=1 --"),
		"an id in capitals":         enc("e.1." + strings.ToUpper(id)),
		"an id in braces":           enc("e.1.{" + id + "}"),
		"something after the id":    enc("e.1." + id + "."),
		"far too long":              enc("e.1." + strings.Repeat("0", 10_000)),
		"bits beyond the last byte": good[:len(good)-1] + "B",
	}
	for name, s := range bad {
		if c, err := parseCursor(s, endedSessions, logRows); err == nil && c.String() != good {
			t.Errorf("%s: %q is taken for %+v", name, s, c)
		} else if err == nil {
			t.Errorf("%s: %q is a second spelling of a cursor", name, s)
		}
	}
}

// FuzzCursor: whatever is accepted is exactly what String would have written, and
// can be handed to Postgres.
func FuzzCursor(f *testing.F) {
	f.Add("")
	f.Add(cursor{list: activeSessions}.String())
	f.Add(cursor{list: endedSessions, at: at("2026-11-24T12:00:00.123456Z"), id: "0192f0c0-0000-7000-8000-000000000001"}.String())
	f.Add(base64.RawURLEncoding.EncodeToString([]byte("l.9.x")))
	f.Fuzz(func(t *testing.T, s string) {
		c, err := parseCursor(s, activeSessions, endedSessions, logRows)
		if err != nil {
			return
		}
		if c.String() != s {
			t.Fatalf("%q is read as %+v, which is written %q", s, c, c)
		}
		if c.id != "" {
			if err := uuid.Validate(c.id); err != nil || len(c.id) != 36 {
				t.Fatalf("%q has the id %q", s, c.id)
			}
		}
		if c.at.Year() > 9999 || c.list == 0 {
			t.Fatalf("%q is %+v", s, c)
		}
	})
}
