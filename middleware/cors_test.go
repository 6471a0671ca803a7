package middleware

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/sessiongate/sessiongate/internal/browser"
)

func TestCORS(t *testing.T) {
	const good = "https://app.example.com"
	for _, tt := range []struct {
		name, method, path string
		allowed            []string
		origins            []string
		preflight          bool
		status             int
		want               string // Access-Control-Allow-Origin
		vary               string
	}{
		{"nobody is allowed", "GET", "/sessions/status", nil, []string{good}, false, 200, "", ""},
		{"no page of others", "GET", "/sessions/status", []string{good}, nil, false, 200, "", "Origin"},
		{"allowed", "GET", "/sessions/status", []string{good}, []string{good}, false, 200, good, "Origin"},
		{"one of two", "GET", "/sessions", []string{"https://b.example", good}, []string{good}, false, 200, good, "Origin"},
		{"another", "GET", "/sessions/status", []string{good}, []string{"https://evil.example"}, false, 200, "", "Origin"},
		{"null", "GET", "/sessions/status", []string{good}, []string{"null"}, false, 200, "", "Origin"},
		{"two at once", "GET", "/sessions/status", []string{good}, []string{good, good}, false, 200, "", "Origin"},
		{"preflight", "OPTIONS", "/sessions/status", []string{good}, []string{good}, true, 204, good, "Origin"},
		{"preflight of another", "OPTIONS", "/sessions/status", []string{good}, []string{"https://evil.example"}, true, 404, "", "Origin"},
		{"OPTIONS without a question", "OPTIONS", "/sessions/status", []string{good}, []string{good}, false, 404, good, "Origin"},
		{"another path", "GET", "/oauth2/introspect", []string{good}, []string{good}, false, 404, "", ""},
		{"a path that looks alike", "GET", "/sessionsx", []string{good}, []string{good}, false, 404, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			origins, err := browser.NewOrigins(tt.allowed, "")
			if err != nil {
				t.Fatal(err)
			}
			engine := gin.New()
			engine.Use(CORS(origins))
			engine.GET("/sessions/status", ok)
			engine.GET("/sessions", ok)
			r := httptest.NewRequest(tt.method, tt.path, nil)
			if tt.origins != nil {
				r.Header["Origin"] = tt.origins
			}
			if tt.preflight {
				r.Header.Set("Access-Control-Request-Method", "POST")
			}
			rec := httptest.NewRecorder()
			engine.ServeHTTP(rec, r)
			h := rec.Header()
			if rec.Code != tt.status || h.Get("Access-Control-Allow-Origin") != tt.want || h.Get("Vary") != tt.vary {
				t.Errorf("%d %v", rec.Code, h)
			}
			if (h.Get("Access-Control-Allow-Credentials") == "true") != (tt.want != "") || (h.Get("Access-Control-Allow-Methods") != "") != (rec.Code == http.StatusNoContent) {
				t.Errorf("%d %v", rec.Code, h)
			}
		})
	}
}
