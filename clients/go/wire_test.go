package sessiongate

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOnlyADefiniteAnswerRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		body   string
		reason string
	}{
		"the gateway's":       {401, `{"code":"unauthenticated","reason":"expired"}`, "expired"},
		"another code":        {401, `{"code":"payment_required","reason":"expired"}`, ""},
		"without a reason":    {401, `{"code":"unauthenticated"}`, ""},
		"another status":      {403, `{"code":"unauthenticated","reason":"expired"}`, ""},
		"a page":              {401, `<html>`, ""},
		"members of our kind": {401, `{"code":"unauthenticated","reason":7}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := conclude(&http.Response{StatusCode: c.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(c.body))})
			if r.refused != c.reason || r.err == nil {
				t.Errorf("refused for %q, %v; want %q", r.refused, r.err, c.reason)
			}
		})
	}
}

func TestContentOfAnotherVersionIsNothing(t *testing.T) {
	t.Parallel()
	if c := parseContent(`{"v":2,"access_token":"t"}`); c.held != nil {
		t.Error("it is taken for ours")
	}
	whole := content{&held{"a", "r", "s", "e"}, []string{"x"}}
	if got := parseContent(whole.String()); *got.held != *whole.held || got.signedOut[0] != "x" {
		t.Errorf("what comes back is %+v", got)
	}
}

func TestFileStore(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "app", "session.json")
	s := NewFileStore(file)
	for _, text := range []string{"", "one", "two", ""} {
		if err := s.Save(text); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Load(); got != text || err != nil {
			t.Fatalf("load: %q, %v; want %q", got, err, text)
		}
		if info, err := os.Stat(file); text != "" && (err != nil || info.Mode().Perm() != 0o600) {
			t.Errorf("the file: %v, %v; want mode 0600", info, err)
		}
		if left, _ := filepath.Glob(file + ".*"); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}
