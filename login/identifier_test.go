package login

import (
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

func TestCanonical(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, typed, want string }{ // want "": malformed
		{"as it is", "bob@example.com", "bob@example.com"},
		{"upper case", "Bob@Example.COM", "bob@example.com"},
		{"space around it", "\t bob \u00a0\n", "bob"},
		{"space within", "bob  smith", "bob  smith"},
		{"wide letters", "ｂｏｂ", "bob"},
		{"wide upper case", "ＢＯＢ＠ＥＸＡＭＰＬＥ．ＣＯＭ", "bob@example.com"},
		{"a wide space around it", "\u3000bob\u3000", "bob"},
		{"a composed and a decomposed umlaut", "Ju\u0308rgen", "j\u00fcrgen"},
		{"sharp s", "STRAẞE", "strasse"},
		{"sharp s in lower case", "straße", "strasse"},
		{"final sigma", "ΌΣΟΣ", "όσοσ"},
		{"a ligature", "ﬁona", "fiona"},
		{"the Kelvin sign", "\u212aelvin", "kelvin"},
		{"a dotted capital I", "\u0130", "i\u0307"},
		{"a mathematical letter", "𝐁ob", "bob"},
		{"another script", "Аня", "аня"},
		{"Cherokee", "\u13a0\u13f5", "\u13a0\u13f5"},
		{"Cherokee in lower case", "\uab70\u13fd", "\u13a0\u13f5"},
		{"longest", strings.Repeat("a", MaxIdentifierBytes), strings.Repeat("a", MaxIdentifierBytes)},
		{"longest, typed wide", strings.Repeat("Ａ", MaxIdentifierBytes), strings.Repeat("a", MaxIdentifierBytes)},

		{"empty", "", ""},
		{"only space", " \t\u3000", ""},
		{"too long", strings.Repeat("a", MaxIdentifierBytes+1), ""},
		{"too long once canonical", strings.Repeat("ﷺ", 40), ""},
		{"far too long", strings.Repeat(" ", maxTypedBytes) + "bob", ""},
		{"not UTF-8", "bob\xff", ""},
		{"NUL", "bob\x00", ""},
		{"a line break within", "bob\nadmin", ""},
		{"an escape", "bob\x1b[31m", ""},
		{"DEL", "bob\x7f", ""},
		{"a line separator", "bob\u2028x", ""},
		{"a zero-width space", "bob\u200b", ""},
		{"a zero-width joiner", "b\u200dob", ""},
		{"a byte order mark", "\ufeffbob", ""},
		{"a soft hyphen", "b\u00adob", ""},
		{"right to left", "bob\u202e", ""},
		{"a filler", "bob\u3164", ""},
		{"a variation selector", "bob\ufe0f", ""},
		{"a grapheme joiner", "bob\u034f", ""},
		{"a character for private use", "bob\ue000", ""},
		{"an unassigned character", "bob\u0378", ""},
		{"the replacement character", "bob\ufffd", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := Canonical(tt.typed)
			if got != tt.want || (err != nil) != (tt.want == "") {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
			if err != nil && !errors.Is(err, ErrMalformedIdentifier) {
				t.Errorf("error is %v", err)
			}
		})
	}
}

// The identifiers that one advisory after the other confused (CVE-2025-24806).
func TestCanonicalMakesOneUserOfOne(t *testing.T) {
	t.Parallel()
	for _, typed := range []string{"bob", "Bob", "BOB", "ｂｏｂ", "bob ", " bob", "𝖻𝗈𝖻", "ⓑⓞⓑ"} {
		if got, err := Canonical(typed); got != "bob" {
			t.Errorf("%q is %q, %v", typed, got, err)
		}
	}
}

// Every character that shows and that folding or composition changes, alone and
// between others, has a canonical form that is its own.
func TestCanonicalOfEveryCharacter(t *testing.T) {
	t.Parallel()
	caser := cases.Fold()
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if s := string(r); norm.NFKC.IsNormalString(s) && caser.String(s) == s && !unicode.IsMark(r) {
			continue
		}
		hides := strings.ContainsFunc(norm.NFKC.String(string(r)), func(r rune) bool { return !shows(r) })
		if hides || !shows(r) {
			continue
		}
		for _, typed := range []string{"x" + string(r), "A\u0301" + string(r) + "\u0345B"} {
			once, err := Canonical(typed)
			if err != nil {
				t.Errorf("%U: %v", r, err)
				continue
			}
			if twice, err := Canonical(once); twice != once || err != nil {
				t.Errorf("%U: %q becomes %q, %v", r, once, twice, err)
			}
		}
	}
}

func FuzzCanonical(f *testing.F) {
	for _, s := range []string{"Bob@Example.com", "ｂｏｂ", "\u0130\u0345", "ﷺ", "a\u0300\u0345", " \u00a8 ", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		once, err := Canonical(typed)
		if err != nil {
			if once != "" {
				t.Errorf("refused and returned %q", once)
			}
			return
		}
		if once == "" || len(once) > MaxIdentifierBytes || !utf8.ValidString(once) || once != strings.TrimSpace(once) {
			t.Errorf("%q is not canonical", once)
		}
		for _, r := range once {
			if unicode.IsControl(r) || !unicode.IsGraphic(r) {
				t.Errorf("%q has %U", once, r)
			}
		}
		if twice, err := Canonical(once); twice != once || err != nil {
			t.Errorf("%q becomes %q, %v", once, twice, err)
		}
		if padded, err := Canonical(" " + once + "\t"); padded != once || err != nil {
			t.Errorf("with space around it %q becomes %q, %v", once, padded, err)
		}
	})
}

func BenchmarkCanonical(b *testing.B) {
	for name, typed := range map[string]string{"ascii": "Bob.Smith@Example.com", "wide": "ｂｏｂ＠ｅｘａｍｐｌｅ．ｃｏｍ"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Canonical(typed); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
