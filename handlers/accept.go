package handlers

import (
	"strconv"
	"strings"
)

// readAccept returns how much a client wants a signed introspection answer and a
// plain one, 0 for not at all: the qualities of RFC 9110 §12.5.1. A signed one has
// to be asked for by name.
func readAccept(accept string) (jwt, plain float64) {
	named := false // plain, more closely than by a wildcard
	for part := range strings.SplitSeq(accept, ",") {
		media, parameters, _ := strings.Cut(part, ";")
		q := quality(parameters)
		switch strings.TrimSpace(media) {
		case jwtAnswer:
			jwt = q
		case "application/json":
			plain, named = q, true
		case "application/*", "*/*":
			if !named {
				plain = max(plain, q)
			}
		}
	}
	return jwt, plain
}

// quality reads q; one that can't be read is 1, as if it were not there.
func quality(parameters string) float64 {
	for p := range strings.SplitSeq(parameters, ";") {
		if value, ok := strings.CutPrefix(strings.TrimSpace(p), "q="); ok {
			if q, err := strconv.ParseFloat(value, 64); err == nil && q >= 0 && q <= 1 {
				return q
			}
		}
	}
	return 1
}
