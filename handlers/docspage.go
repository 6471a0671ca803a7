package handlers

import (
	"fmt"
	"sort"
	"strings"

	"go.yaml.in/yaml/v3"
)

// apiDocument is of an OpenAPI document what the page shows.
type apiDocument struct {
	Info struct{ Title, Version, Summary, Description string }
	Tags []struct{ Name, Description string }
	// Path and method, in the document's order.
	Paths      yaml.Node
	Components struct {
		Parameters map[string]apiParameter
		Responses  map[string]apiResponse
		Schemas    yaml.Node
	}
}

type apiOperation struct {
	ID          string `yaml:"operationId"`
	AnyMethod   bool   `yaml:"x-any-method"`
	Summary     string
	Description string
	Tags        []string
	Security    []map[string][]string
	Parameters  []apiParameter
	RequestBody *struct {
		Required bool
		Content  map[string]apiMedia
	} `yaml:"requestBody"`
	Responses map[string]apiResponse
}

type apiParameter struct {
	Ref         string `yaml:"$ref"`
	Name, In    string
	Required    bool
	Description string
	Schema      apiSchema
}

type apiResponse struct {
	Ref         string `yaml:"$ref"`
	Description string
	Content     map[string]apiMedia
}

type apiMedia struct{ Schema apiSchema }

// apiSchema is a schema as far as a reader wants to know it.
type apiSchema struct {
	Ref         string `yaml:"$ref"`
	Type        yaml.Node
	Format      string
	Description string
	Const       any
	Enum        []any
	Default     any
	Examples    []any
	Required    []string
	Properties  yaml.Node
	Items       *apiSchema
	OneOf       []apiSchema `yaml:"oneOf"`
	AnyOf       []apiSchema `yaml:"anyOf"`
}

// What the page's frame is filled with.
type (
	docsPage struct {
		Title, Summary, Description string
		Groups                      []docsGroup
		Schemas                     []docsSchema
	}
	docsGroup struct {
		Name, Description string
		Operations        []docsOperation
	}
	docsOperation struct {
		ID, Method, Path, Summary, Description, Security string
		Parameters                                       []docsField
		Bodies                                           []docsContent
		Responses                                        []docsResponse
	}
	docsContent struct {
		Media string
		Type  docsType
	}
	docsResponse struct {
		Status, Description string
		Contents            []docsContent
	}
	docsSchema struct {
		Name, Description string
		Type              docsType
		Fields            []docsField
	}
	docsField struct {
		Name, In, Description string
		Required              bool
		Type                  docsType
	}
	// docsType is a type in words, with the schema that it links to.
	docsType struct{ Before, Link, After string }
)

func newDocsPage(doc *apiDocument) docsPage {
	p := docsPage{Title: doc.Info.Title, Summary: doc.Info.Summary, Description: doc.Info.Description}
	byTag := make(map[string][]docsOperation)
	eachPair(&doc.Paths, func(path string, methods *yaml.Node) {
		eachPair(methods, func(method string, n *yaml.Node) {
			var op apiOperation
			if n.Decode(&op) == nil && len(op.Tags) > 0 {
				byTag[op.Tags[0]] = append(byTag[op.Tags[0]], doc.operation(method, path, &op))
			}
		})
	})
	for _, tag := range doc.Tags {
		p.Groups = append(p.Groups, docsGroup{tag.Name, tag.Description, byTag[tag.Name]})
	}
	eachPair(&doc.Components.Schemas, func(name string, n *yaml.Node) {
		var s apiSchema
		if n.Decode(&s) == nil {
			p.Schemas = append(p.Schemas, docsSchema{name, s.Description, s.inWords(), s.fields()})
		}
	})
	return p
}

func (doc *apiDocument) operation(method, path string, op *apiOperation) docsOperation {
	o := docsOperation{
		ID: op.ID, Method: strings.ToUpper(method), Path: path, Summary: op.Summary, Description: op.Description,
	}
	if op.AnyMethod {
		o.Method = "ANY"
	}
	var schemes []string
	for _, alternative := range op.Security {
		for name := range alternative {
			schemes = append(schemes, name)
		}
	}
	o.Security = strings.Join(schemes, " or ")
	for _, p := range op.Parameters {
		if p.Ref != "" {
			p = doc.Components.Parameters[refName(p.Ref)]
		}
		o.Parameters = append(o.Parameters, docsField{p.Name, p.In, p.Description, p.Required, p.Schema.inWords()})
	}
	if op.RequestBody != nil {
		o.Bodies = contents(op.RequestBody.Content)
	}
	for status, r := range op.Responses {
		if r.Ref != "" {
			r = doc.Components.Responses[refName(r.Ref)]
		}
		o.Responses = append(o.Responses, docsResponse{status, r.Description, contents(r.Content)})
	}
	sort.Slice(o.Responses, func(i, j int) bool { return o.Responses[i].Status < o.Responses[j].Status })
	return o
}

func contents(byMedia map[string]apiMedia) []docsContent {
	var list []docsContent
	for media, m := range byMedia {
		list = append(list, docsContent{media, m.Schema.inWords()})
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Media < list[j].Media })
	return list
}

// fields are the members of an object, in the document's order.
func (s *apiSchema) fields() []docsField {
	required := make(map[string]bool)
	for _, name := range s.Required {
		required[name] = true
	}
	var list []docsField
	eachPair(&s.Properties, func(name string, n *yaml.Node) {
		var member apiSchema
		if n.Decode(&member) == nil {
			list = append(list, docsField{
				Name: name, Description: member.Description, Required: required[name], Type: member.inWords(),
			})
		}
	})
	return list
}

// inWords says what a value is.
func (s *apiSchema) inWords() docsType {
	switch {
	case s.Ref != "":
		return docsType{Link: refName(s.Ref)}
	case s.Items != nil:
		t := s.Items.inWords()
		t.Before = "array of " + t.Before
		return t
	case s.Const != nil:
		return docsType{Before: fmt.Sprint(s.Const)}
	case len(s.Enum) > 0:
		return docsType{Before: oneOf(s.Enum)}
	case len(s.OneOf)+len(s.AnyOf) > 0:
		var kinds []any
		for _, alternative := range append(s.OneOf, s.AnyOf...) {
			t := alternative.inWords()
			kinds = append(kinds, t.Before+t.Link+t.After)
		}
		return docsType{Before: oneOf(kinds)}
	}
	var kinds []any
	for _, n := range append(s.Type.Content, &s.Type) {
		if n.Value != "" {
			kinds = append(kinds, n.Value)
		}
	}
	t := docsType{Before: oneOf(kinds)}
	if s.Format != "" {
		t.After = " (" + s.Format + ")"
	}
	if s.Default != nil {
		t.After += fmt.Sprintf(", %v unless told", s.Default)
	}
	return t
}

func oneOf(values []any) string {
	var texts []string
	for _, v := range values {
		if text := fmt.Sprint(v); text != "" {
			texts = append(texts, text)
		}
	}
	return strings.Join(texts, " | ")
}

// refName is the last part of "#/components/schemas/Name".
func refName(ref string) string { return ref[strings.LastIndexByte(ref, '/')+1:] }

// eachPair calls yield for the pairs of a mapping, in their order.
func eachPair(n *yaml.Node, yield func(key string, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		yield(n.Content[i].Value, n.Content[i+1])
	}
}
