package handlers

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"go.yaml.in/yaml/v3"
)

// TestOpenAPIIsTheRoutes holds the document and the table of routes to each other.
func TestOpenAPIIsTheRoutes(t *testing.T) {
	t.Parallel()
	var doc apiDocument
	if err := yaml.Unmarshal(openAPI, &doc); err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]apiOperation)
	eachPair(&doc.Paths, func(path string, methods *yaml.Node) {
		eachPair(methods, func(method string, n *yaml.Node) {
			var op apiOperation
			if err := n.Decode(&op); err != nil {
				t.Fatalf("%s %s: %v", method, path, err)
			}
			if method = strings.ToUpper(method); op.AnyMethod {
				method = anyMethod
			}
			documented[method+" "+path] = op
		})
	})
	var api API
	for _, r := range api.routes(Guards{}) {
		name := r.method + " " + parameter.ReplaceAllString(r.path, "{$1}")
		if _, ok := documented[name]; !ok {
			t.Errorf("openapi.yaml does not have %s", name)
		}
		delete(documented, name)
	}
	for name := range documented {
		t.Errorf("openapi.yaml has %s, which is not served", name)
	}
}

var parameter = regexp.MustCompile(`[:*](\w+)`)

// TestOpenAPIGuards: a route has a guard exactly where the document asks for
// credentials; forward-auth looks at them itself.
func TestOpenAPIGuards(t *testing.T) {
	t.Parallel()
	var doc apiDocument
	if err := yaml.Unmarshal(openAPI, &doc); err != nil {
		t.Fatal(err)
	}
	byPath := make(map[string]*yaml.Node)
	eachPair(&doc.Paths, func(path string, methods *yaml.Node) { byPath[path] = methods })
	var api API
	guard := func(*gin.Context) {}
	for _, r := range api.routes(Guards{guard, guard, guard, guard, guard, guard, guard}) {
		methods, ok := byPath[parameter.ReplaceAllString(r.path, "{$1}")]
		if r.method == anyMethod || !ok { // TestOpenAPIIsTheRoutes says what is missing
			continue
		}
		eachPair(methods, func(method string, n *yaml.Node) {
			var op apiOperation
			if err := n.Decode(&op); err != nil || !strings.EqualFold(method, r.method) {
				return
			}
			if (r.guard != nil) != (len(op.Security) > 0) {
				t.Errorf("%s %s: guarded %v, but openapi.yaml asks for %v", r.method, r.path, r.guard != nil, op.Security)
			}
		})
	}
}

// TestOpenAPICodes: clients switch on these.
func TestOpenAPICodes(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/problems.md")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Components struct {
			Schemas struct {
				Problem struct {
					Properties struct {
						Code, Reason struct{ Enum []string }
					}
				} `yaml:"Problem"`
			}
		}
	}
	if err := yaml.Unmarshal(openAPI, &doc); err != nil {
		t.Fatal(err)
	}
	codes, reasons, _ := strings.Cut(string(page), "## Reasons")
	p := doc.Components.Schemas.Problem.Properties
	for what, pair := range map[string][2][]string{
		"codes": {p.Code.Enum, firstColumn(codes)}, "reasons": {p.Reason.Enum, firstColumn(reasons)},
	} {
		if !slices.Equal(pair[0], pair[1]) {
			t.Errorf("%s: openapi.yaml has %q, docs/problems.md %q", what, pair[0], pair[1])
		}
	}
}

func firstColumn(table string) (names []string) {
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)`").FindAllStringSubmatch(table, -1) {
		names = append(names, m[1])
	}
	return names
}
