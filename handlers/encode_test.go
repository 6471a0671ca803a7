package handlers

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/session"
)

func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return t
}

func TestEncodeSession(t *testing.T) {
	full := session.Session{
		ID: "0192f0c0-0000-7000-8000-000000000001", UserID: "u1", ClientID: "app", Scope: "read write", AMR: []string{"pwd", "otp"},
		Device: session.Device{Name: "Ana's iPhone", Platform: "ios", ID: "d1"}, IP: "203.0.113.7", Country: "VN", UserAgent: "App/1",
		CreatedAt: at("2026-11-24T12:00:00.1Z"), LastActivity: at("2026-11-24T13:00:00.123456789+01:00"),
		ExpiresAt: at("2026-11-24T12:30:00Z"), AbsoluteExpiresAt: at("2026-12-24T12:00:00Z"),
		AuthTime: at("2026-11-24T12:00:00Z"), Generation: 3, RotatedAt: at("2026-11-24T12:00:00Z"),
	}
	ended := full
	ended.EndedAt, ended.EndReason = at("2026-11-24T12:10:00Z"), session.EndRevoked
	bare := session.Session{ID: "s", UserID: `"`}
	tests := []struct {
		name    string
		s       session.Session
		current bool
		want    string
	}{
		{"with everything", full, true, `{"id":"0192f0c0-0000-7000-8000-000000000001","user_id":"u1",` +
			`"device_info":"Ana's iPhone (ios)","device_id":"d1","platform":"ios","ip_address":"203.0.113.7","country":"VN","user_agent":"App/1",` +
			`"is_active":true,"created_at":"2026-11-24T12:00:00.100Z","last_activity":"2026-11-24T12:00:00.123Z",` +
			`"expires_at":"2026-11-24T12:30:00.000Z","absolute_expires_at":"2026-12-24T12:00:00.000Z","client_id":"app",` +
			`"scope":"read write","amr":["pwd","otp"],"current":true}`},
		{"ended", ended, false, `{"id":"0192f0c0-0000-7000-8000-000000000001","user_id":"u1",` +
			`"device_info":"Ana's iPhone (ios)","device_id":"d1","platform":"ios","ip_address":"203.0.113.7","country":"VN","user_agent":"App/1",` +
			`"is_active":false,"created_at":"2026-11-24T12:00:00.100Z","last_activity":"2026-11-24T12:00:00.123Z",` +
			`"expires_at":"2026-11-24T12:30:00.000Z","absolute_expires_at":"2026-12-24T12:00:00.000Z","client_id":"app",` +
			`"scope":"read write","amr":["pwd","otp"],"current":false,"ended_at":"2026-11-24T12:10:00.000Z","end_reason":"revoked"}`},
		{"with nothing", bare, false, `{"id":"s","user_id":"\"","device_info":"","ip_address":"","user_agent":"","is_active":true,` +
			`"created_at":"0001-01-01T00:00:00.000Z","last_activity":"0001-01-01T00:00:00.000Z",` +
			`"expires_at":"0001-01-01T00:00:00.000Z","client_id":"","scope":"","amr":[],"current":false}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := newEncoder()
			e.session(&tt.s, tt.current)
			if string(e.b) != tt.want {
				t.Errorf("%s\nwant %s", e.b, tt.want)
			}
			if !json.Valid(e.b) {
				t.Error("not JSON")
			}
		})
	}
}

// FuzzEncode holds the encoder against encoding/json as a reader.
func FuzzEncode(f *testing.F) {
	f.Add("plain", "", int64(0), true)
	f.Add("\x00\"\\\n\u2028<&>\xff\u00e9", "😀", int64(-1), false)
	f.Fuzz(func(t *testing.T, a, b string, n int64, flag bool) {
		e := newEncoder()
		e.open('{')
		e.text("a", a)
		e.textIf("if", b)
		e.texts("list", []string{a, b})
		e.key("inner")
		e.open('[')
		e.open('{')
		e.number("n", n)
		e.close('}')
		e.open('{')
		e.flag("f", flag)
		e.close('}')
		e.close(']')
		e.close('}')
		var got struct {
			A     string   `json:"a"`
			If    *string  `json:"if"`
			List  []string `json:"list"`
			Inner []struct {
				N int64 `json:"n"`
				F bool  `json:"f"`
			} `json:"inner"`
		}
		if err := json.Unmarshal(e.b, &got); err != nil {
			t.Fatalf("%s: %v", e.b, err)
		}
		a, b = strings.ToValidUTF8(a, "\ufffd"), strings.ToValidUTF8(b, "\ufffd")
		// ToValidUTF8 puts one replacement for a run of bad bytes, encoding/json one for each.
		one := func(s string) string {
			for strings.Contains(s, "\ufffd\ufffd") {
				s = strings.ReplaceAll(s, "\ufffd\ufffd", "\ufffd")
			}
			return s
		}
		switch {
		case one(got.A) != one(a), len(got.List) != 2, one(got.List[0]) != one(a), one(got.List[1]) != one(b),
			(got.If == nil) != (b == ""), got.If != nil && one(*got.If) != one(b),
			len(got.Inner) != 2, got.Inner[0].N != n, got.Inner[1].F != flag:
			t.Errorf("%q %q %d %t came back as %+v from %s", a, b, n, flag, got, e.b)
		}
	})
}
