package session

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Action is what an event is about: the column session_logs.action.
type Action string

// The actions of the audit log.
const (
	ActionLogin   Action = "login"
	ActionRefresh Action = "token_refresh"
	ActionLogout  Action = "logout"
	ActionExpired Action = "session_expired"
)

// EndReason is why a session ended: the column user_sessions.end_reason.
type EndReason string

// The reasons. ActionFor says which action each is logged under.
const (
	EndLogout    EndReason = "logout"
	EndLogoutAll EndReason = "logout_all"
	EndRevoked   EndReason = "revoked"
	EndRemoved   EndReason = "removed_in_redis"
	EndEvicted   EndReason = "evicted"
	EndReplaced  EndReason = "replaced"
	EndReused    EndReason = "refresh_reused"
	EndPassword  EndReason = "password_changed"
	EndDisabled  EndReason = "user_disabled"
	EndErased    EndReason = "user_erased"
	EndExpired   EndReason = "expired"
	EndIdle      EndReason = "idle_timeout"
	EndAbsolute  EndReason = "absolute_timeout"
)

// ActionFor returns the action that an ending with this reason is logged under.
func ActionFor(r EndReason) Action {
	if r == EndExpired || r == EndIdle || r == EndAbsolute {
		return ActionExpired
	}
	return ActionLogout
}

// An Event is one line of the audit log: a fact, with its own id and its own
// time, both fixed when it is made. What it says about the session is enough to
// create the session's row if it is the first to arrive.
type Event struct {
	ID        EventID
	CreatedAt time.Time // equals ID.Time(), except for endings
	Action    Action
	Success   bool
	Ends      EndReason // why the session ended, where this is its one ending; "" elsewhere
	Reason    string    // what whoever asked for it said, for people to read; may be empty
	Error     string    // error_message: why Success is false
	UserID    string    // "" when nobody by that name is known
	SessionID ID        // "" for a failed login
	Origin    Origin    // of the request

	// About the session. Empty in a failed login.
	Device            Device
	SessionPlace      Place // where it began
	ClientID          string
	Scope             string
	AMR               []string
	ExpiresAt         time.Time // after this event
	AbsoluteExpiresAt time.Time // zero: no limit
	Idle              time.Duration
	ActiveAt          time.Time // when the user last did something; zero where Idle is 0
	GrantID           ID        // of the remembered device; "" for none

	Risk Risk // of a sign-in, as assessed when it was made
}

// eventVersion is the first field of every entry. Entries of a version that a
// gateway does not know go to the dead letters, whole, and can be retried from
// there by a newer one.
const eventVersion = "1"

// EventFields are the fields of a stream entry, in the order in which every
// script writes them: Redis stores the names once as long as they do not change.
var EventFields = []string{
	"v", "id", "at", "action", "ok", "reason", "ends", "error", "user", "sid",
	"ip", "ua", "device", "sip", "access", "exp", "abs", "risk", "idle", "active", "grant",
}

// Fields returns the event as the values of a stream entry, names and values in
// turn, in the order of EventFields.
func (e *Event) Fields() []string {
	return []string{
		"v", eventVersion,
		"id", string(e.ID),
		"at", msText(e.CreatedAt),
		"action", string(e.Action),
		"ok", boolText(e.Success),
		"reason", e.Reason,
		"ends", string(e.Ends),
		"error", e.Error,
		"user", e.UserID,
		"sid", string(e.SessionID),
		"ip", PackPlace(e.Origin.Place()),
		"ua", e.Origin.UserAgent,
		"device", PackDevice(e.Device),
		"sip", PackPlace(e.SessionPlace),
		"access", PackAccess(Access{ClientID: e.ClientID, Scope: e.Scope, AMR: e.AMR}),
		"exp", msText(e.ExpiresAt),
		"abs", msText(e.AbsoluteExpiresAt),
		"risk", PackRisk(e.Risk),
		"idle", secondsText(e.Idle),
		"active", msText(e.ActiveAt),
		"grant", string(e.GrantID),
	}
}

// DecodeEvent reads a stream entry. Its error wraps ErrMalformedEvent and says
// what is wrong; it never panics, whatever somebody wrote into the stream.
func DecodeEvent(f map[string]string) (Event, error) {
	if f["v"] != eventVersion {
		return Event{}, fmt.Errorf("%w: version %q, want %q", ErrMalformedEvent, clip(f["v"]), eventVersion)
	}
	d := decoder{fields: f}
	e := Event{
		CreatedAt:    d.ms("at"),
		Action:       Action(f["action"]),
		Success:      d.flag("ok"),
		Reason:       d.text("reason"),
		Ends:         EndReason(d.text("ends")),
		Error:        d.text("error"),
		UserID:       f["user"],
		Origin:       originAt(UnpackPlace(d.text("ip")), d.text("ua")),
		Device:       UnpackDevice(d.text("device")),
		SessionPlace: UnpackPlace(d.text("sip")),
		Risk:         UnpackRisk(d.text("risk")),

		ExpiresAt:         d.ms("exp"),
		AbsoluteExpiresAt: d.ms("abs"),
		Idle:              d.seconds("idle"),
		ActiveAt:          d.ms("active"),
	}
	access := UnpackAccess(d.text("access"))
	e.ClientID, e.Scope, e.AMR = access.ClientID, access.Scope, access.AMR
	e.SessionID, e.GrantID = d.sid("sid", "a session id"), d.sid("grant", "the id of a remembered device")
	d.id(&e)
	d.check(&e)
	if d.err != nil {
		return Event{}, d.err
	}
	return e, nil
}

// decoder keeps the first thing that is wrong with an entry.
type decoder struct {
	fields map[string]string
	err    error
}

func (d *decoder) fail(field, want string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s is %q, want %s", ErrMalformedEvent, field, clip(d.fields[field]), want)
	}
}

func (d *decoder) text(field string) string {
	s := d.fields[field]
	if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
		d.fail(field, "UTF-8 without NUL")
	}
	return s
}

func (d *decoder) flag(field string) bool {
	switch d.fields[field] {
	case "1":
		return true
	case "0":
	default:
		d.fail(field, "0 or 1")
	}
	return false
}

// The range of times an entry may carry, in Unix ms: 2001 to 2286.
const minMS, maxMS = 1e12, 1e13

func (d *decoder) ms(field string) time.Time {
	s := d.fields[field]
	if s == "" {
		return time.Time{}
	}
	ms, err := strconv.ParseInt(s, 10, 64)
	if err != nil || ms < minMS || ms >= maxMS {
		d.fail(field, "Unix milliseconds")
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// seconds reads a whole number of seconds, up to a hundred years.
func (d *decoder) seconds(field string) time.Duration {
	s := d.fields[field]
	if s == "" {
		return 0
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		d.fail(field, "seconds")
	}
	return time.Duration(n) * time.Second
}

func (d *decoder) sid(field, want string) ID {
	if d.fields[field] == "" {
		return ""
	}
	id, err := ParseID(d.fields[field])
	if err != nil {
		d.fail(field, want)
	}
	return id
}

// id takes the id of an ending from the sid, and holds that of any other event
// to its time, so that a repeat can never carry another one.
func (d *decoder) id(e *Event) {
	if e.Ends != "" {
		e.ID = EndingID(e.SessionID)
		return
	}
	var err error
	if e.ID, err = ParseEventID(d.fields["id"]); err != nil {
		d.fail("id", "a UUIDv7")
	} else if !e.ID.Time().Equal(e.CreatedAt) {
		d.fail("at", "the time inside the id")
	}
}

func (d *decoder) check(e *Event) {
	switch e.Action {
	case ActionLogin, ActionRefresh, ActionLogout, ActionExpired:
	default:
		d.fail("action", "login, token_refresh, logout or session_expired")
	}
	switch {
	case e.CreatedAt.IsZero():
		d.fail("at", "Unix milliseconds")
	case e.UserID != "" && CheckUserID(e.UserID) != nil:
		d.fail("user", "a user id")
	case e.SessionID != "" && e.UserID == "":
		d.fail("user", "the user of the session")
	case e.SessionID != "" && e.ExpiresAt.IsZero():
		d.fail("exp", "Unix milliseconds")
	case e.Ends != "" && e.SessionID == "":
		d.fail("sid", "the session that ended")
	}
}

// PackDevice writes a device as one text; the parts hold no control characters.
func PackDevice(d Device) string {
	if d.Platform == "" && d.ID == "" {
		return d.Name
	}
	return d.Name + "\t" + d.Platform + "\t" + d.ID
}

// UnpackDevice reads what PackDevice wrote.
func UnpackDevice(s string) Device {
	name, rest, _ := strings.Cut(s, "\t")
	platform, id, _ := strings.Cut(rest, "\t")
	return Device{Name: name, Platform: platform, ID: id}
}

// Access is what never changes about a session's rights. No part holds a control
// character, and no scope, method or role a space.
type Access struct {
	ClientID string
	Scope    string
	AMR      []string
	Username string
	Roles    []string
}

// PackAccess writes it as one text: client, scope, authentication methods,
// username, roles. What is empty at its end is left off: most sessions have no
// more than the first parts, and a short text stays in the session's hash.
func PackAccess(a Access) string {
	return strings.TrimRight(strings.Join([]string{
		a.ClientID, a.Scope, strings.Join(a.AMR, " "), a.Username, strings.Join(a.Roles, " "),
	}, "\t"), "\t")
}

// UnpackAccess reads what PackAccess wrote. A list without elements is nil.
func UnpackAccess(s string) Access {
	var a Access
	var methods, roles string
	for _, part := range []*string{&a.ClientID, &a.Scope, &methods, &a.Username, &roles} {
		*part, s, _ = strings.Cut(s, "\t")
	}
	a.AMR, a.Roles = list(methods), list(roles)
	return a
}

func list(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Fields(s)
}

func msText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return strconv.FormatInt(t.UnixMilli(), 10)
}

func secondsText(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return strconv.FormatInt(int64(d/time.Second), 10)
}

func boolText(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// clip keeps a stranger's value out of errors but for its beginning.
func clip(s string) string { return CleanText(s, 40) }
