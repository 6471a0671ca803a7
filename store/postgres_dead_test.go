package store

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/session"
)

func TestPostgresWriteEventsParksWhatIsBad(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	l.exec(`ALTER TABLE session_logs ADD CONSTRAINT no_tea CHECK (reason <> 'tea')`)
	var all []Entry
	bad := map[int]string{0: "22021", 137: "23514", 138: "22021", 499: "22021"}
	for i := range 500 {
		e := newLife("42", noon.Add(time.Duration(i)*time.Second)).login()
		switch bad[i] {
		case "22021":
			e.Event.Origin.UserAgent = "a\x00b" // nothing that decodes has it
			e.Fields = fieldsOf(&e.Event)
		case "23514":
			e.Event.Reason = "tea"
			e.Fields = fieldsOf(&e.Event)
		}
		all = append(all, e)
	}
	if r, want := l.write(all...), (WriteResult{Inserted: 496, Dead: 4}); r != want {
		t.Errorf("result is %+v, want %+v", r, want)
	}
	for i, state := range bad {
		e := &all[i].Event
		l.wantRows([]string{fmt.Sprintf("%s|%s|%s|true", e.ID, e.SessionID, state)},
			`SELECT event_id, session_id, sqlstate, payload ->> 'id' = event_id FROM session_logs_dead WHERE stream_id = $1`,
			all[i].StreamID)
		l.wantRows([]string{}, `SELECT id FROM user_sessions WHERE id = $1`, e.SessionID)
	}
	l.wantRows([]string{`"a\x00b"`}, `SELECT DISTINCT payload ->> 'ua' FROM session_logs_dead WHERE sqlstate = '22021'`)

	if r := l.write(all...); r != (WriteResult{}) {
		t.Errorf("the second time the result is %+v, want nothing", r)
	}
}

func TestPostgresWriteEventsParksWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	s := newLife("42", noon)
	good := s.login()
	ending := s.end(time.Minute, session.EndLogout).Fields
	ending["action"] = "party"
	huge := map[string]string{"v": "1", "junk": strings.Repeat("é", 1<<20)}
	many := map[string]string{}
	for i := range 1000 {
		many["field "+strconv.Itoa(i)] = "x"
	}
	r := l.write(
		malformed("1-0", ending),
		malformed("2-0", map[string]string{"\xff\x00": "\xfe", "v": "\u0000"}),
		malformed("3-0", huge),
		malformed("4-0", many),
		malformed("5-0", nil),
		malformed("5-0", map[string]string{"v": "9"}), // the same stream id, after a failover
		good,
	)
	if want := (WriteResult{Inserted: 1, Dead: 6}); r != want {
		t.Errorf("result is %+v, want %+v", r, want)
	}
	l.wantRows([]string{string(session.EndingID(s.id)) + "|" + string(s.id) + "||true"},
		`SELECT event_id, session_id, sqlstate, error LIKE '%action is "party"%' FROM session_logs_dead WHERE stream_id = '1-0'`)
	l.wantRows([]string{"null|null|" + `{"v": "\"\\x00\"", "\"\\xff\\x00\"": "\"\\xfe\""}`},
		`SELECT event_id, session_id, payload FROM session_logs_dead WHERE stream_id = '2-0'`)
	l.wantRows([]string{"true|true"}, `SELECT length(payload ->> 'junk') < 10000, payload ->> 'junk' LIKE '%… (2097152 bytes)'
		FROM session_logs_dead WHERE stream_id = '3-0'`)
	l.wantRows([]string{"64"}, `SELECT count(*) FROM session_logs_dead, jsonb_object_keys(payload) WHERE stream_id = '4-0'`)
	l.wantRows([]string{"2"}, `SELECT count(*) FROM session_logs_dead WHERE stream_id = '5-0'`)
}

func TestPostgresWriteEventsHaltsOnTheSchema(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	l.exec(`ALTER TABLE session_logs DROP COLUMN country, DROP COLUMN error_message`)
	_, err := l.WriteEvents(t.Context(), []Entry{newLife("42", noon).login(), newLife("42", noon).login()})
	if !errors.Is(err, ErrSchema) || errors.Is(err, session.ErrUnavailable) {
		t.Errorf("error is %v, want ErrSchema", err)
	}
	l.wantRows([]string{"0|0"}, `SELECT (SELECT count(*) FROM session_logs_dead), (SELECT count(*) FROM user_sessions)`)
}

func TestPostgresPlain(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, want string }{
		{"", ""},
		{"naïve", "naïve"},
		{`a\b "c"`, `a\b "c"`},
		{"\x00", `"\x00"`},
		{"\xff", `"\xff"`},
		{"12345678é", "12345678… (10 bytes)"},
		{"1234567890", "123456789… (10 bytes)"},
		{"\xff234567890", `"\xff23456789"… (10 bytes)`},
	} {
		if got := plain(tt.in, 9); got != tt.want {
			t.Errorf("plain(%q) is %q, want %q", tt.in, got, tt.want)
		}
	}
}
