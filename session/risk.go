package session

import (
	"strconv"
	"strings"
)

// Risk is what looked unusual about a sign-in. The zero Risk: nothing did, or
// nobody looked.
type Risk struct {
	Score   int      // the sum of the points of Signals
	Signals []string // names of what was noticed, none with a space
}

// PackRisk writes a risk as one text: the score and the signals, space-separated;
// "" for the zero Risk.
func PackRisk(r Risk) string {
	if r.Score == 0 && len(r.Signals) == 0 {
		return ""
	}
	return strings.Join(append([]string{strconv.Itoa(r.Score)}, r.Signals...), " ")
}

// UnpackRisk reads what PackRisk wrote. Anything else is the zero Risk.
func UnpackRisk(s string) Risk {
	fields := strings.Fields(s)
	if len(fields) == 0 {
		return Risk{}
	}
	score, err := strconv.Atoi(fields[0])
	if err != nil || score < 0 {
		return Risk{}
	}
	r := Risk{Score: score}
	if len(fields) > 1 {
		r.Signals = fields[1:]
	}
	return r
}
