package handlers_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pb33f/jsonschema/v6"
	validator "github.com/pb33f/libopenapi-validator"
	"go.yaml.in/yaml/v3"
)

const contract = "../clients/contract/"

// apiAnswer is one of clients/contract/answers.json.
type apiAnswer struct {
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
	Body    json.RawMessage   `json:"body"`
}

// apiCall is a step of a vector: a request and the name of its answer.
type apiCall struct {
	Call *struct {
		Method, Path, As string
	} `json:"call"`
	Answer   string `json:"answer"`
	AnswerTo string `json:"answer_to"`
}

// notOurs are answers that no gateway gives to a client: the network's, a proxy's,
// the application's own API's, and that of a gateway of another version.
var notOurs = map[string]bool{
	"network_error": true, "portal_page": true, "portal_401": true, "bare_401": true, "gateway_html_502": true,
	"limited": true, "internal": true, "not_found": true, "api_ok": true, "api_401": true,
}

// TestContractAnswers: what clients are tested with is what the gateway answers.
func TestContractAnswers(t *testing.T) {
	t.Parallel()
	var answers struct{ Answers map[string]apiAnswer }
	readJSONFile(t, contract+"answers.json", &answers)
	spec, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// A gateway to come may say more: clients have to put up with that.
	schemas, err := readSchemas(func(*yaml.Node) {})
	if err != nil {
		t.Fatal(err)
	}
	used := make(map[string]bool)
	for file, vectors := range contractVectors(t) {
		for _, v := range vectors {
			open := make(map[string][2]string)
			for _, step := range v.Steps {
				where := open[step.AnswerTo]
				if step.Call != nil {
					where = [2]string{step.Call.Method, step.Call.Path}
					open[step.Call.As] = where
				}
				name := step.Answer
				if name == "" {
					continue
				}
				a, ok := answers.Answers[name]
				if !ok {
					t.Errorf("%s: %s: there is no answer %s", file, v.Name, name)
				}
				used[name] = true
				documented := strings.Contains(string(spec), "\n  "+where[1]+":\n")
				if !notOurs[name] && documented && where[1] != "" {
					checkContractAnswer(t, schemas, where[0], where[1], name, a)
				}
			}
		}
	}
	for name := range answers.Answers {
		if !used[name] && !strings.HasPrefix(name, "login_") {
			t.Errorf("no vector uses the answer %s", name)
		}
	}
}

func checkContractAnswer(t *testing.T, v validator.Validator, method, path, name string, a apiAnswer) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://127.0.0.1"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{"X-Request-Id": {"r1"}}
	for key, value := range a.Headers {
		h.Set(key, value)
	}
	_, problems := v.ValidateHttpResponse(r, &http.Response{
		StatusCode: a.Status, Header: h, Body: io.NopCloser(bytes.NewReader(a.Body)), Request: r,
	})
	for _, p := range problems {
		t.Errorf("answer %s to %s %s is not what openapi.yaml says: %s: %s", name, method, path, p.Message, p.Reason)
		for _, s := range p.SchemaValidationErrors {
			t.Errorf("  %s: %s", s.FieldPath, s.Reason)
		}
	}
}

type contractVector struct {
	Name  string
	Steps []apiCall
}

// contractVectors returns those of each file. Their names are unique: the table of
// make test-clients has a line for each.
func contractVectors(t *testing.T) map[string][]contractVector {
	t.Helper()
	files, err := filepath.Glob(contract + "*.json")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d files (%v)", len(files), err)
	}
	all := make(map[string][]contractVector)
	seen := make(map[string]bool)
	for _, file := range files {
		var content struct{ Vectors []contractVector }
		readJSONFile(t, file, &content)
		for _, v := range content.Vectors {
			if seen[v.Name] {
				t.Errorf("two vectors are called %q", v.Name)
			}
			seen[v.Name] = true
		}
		all[filepath.Base(file)] = content.Vectors
	}
	return all
}

// TestContractSchema: a misspelled step would be one that a runner can't know.
func TestContractSchema(t *testing.T) {
	t.Parallel()
	schema, err := jsonschema.NewCompiler().Compile(contract + "schema.json")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(contract + "*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if filepath.Base(file) == "schema.json" {
			continue
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		content, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
		if err == nil {
			err = schema.Validate(content)
		}
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func readJSONFile(t *testing.T, path string, to any) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, to); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// TestTypeScriptTypes: what the gateway always says is there in the library's types,
// under the same name, and what it may leave out is optional.
func TestTypeScriptTypes(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("../clients/typescript/src/types.ts")
	if err != nil {
		t.Fatal(err)
	}
	types := interfaces(string(source))
	var doc struct {
		Components struct {
			Schemas map[string]struct {
				Required   []string
				Properties map[string]yaml.Node
			}
		}
	}
	raw, err := os.ReadFile("openapi.yaml")
	if err == nil {
		err = yaml.Unmarshal(raw, &doc)
	}
	if err != nil {
		t.Fatal(err)
	}
	for name, schema := range map[string]string{
		"Session": "Session", "SessionStatus": "Status", "Grant": "Grant", "SessionPage": "SessionPage",
		"LogEntry": "LogEntry", "LogPage": "LogPage",
	} {
		members := types[name]
		if len(members) == 0 {
			t.Fatalf("types.ts has no interface %s", name)
		}
		s := doc.Components.Schemas[schema]
		if len(s.Properties) == 0 {
			t.Fatalf("openapi.yaml has no schema %s", schema)
		}
		for member := range s.Properties {
			optional, ok := members[member]
			if !ok {
				t.Errorf("%s.%s is in openapi.yaml and not in types.ts", name, member)
			}
			// A browser's grant has no token: it is in the cookie.
			inCookie := name == "Grant" && (member == "access_token" || member == "token_type")
			if optional == slices.Contains(s.Required, member) && !inCookie {
				t.Errorf("%s.%s: optional is %v in types.ts, required %v in openapi.yaml", name, member, optional, !optional)
			}
		}
	}
}

// interfaces returns the members of each interface, those of its parents as well,
// and whether they are optional.
func interfaces(source string) map[string]map[string]bool {
	found := make(map[string]map[string]bool)
	for _, m := range interfaceOf.FindAllStringSubmatch(source, -1) {
		members := make(map[string]bool)
		maps.Copy(members, found[m[2]])
		for _, member := range memberOf.FindAllStringSubmatch(m[3], -1) {
			members[member[1]] = member[2] == "?"
		}
		found[m[1]] = members
	}
	return found
}

var (
	interfaceOf = regexp.MustCompile(`(?s)export interface (\w+)(?: extends (\w+))? \{(.*?)\n\}`)
	memberOf    = regexp.MustCompile(`(?m)^  (?:readonly )?(\w+)(\?)?:`)
)
