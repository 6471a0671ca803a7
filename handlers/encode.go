package handlers

import (
	"encoding/json"
	"strconv"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/sessiongate/sessiongate/session"
)

// jsonType is shared by all answers; see middleware.SecureHeaders.
var jsonType = []string{"application/json"}

// encoder writes one JSON value, member by member and in that order. Names are
// ours and need no escaping.
type encoder struct{ b []byte }

var encoders = sync.Pool{New: func() any { return &encoder{b: make([]byte, 0, 1024)} }}

func newEncoder() *encoder {
	e := encoders.Get().(*encoder)
	e.b = e.b[:0]
	return e
}

// send answers with what has been written. The encoder is gone after it.
func (e *encoder) send(c *gin.Context, status int) { e.sendAs(c, status, jsonType) }

func (e *encoder) sendAs(c *gin.Context, status int, contentType []string) {
	c.Writer.Header()["Content-Type"] = contentType
	c.Writer.WriteHeader(status)
	_, _ = c.Writer.Write(e.b) // a client that hung up hears nothing
	if cap(e.b) <= 64<<10 {
		encoders.Put(e)
	}
}

func (e *encoder) open(bracket byte) {
	e.comma()
	e.b = append(e.b, bracket)
}

func (e *encoder) close(bracket byte) { e.b = append(e.b, bracket) }

func (e *encoder) comma() {
	if n := len(e.b); n > 0 {
		switch e.b[n-1] {
		case '{', '[', ':':
		default:
			e.b = append(e.b, ',')
		}
	}
}

func (e *encoder) key(name string) {
	e.comma()
	e.b = append(e.b, '"')
	e.b = append(e.b, name...)
	e.b = append(e.b, '"', ':')
}

func (e *encoder) text(name, s string) {
	e.key(name)
	e.quote(s)
}

// textIf leaves out what is empty.
func (e *encoder) textIf(name, s string) {
	if s != "" {
		e.text(name, s)
	}
}

func (e *encoder) number(name string, n int64) {
	e.key(name)
	e.b = strconv.AppendInt(e.b, n, 10)
}

func (e *encoder) flag(name string, v bool) {
	e.key(name)
	e.b = strconv.AppendBool(e.b, v)
}

// time writes RFC 3339 in UTC with exactly three digits of a second.
func (e *encoder) time(name string, t time.Time) {
	e.key(name)
	e.b = append(e.b, '"')
	e.b = t.UTC().AppendFormat(e.b, "2006-01-02T15:04:05.000Z07:00")
	e.b = append(e.b, '"')
}

func (e *encoder) timeIf(name string, t time.Time) {
	if !t.IsZero() {
		e.time(name, t)
	}
}

func (e *encoder) texts(name string, list []string) {
	e.key(name)
	e.open('[')
	for _, s := range list {
		e.comma()
		e.quote(s)
	}
	e.close(']')
}

// quote writes a string. Nearly all are plain; the others are encoding/json's.
func (e *encoder) quote(s string) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, err := json.Marshal(s)
			if err != nil {
				panic("handlers: " + err.Error()) // a string always has a form
			}
			e.b = append(e.b, quoted...)
			return
		}
	}
	e.b = append(e.b, '"')
	e.b = append(e.b, s...)
	e.b = append(e.b, '"')
}

// session writes a session as every endpoint shows it. It holds nothing that
// could be used to sign in.
func (e *encoder) session(s *session.Session, current bool) {
	e.open('{')
	e.text("id", string(s.ID))
	e.text("user_id", s.UserID)
	e.text("device_info", s.Device.String())
	e.textIf("device_id", s.Device.ID)
	e.textIf("platform", s.Device.Platform)
	e.text("ip_address", s.IP)
	e.textIf("country", s.Country)
	e.text("user_agent", s.UserAgent)
	e.flag("is_active", s.Live())
	e.time("created_at", s.CreatedAt)
	e.time("last_activity", s.LastActivity)
	e.time("expires_at", s.ExpiresAt)
	e.timeIf("absolute_expires_at", s.AbsoluteExpiresAt)
	e.text("client_id", s.ClientID)
	e.text("scope", s.Scope)
	e.texts("amr", s.AMR)
	e.flag("current", current)
	e.timeIf("ended_at", s.EndedAt)
	e.textIf("end_reason", string(s.EndReason))
	e.close('}')
}
