package command

import "strings"

// quote returns s as one word of a POSIX shell, whatever is in it.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
