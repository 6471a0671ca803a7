package e2e

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestChecklistF holds the lines on sign-ins and the log that need nothing but a
// gateway with its ordinary settings. Those on limits, signals and messages are
// TestF….
func TestChecklistF(t *testing.T) {
	t.Parallel()
	g := newStack(t).start(t)
	together(t, g, []shared{
		{"F64 the same time for all who fail", testF64SameTime},
		{"F64, F65 the same answer for all who fail, and a row that says which", testLoginFailures},
		{"F65 every event once, and readable", testLogs},
		{"F66 texts of strangers in the log of sessions", testTexts},
		{"F66 texts of strangers in the log of the process", testF66LogLines},
	})
}

// testF66LogLines: nobody writes a line, or a field, into the log of the process.
func testF66LogLines(t *testing.T, g *gateway) {
	const forged = `{"level":"FORGED","msg":"all is well"}`
	marker := newID()
	hostile := http.Header{"User-Agent": {marker + " \t" + forged}, "X-Request-Id": {forged}, "Traceparent": {forged}}
	var ids []string // which the log has, whatever it leaves out
	for _, c := range []call{
		{method: http.MethodGet, path: "/" + marker + "%0a" + forged},
		{method: http.MethodGet, path: "/" + marker + "?x=%0d%0a" + forged + "&y=%1b[31m"},
		loginCall(marker+"\n"+forged, wrongPassword),
	} {
		c.header = hostile
		a := g.do(t, c)
		if a.status < 400 {
			t.Errorf("%s", a)
		}
		ids = append(ids, a.header.Get("X-Request-Id"))
	}
	found := 0
	for line := range strings.Lines(g.output()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Errorf("%q is no JSON object: %v", line, err)
		}
		if fields["level"] == "FORGED" || fields["msg"] == "all is well" {
			t.Errorf("a stranger wrote %q", line)
		}
		if strings.ContainsAny(strings.TrimSuffix(line, "\n"), "\x1b\r\x00") {
			t.Errorf("%q moves a terminal's cursor", line)
		}
		if id, _ := fields["request_id"].(string); slices.Contains(ids, id) {
			found++
		}
	}
	if found < len(ids) {
		t.Errorf("%d lines are about %d requests", found, len(ids))
	}
}
