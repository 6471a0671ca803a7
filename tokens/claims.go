package tokens

import (
	"encoding/json"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/sessiongate/sessiongate/session"
)

// claims is the payload as Issuer writes it (RFC 9068 §2.2). The order of the
// fields is part of the format: it makes the same token the same bytes.
type claims struct {
	Issuer     string   `json:"iss"`
	Subject    string   `json:"sub"`
	Audience   string   `json:"aud"`
	ExpiresAt  int64    `json:"exp"` // Unix seconds, as all times here
	IssuedAt   int64    `json:"iat"`
	ID         string   `json:"jti"`
	SessionID  string   `json:"sid"`
	ClientID   string   `json:"client_id"`
	Scope      string   `json:"scope,omitempty"`
	AuthTime   int64    `json:"auth_time,omitempty"`
	Generation int64    `json:"gen"`
	AMR        []string `json:"amr,omitempty"`
	Username   string   `json:"preferred_username,omitempty"`
	Roles      []string `json:"roles,omitempty"`
}

// required are the claims without which a payload is not a token of ours.
var required = []string{"iss", "sub", "aud", "exp", "iat", "jti", "sid", "client_id", "gen"}

// payload is what decode found: the token, and the claims that are judged and
// then forgotten.
type payload struct {
	token     session.Token
	issuer    string
	audiences []string
	notBefore time.Time // nbf (RFC 7519 §4.1.5); zero if absent
}

// decode reads a payload whose signature has been verified. Where it isn't one
// that Issuer could have written, why says what is wrong, in words that hold
// nothing of the payload itself. Members it does not know are passed over; any
// member that occurs twice is an error, for two readers may see two tokens
// (RFC 8259 §4).
func decode(raw []byte) (p payload, why string) {
	if !utf8.Valid(raw) || !json.Valid(raw) {
		return p, "the payload is not JSON"
	}
	r := reader{rest: raw}
	if !r.take('{') {
		return p, "the payload is not an object"
	}
	seen := make([]string, 0, 16)
	for !r.take('}') {
		name, _ := r.text()
		r.take(':')
		if slices.Contains(seen, name) {
			return p, "a claim occurs twice"
		}
		seen = append(seen, name)
		if why := p.member(&r, name); why != "" {
			return p, name + " " + why
		}
		r.take(',')
	}
	for _, name := range required {
		if !slices.Contains(seen, name) {
			return p, name + " is missing"
		}
	}
	return p, malformed(&p.token)
}

// member reads the value of one claim. The result is "" or what is wrong with
// the value.
func (p *payload) member(r *reader, name string) (why string) {
	t := &p.token
	var ok bool
	switch name {
	case "iss":
		p.issuer, ok = r.text()
	case "sub":
		t.UserID, ok = r.text()
	case "aud": // one text or several (RFC 7519 §4.1.3)
		var one string
		if one, ok = r.text(); ok {
			p.audiences = []string{one}
		} else {
			p.audiences, ok = r.texts()
		}
	case "exp":
		t.ExpiresAt, ok = r.time()
	case "iat":
		t.IssuedAt, ok = r.time()
	case "nbf":
		p.notBefore, ok = r.time()
	case "jti":
		t.ID, ok = r.text()
	case "sid":
		var sid string
		sid, ok = r.text()
		t.SessionID = session.ID(sid)
	case "client_id":
		t.ClientID, ok = r.text()
	case "scope":
		t.Scope, ok = r.text()
	case "auth_time":
		t.AuthTime, ok = r.time()
	case "gen":
		t.Generation, ok = r.integer()
	case "amr":
		t.AMR, ok = r.texts()
	case "preferred_username":
		t.Username, ok = r.text()
	case "roles":
		t.Roles, ok = r.texts()
	default:
		r.skip()
		return ""
	}
	if !ok {
		return "has a value of the wrong kind"
	}
	return ""
}

// malformed says why no session has such a token, or "". Issuer and Verifier
// hold tokens to the same rules.
func malformed(t *session.Token) string {
	switch {
	case t.ID == "":
		return "jti is empty"
	case t.ClientID == "":
		return "client_id is empty"
	case t.Generation < 0:
		return "gen is negative"
	case !inRange(t.ExpiresAt):
		return "exp is out of range"
	case !inRange(t.IssuedAt):
		return "iat is out of range"
	case !t.AuthTime.IsZero() && !inRange(t.AuthTime):
		return "auth_time is out of range"
	case !validText(t.ID, t.ClientID, t.Scope) || !validText(t.AMR...):
		return "a text is not UTF-8"
	case slices.Contains(t.AMR, ""):
		return "amr has an empty value"
	case session.CheckUsername(t.Username) != nil:
		return "preferred_username is malformed"
	case session.CheckRoles(t.Roles) != nil:
		return "roles is malformed"
	}
	if _, err := session.ParseID(string(t.SessionID)); err != nil {
		return "sid is malformed"
	}
	if session.CheckUserID(t.UserID) != nil {
		return "sub is malformed"
	}
	return ""
}

// maxTime is the last second of the year 9999, beyond which time.Time has no
// RFC 3339 form.
const maxTime = 253402300799

func inRange(t time.Time) bool { return t.Unix() > 0 && t.Unix() <= maxTime }

func validText(texts ...string) bool {
	for _, s := range texts {
		if !utf8.ValidString(s) {
			return false
		}
	}
	return true
}
