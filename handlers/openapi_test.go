package handlers_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"go.yaml.in/yaml/v3"
)

// apiSchemas checks answers against openapi.yaml. Members that the document does
// not have are errors here, though clients have to put up with them: somebody
// forgot to write them down.
var apiSchemas = sync.OnceValues(func() (validator.Validator, error) { return readSchemas(closeObjects) })

func readSchemas(change func(*yaml.Node)) (validator.Validator, error) {
	raw, err := os.ReadFile("openapi.yaml")
	if err != nil {
		return nil, err
	}
	var root yaml.Node
	if err := yaml.Unmarshal(raw, &root); err != nil {
		return nil, err
	}
	change(&root)
	if raw, err = yaml.Marshal(&root); err != nil {
		return nil, err
	}
	doc, err := libopenapi.NewDocument(raw)
	if err != nil {
		return nil, err
	}
	v, errs := validator.NewValidator(doc)
	return v, errors.Join(errs...)
}

// closeObjects adds additionalProperties: false to all schemas that name properties
// and do not speak of others.
func closeObjects(n *yaml.Node) {
	for _, child := range n.Content {
		closeObjects(child)
	}
	if n.Kind != yaml.MappingNode {
		return
	}
	isObject, closed := false, false
	for i := 0; i+1 < len(n.Content); i += 2 {
		isObject = isObject || n.Content[i].Value == "type" && n.Content[i+1].Value == "object"
		closed = closed || n.Content[i].Value == "additionalProperties"
	}
	if isObject && !closed {
		n.Content = append(n.Content,
			&yaml.Node{Kind: yaml.ScalarNode, Value: "additionalProperties"},
			&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: "false"})
	}
}

func TestOpenAPIIsValid(t *testing.T) {
	t.Parallel()
	v, err := readSchemas(func(*yaml.Node) {})
	if err != nil {
		t.Fatal(err)
	}
	_, problems := v.ValidateDocument()
	for _, p := range problems {
		t.Errorf("%s: %s", p.Message, p.Reason)
		for _, s := range p.SchemaValidationErrors {
			t.Errorf("  %s: %s", s.FieldPath, s.Reason)
		}
	}
}

// checkSchema holds an answer to what openapi.yaml says of it. What comes for
// paths and methods that do not exist is a problem like any other.
func (g *gateway) checkSchema(r *http.Request, a answer) {
	g.t.Helper()
	v, err := apiSchemas()
	if err != nil {
		g.t.Fatal(err)
	}
	if a.status == http.StatusNotFound || a.status == http.StatusMethodNotAllowed || r.Method == http.MethodHead ||
		strings.HasPrefix(r.URL.Path, "/forward-auth") && r.Method != http.MethodGet {
		return
	}
	if strings.HasPrefix(r.URL.Path, "/forward-auth/") { // a parameter of OpenAPI's has no slashes
		r = r.Clone(r.Context())
		r.URL.Path, r.URL.RawPath = "/forward-auth/rest", ""
	}
	_, problems := v.ValidateHttpResponse(r, &http.Response{
		StatusCode: a.status, Header: a.header, Body: io.NopCloser(bytes.NewReader([]byte(a.raw))), Request: r,
	})
	for _, p := range problems {
		g.t.Errorf("%s %s: %d %.500s is not what openapi.yaml says: %s: %s", r.Method, r.URL.Path, a.status, a.raw, p.Message, p.Reason)
		for _, s := range p.SchemaValidationErrors {
			g.t.Errorf("  %s: %s", s.FieldPath, s.Reason)
		}
	}
}

// TestOpenAPICatches: the check above is one that can fail.
func TestOpenAPICatches(t *testing.T) {
	t.Parallel()
	v, err := apiSchemas()
	if err != nil {
		t.Fatal(err)
	}
	for body, ok := range map[string]bool{
		`{"status":"ok"}`:           true,
		`{"status":"fine"}`:         false,
		`{}`:                        false,
		`{"status":"ok","extra":1}`: false,
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1/livez", nil)
		if err != nil {
			t.Fatal(err)
		}
		_, problems := v.ValidateHttpResponse(r, &http.Response{
			StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}, "X-Request-Id": {"r"}},
			Body: io.NopCloser(strings.NewReader(body)), Request: r,
		})
		if (len(problems) == 0) != ok {
			t.Errorf("%s has %d problems", body, len(problems))
		}
	}
}

func TestDocs(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	spec := g.want(g.do(http.MethodGet, "/openapi.yaml", "", ""), http.StatusOK)
	if file, err := os.ReadFile("openapi.yaml"); err != nil || spec.raw != string(file) {
		t.Errorf("openapi.yaml is not the file (%v)", err)
	}
	page := g.want(g.do(http.MethodGet, "/docs", "", ""), http.StatusOK)
	policy := page.header.Get("Content-Security-Policy")
	if !strings.HasPrefix(policy, "default-src 'none'; style-src 'sha256-") || strings.Contains(policy, "unsafe") {
		t.Errorf("the policy is %q", policy)
	}
	for _, elsewhere := range []string{"<script", "http://", "//", "src=", "@import", "url("} {
		if strings.Contains(page.raw, elsewhere) {
			t.Errorf("the page has %q", elsewhere)
		}
	}
	for _, m := range regexp.MustCompile(`operationId: (\w+)`).FindAllStringSubmatch(spec.raw, -1) {
		if !strings.Contains(page.raw, `id="`+m[1]+`"`) {
			t.Errorf("the page does not have %s", m[1])
		}
	}
	links := regexp.MustCompile(`href="#([^"]+)"`).FindAllStringSubmatch(page.raw, -1)
	if len(links) < 50 {
		t.Errorf("the page has %d links", len(links))
	}
	for _, m := range links {
		if !strings.Contains(page.raw, `id="`+m[1]+`"`) && !strings.Contains(page.raw, `id="`+strings.ReplaceAll(m[1], "%20", " ")+`"`) {
			t.Errorf("a link leads to %s, which is not there", m[1])
		}
	}
}
