package handlers_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// dartSchemas names the schema of each class that the Dart library reads.
var dartSchemas = map[string]string{
	"Session": "Session", "SessionStatus": "Status", "SessionPage": "SessionPage", "LogEntry": "LogEntry", "LogPage": "LogPage",
}

// idleLimits are members that only gateways with such limits have.
var idleLimits = []string{"idle_expires_in", "absolute_expires_in"}

// TestDartModels: what the Dart library reads of an answer is what openapi.yaml says
// there is, and it insists on no member that the gateway may leave out.
func TestDartModels(t *testing.T) {
	t.Parallel()
	spec, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Components struct {
			Schemas map[string]struct {
				Required   []string
				Properties map[string]yaml.Node
			}
		}
	}
	if err := yaml.Unmarshal(spec, &doc); err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("../clients/dart/packages/session_gateway/lib/src/models.dart")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, class := range strings.Split(string(source), "\nfinal class ")[1:] {
		name, body, _ := strings.Cut(class, " ")
		schema := doc.Components.Schemas[dartSchemas[name]]
		if dartSchemas[name] == "" {
			continue
		}
		found++
		for member, insists := range dartMembers(body) {
			if _, ok := schema.Properties[member]; !ok && !slices.Contains(idleLimits, member) {
				t.Errorf("models.dart: %s reads %s, which %s does not have", name, member, dartSchemas[name])
			}
			if insists && !slices.Contains(schema.Required, member) {
				t.Errorf("models.dart: %s insists on %s, which %s may leave out", name, member, dartSchemas[name])
			}
		}
	}
	if found != len(dartSchemas) {
		t.Errorf("models.dart has %d of the classes %v", found, dartSchemas)
	}
}

var dartRead = regexp.MustCompile(`\b(?:f\.(\w+)\(|json\[)'(\w+)'(, isOptional: true)?`)

// dartMembers returns the members that a class reads, and whether it insists on them.
func dartMembers(body string) map[string]bool {
	members := make(map[string]bool)
	for _, m := range dartRead.FindAllStringSubmatch(body, -1) {
		members[m[2]] = m[3] == "" && slices.Contains([]string{"text", "time", "seconds", "object", "objects"}, m[1])
	}
	return members
}
