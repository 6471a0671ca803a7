package handlers

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the document and the page's frame
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
	"go.yaml.in/yaml/v3"
)

//go:embed openapi.yaml
var openAPI []byte

//go:embed docs.css
var docsStyle string

//go:embed docs.html
var docsFrame string

// Docs serves what the API is: for programs at /openapi.yaml, for people at /docs.
type Docs struct {
	page   []byte
	policy string
}

// NewDocs renders the document. An error means that the document is broken.
func NewDocs() (Docs, error) {
	var doc apiDocument
	if err := yaml.Unmarshal(openAPI, &doc); err != nil {
		return Docs{}, fmt.Errorf("handlers: read openapi.yaml: %w", err)
	}
	frame, err := template.New("docs").Funcs(template.FuncMap{
		"prose": prose, "style": func() template.CSS { return template.CSS(docsStyle) }, // ours, and embedded
	}).Parse(docsFrame)
	if err != nil {
		return Docs{}, fmt.Errorf("handlers: read docs.html: %w", err)
	}
	var page bytes.Buffer
	if err := frame.Execute(&page, newDocsPage(&doc)); err != nil {
		return Docs{}, fmt.Errorf("handlers: render openapi.yaml: %w", err)
	}
	sum := sha256.Sum256([]byte(docsStyle))
	policy := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	return Docs{page.Bytes(), policy}, nil
}

// Spec serves GET /openapi.yaml (media type: RFC 9512).
func (h *Docs) Spec(c *gin.Context) { c.Data(http.StatusOK, "application/yaml", openAPI) }

// Page serves GET /docs. The page is all there is: it runs no script and fetches
// nothing, and its policy lets it do neither.
func (h *Docs) Page(c *gin.Context) {
	c.Writer.Header().Set("Content-Security-Policy", h.policy)
	c.Data(http.StatusOK, "text/html; charset=utf-8", h.page)
}

// prose makes paragraphs of a description, and code of what is between backticks.
func prose(s string) template.HTML {
	var b strings.Builder
	for paragraph := range strings.SplitSeq(strings.TrimSpace(s), "\n\n") {
		b.WriteString("<p>")
		code := false
		for i, part := range strings.Split(paragraph, "`") {
			if i > 0 {
				b.WriteString(map[bool]string{false: "<code>", true: "</code>"}[code])
				code = !code
			}
			b.WriteString(template.HTMLEscapeString(part))
		}
		b.WriteString("</p>")
	}
	return template.HTML(b.String()) // escaped above
}
