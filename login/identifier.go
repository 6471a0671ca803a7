package login

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// MaxIdentifierBytes is the longest canonical identifier: as long as an e-mail
// address can get (RFC 3696 erratum 1690: 64 + 1 + 255).
const MaxIdentifierBytes = 320

// maxTypedBytes bounds the work on what was typed. Wide characters shrink to a
// third when they are made canonical.
const maxTypedBytes = 4 * MaxIdentifierBytes

// ErrMalformedIdentifier: no user can have such an identifier.
var ErrMalformedIdentifier = errors.New("login: malformed identifier")

// Canonical returns the one form of what a user may type to name themself, so
// that "Bob", " bob" and "ｂｏｂ" are one user: without space around it, by
// Unicode's compatibility composition (NFKC) and full case folding. Users are
// stored under it and looked up by it. It is idempotent.
//
// It returns ErrMalformedIdentifier for what is empty or longer than
// MaxIdentifierBytes, is not UTF-8, or has characters that do not show: control
// and format characters, line breaks, fillers, variation selectors, unassigned
// ones. Nothing invisible may tell two users apart.
func Canonical(typed string) (string, error) {
	if len(typed) > maxTypedBytes || !utf8.ValidString(typed) {
		return "", ErrMalformedIdentifier
	}
	s, ok := fold(typed)
	if !ok || s == "" || len(s) > MaxIdentifierBytes {
		return "", ErrMalformedIdentifier
	}
	for _, r := range s {
		if !shows(r) {
			return "", ErrMalformedIdentifier
		}
	}
	return s, nil
}

// fold takes the steps until they change nothing: folding can undo a
// composition. One round is enough for every character there is; ok is false if
// some combination needs more than a few.
func fold(s string) (_ string, ok bool) {
	caser := cases.Fold()
	for range 4 {
		folded := strings.Map(foldCherokee, caser.String(norm.NFKC.String(s)))
		folded = strings.TrimSpace(norm.NFKC.String(folded))
		if folded == s {
			return s, true
		}
		s = folded
	}
	return "", false
}

// foldCherokee mends cases.Fold, which exchanges the two cases of Cherokee:
// Unicode folds that script to upper case.
func foldCherokee(r rune) rune {
	if unicode.Is(unicode.Cherokee, r) {
		return unicode.ToUpper(r)
	}
	return r
}

// shows says whether the character is defined and has a shape, or is a space.
func shows(r rune) bool {
	return unicode.IsGraphic(r) && r != utf8.RuneError &&
		!unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}
