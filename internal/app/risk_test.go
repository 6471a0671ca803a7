package app

import (
	"reflect"
	"testing"

	"github.com/sessiongate/sessiongate/internal/config"
	"github.com/sessiongate/sessiongate/risk"
)

// TestDefaultRules: what docs/RISK.md has measured is what config.yaml documents.
func TestDefaultRules(t *testing.T) {
	t.Parallel()
	got, err := rulesOf(config.Default().Risk)
	if err != nil {
		t.Fatal(err)
	}
	want := risk.Default()
	want.Trusted, want.Allow, want.Deny = got.Trusted, got.Allow, got.Deny
	if !reflect.DeepEqual(got, want) || len(got.Trusted)+len(got.Allow)+len(got.Deny) > 0 {
		t.Errorf("the settings make\n%+v, want\n%+v", got, want)
	}
	if len(got.Points) != len(risk.Names()) {
		t.Errorf("there are points for %d signals, want %d", len(got.Points), len(risk.Names()))
	}
	for _, name := range risk.Names() {
		if got.Points[name] == 0 {
			t.Errorf("%s is off", name)
		}
	}
}
