package e2e

import (
	"net/http"
	"strings"
	"testing"
)

// testTexts: whatever clients say of themselves, they are let in, and the log
// keeps it in a form that breaks no line and no store.
func testTexts(t *testing.T, g *gateway) {
	for name, tt := range map[string]struct{ device, userAgent, wantDevice, wantAgent string }{
		"NUL and escapes": {"a\x00b\x1b[31m\r\nc", "x", "ab[31mc", "x"},
		"right to left":   {"evil\u202etxt", "x", "eviltxt", "x"},
		"tabs":            {"a\tb", "a\tb", "ab", "ab"},
		"no UTF-8":        {"d", "agent \xff\xfe end", "d", "agent  end"},
		"long":            {strings.Repeat("ü", 300), strings.Repeat("u", 5000), strings.Repeat("ü", 64), strings.Repeat("u", 512)},
		"quotes":          {`{"a":'b'};--`, `"'\`, `{"a":'b'};--`, `"'\`},
		"formulas":        {"=1+1", "=cmd()", "=1+1", "=cmd()"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := g.stack.user(t)
			c := loginCall(u.identifier, password)
			c.json.(object)["device_info"] = tt.device
			c.header = http.Header{"User-Agent": {tt.userAgent}}
			token := decode[grant](t, g.do(t, c), http.StatusCreated).AccessToken
			got := decode[sessionPage](t, g.do(t, get("/sessions/my-sessions", token)), http.StatusOK).Sessions[0]
			if got.DeviceInfo != tt.wantDevice || got.UserAgent != tt.wantAgent {
				t.Errorf("session has %q, %q, want %q, %q", got.DeviceInfo, got.UserAgent, tt.wantDevice, tt.wantAgent)
			}
			r := one(t, g.stack.logged(t, u.id, "login"), "login")
			if r.device != tt.wantDevice || r.userAgent != tt.wantAgent {
				t.Errorf("row has %q, %q, want %q, %q", r.device, r.userAgent, tt.wantDevice, tt.wantAgent)
			}
		})
	}
}
