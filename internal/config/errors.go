package config

import (
	"errors"
	"fmt"
	"strings"
)

// ErrInvalid is wrapped by every *InvalidError.
var ErrInvalid = errors.New("invalid configuration")

// InvalidError is all that is wrong with a configuration.
type InvalidError struct {
	Problems []Problem // never empty; in the order of the settings
}

// Problem is one wrong setting.
type Problem struct {
	Key    string // "http.addr"; for an unknown one, as it was written
	Source string // the file or variable that it came from; "" if it was not set
	Given  string // quoted; "" if it is a secret, or nothing was given
	Want   string // what would be right, or what is wrong
}

// String is the problem on one line.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.Key)
	if p.Source != "" && p.Source != p.Key {
		fmt.Fprintf(&b, " (from %s)", p.Source)
	}
	b.WriteString(": ")
	if p.Given != "" {
		fmt.Fprintf(&b, "got %s, ", p.Given)
	}
	b.WriteString(p.Want)
	return b.String()
}

// Error lists the problems, one a line.
func (e *InvalidError) Error() string {
	var b strings.Builder
	b.WriteString(ErrInvalid.Error())
	b.WriteString(":")
	for _, p := range e.Problems {
		b.WriteString("\n  ")
		b.WriteString(p.String())
	}
	return b.String()
}

// Unwrap returns ErrInvalid.
func (e *InvalidError) Unwrap() error { return ErrInvalid }
