package session

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestCleanText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Ana's iPhone":      "Ana's iPhone",
		"a\x00b":            "ab",
		"a\r\nb\x1b[31m":    "ab[31m",
		"\xff\xfea":         "a",
		"  padded\t":        "padded",
		"evil\u202etxt.exe": "eviltxt.exe",
		"line\u2028break":   "linebreak",
		"\ufffd":            "",
		"日本語日本語日本語日本語日本語日本語日本語": strings.Repeat("日本語", 6) + "日本", // 60 of 63 bytes fit
		strings.Repeat("x", 70):  strings.Repeat("x", 62),
		strings.Repeat("y ", 35): strings.TrimSpace(strings.Repeat("y ", 31)),
	} {
		if got := CleanText(in, 62); got != want {
			t.Errorf("CleanText(%q) is %q, want %q", in, got, want)
		}
	}
}

func FuzzCleanText(f *testing.F) {
	f.Add("a\x00b\xff\u202e ", 5)
	f.Add("日本", 4)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = min(max(limit, 0), 1024)
		got := CleanText(s, limit)
		if !utf8.ValidString(got) || len(got) > limit || strings.ContainsFunc(got, unicode.IsControl) {
			t.Errorf("CleanText(%q, %d) is %q", s, limit, got)
		}
		if again := CleanText(got, limit); again != got {
			t.Errorf("CleanText(%q) is %q, and of that %q", s, got, again)
		}
	})
}

func TestDeviceText(t *testing.T) {
	t.Parallel()
	for want, d := range map[string]Device{
		"":                   {},
		"Ana's iPhone":       {Name: "Ana's iPhone", ID: "dev-1"},
		"Ana's iPhone (ios)": {Name: "Ana's iPhone", Platform: "ios"},
		"web":                {Platform: "web"},
	} {
		if got := d.String(); got != want {
			t.Errorf("%+v reads %q, want %q", d, got, want)
		}
		if got := UnpackDevice(PackDevice(d)); got != d {
			t.Errorf("%+v comes back as %+v", d, got)
		}
	}
}
