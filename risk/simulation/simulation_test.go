package simulation

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/sessiongate/sessiongate/risk"
)

var reportTo = flag.String("report", "", "write the report on the whole population to this file, between its markers")

// full is the life that docs/RISK.md reports.
func full() Options {
	return Options{Seed: 1, Users: 10_000, Days: 365, Attacks: 1000, Rules: risk.Default()}
}

func small() Options {
	return Options{Seed: 7, Users: 800, Days: 240, Attacks: 150, Rules: risk.Default()}
}

// The part of docs/RISK.md that the report is.
const begin, end = "<!-- report -->\n", "<!-- end of report -->\n"

func TestReport(t *testing.T) {
	if *reportTo == "" {
		o := small()
		var b bytes.Buffer
		if err := Run(o).Report(&b, o.Rules); err != nil {
			t.Fatal(err)
		}
		for _, want := range append(risk.Names(), "people: sign-ins", "50 (notify)", "100 (block)", "stuffing, proxies") {
			if !strings.Contains(b.String(), want) {
				t.Errorf("the report does not say %q", want)
			}
		}
		return
	}
	old, err := os.ReadFile(*reportTo)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(old), begin)
	_, tail, okEnd := strings.Cut(rest, end)
	if !ok || !okEnd {
		t.Fatalf("%s has no %s… %s", *reportTo, begin, end)
	}
	o := full()
	var b bytes.Buffer
	if err := Run(o).Report(&b, o.Rules); err != nil {
		t.Fatal(err)
	}
	text := head + begin + b.String() + end + tail
	if err := os.WriteFile(*reportTo, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + b.String())
}

// TestDefaults holds the default rules to what is promised of them.
func TestDefaults(t *testing.T) {
	t.Parallel()
	o := small()
	r := Run(o)
	if r.Logins.Total < 20_000 {
		t.Fatalf("only %d sign-ins", r.Logins.Total)
	}
	if got := r.Logins.Share(o.Rules.NotifyAt); got >= 1.0/200 {
		t.Errorf("of people's sign-ins %.4f are told of, want less than one in 200", got)
	}
	if got := r.Logins.Share(o.Rules.BlockAt); got >= 1.0/5000 {
		t.Errorf("of people's sign-ins %.5f would be refused, want less than one in 5000", got)
	}
	if got := r.Refreshes.Share(o.Rules.NotifyAt); got >= 1.0/5000 {
		t.Errorf("of people's refreshes %.5f are told of, want less than one in 5000", got)
	}
	least := map[string]float64{
		"stuffing": 0.85, "stuffing, browser": 0.75, "stuffing, proxies": 0.45, "guessing": 0.75, "phishing, abroad": 0.55,
		"resold account": 0.8, "stolen token, other browser": 0.5, "stolen token, used twice": 1,
	}
	for _, a := range r.Attacks {
		if a.Total != o.Attacks {
			t.Errorf("%s: %d attacks, want %d", a.Name, a.Total, o.Attacks)
		}
		if got := a.Share(o.Rules.NotifyAt); got < least[a.Name] {
			t.Errorf("%s: %.2f are noticed, want at least %.2f", a.Name, got, least[a.Name])
		}
		delete(least, a.Name)
	}
	if len(least) > 0 {
		t.Errorf("there are no attacks named %v", least)
	}
}

func TestTheSameSeedGivesTheSameLife(t *testing.T) {
	t.Parallel()
	o := Options{Seed: 3, Users: 100, Days: 120, Attacks: 20, Rules: risk.Default()}
	var once, again, other bytes.Buffer
	for _, b := range []*bytes.Buffer{&once, &again} {
		if err := Run(o).Report(b, o.Rules); err != nil {
			t.Fatal(err)
		}
	}
	if once.String() != again.String() {
		t.Errorf("it differs:\n%s\n%s", once.String(), again.String())
	}
	o.Seed = 4
	if err := Run(o).Report(&other, o.Rules); err != nil {
		t.Fatal(err)
	}
	if other.String() == once.String() {
		t.Error("another seed changes nothing")
	}
}

func TestWithoutFilesNoPlaces(t *testing.T) {
	t.Parallel()
	o := small()
	o.NoGeo = true
	r := Run(o)
	for _, signal := range []string{risk.NewCountry, risk.NewNetwork, risk.ImpossibleTravel, risk.ManyNetworks, risk.RefreshCountry, risk.RefreshNetwork} {
		if n := r.Logins.Signals[signal] + r.Refreshes.Signals[signal]; n > 0 {
			t.Errorf("%d times %s", n, signal)
		}
	}
	if r.Logins.Signals[risk.NewDevice] == 0 {
		t.Error("no device was new")
	}
}
