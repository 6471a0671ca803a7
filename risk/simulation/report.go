package simulation

import (
	"fmt"
	"io"
	"strings"

	"github.com/sessiongate/sessiongate/risk"
)

// Thresholds are those that the report shows.
var thresholds = []int{30, 40, 50, 60, 70, 80, 100}

// Report writes the result as Markdown.
func (r *Result) Report(w io.Writer, rules risk.Rules) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%d users over %d days: %d sign-ins and %d refreshes of theirs; %d attacks of each kind, on users\n"+
		"who had signed in %d times or more. Seed %d.\n\n", r.Users, r.Days, r.Logins.Total, r.Refreshes.Total,
		r.Attacks[0].Total, rules.LearnLogins, r.Seed)
	r.byThreshold(&b, rules)
	r.bySignal(&b, rules)
	_, err := io.WriteString(w, b.String())
	return err
}

// byThreshold says how much of everything reaches each score.
func (r *Result) byThreshold(b *strings.Builder, rules risk.Rules) {
	b.WriteString("Share with at least this score:\n\n| what | ")
	for _, t := range thresholds {
		mark := ""
		switch t {
		case rules.NotifyAt:
			mark = " (notify)"
		case rules.BlockAt:
			mark = " (block)"
		}
		fmt.Fprintf(b, "%d%s | ", t, mark)
	}
	b.WriteString("\n| --- |" + strings.Repeat(" ---: |", len(thresholds)) + "\n")
	row := func(s *Scores, name string, digits int) {
		fmt.Fprintf(b, "| %s | ", name)
		for _, t := range thresholds {
			fmt.Fprintf(b, "%.*f %% | ", digits, 100*s.Share(t))
		}
		b.WriteString("\n")
	}
	row(r.Logins, "**people: sign-ins**", 3)
	row(r.Refreshes, "**people: refreshes**", 3)
	for _, a := range r.Attacks {
		row(a, a.Name+": "+a.What, 1)
	}
	fmt.Fprintf(b, "\nOf people's sign-ins one in %s is told of, and one in %s refused under `block`.\n\n",
		oneIn(r.Logins, rules.NotifyAt), oneIn(r.Logins, rules.BlockAt))
}

func oneIn(s *Scores, threshold int) string {
	n := s.At(threshold)
	if n == 0 {
		return fmt.Sprintf("more than %d", s.Total)
	}
	return fmt.Sprint(s.Total / n)
}

// bySignal says how often each signal is there: false alarms first, then attacks.
func (r *Result) bySignal(b *strings.Builder, rules risk.Rules) {
	b.WriteString("Share with this signal, alone or with others:\n\n| signal | points | people: sign-ins | people: refreshes |")
	for _, a := range r.Attacks {
		fmt.Fprintf(b, " %s |", a.Name)
	}
	b.WriteString("\n| --- | ---: |" + strings.Repeat(" ---: |", len(r.Attacks)+2) + "\n")
	for _, name := range risk.Names() {
		fmt.Fprintf(b, "| `%s` | %d |", name, rules.Points[name])
		for i, s := range append([]*Scores{r.Logins, r.Refreshes}, r.Attacks...) {
			digits := 0
			if i < 2 {
				digits = 2
			}
			fmt.Fprintf(b, " %.*f %% |", digits, 100*float64(s.Signals[name])/float64(max(s.Total, 1)))
		}
		b.WriteString("\n")
	}
}
