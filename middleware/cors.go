package middleware

import (
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/sessiongate/sessiongate/internal/browser"
)

// What pages of an allowed origin may do, beyond what every page may. The values
// are shared by all answers; see SecureHeaders.
var (
	varyOrigin     = []string{"Origin"}
	allowTrue      = []string{"true"}
	allowMethods   = []string{"GET, HEAD, POST, DELETE"}
	allowHeaders   = []string{"Authorization, Content-Type, Last-Event-ID"}
	exposedHeaders = []string{"Retry-After, X-Request-Id"}
	preflightAge   = []string{"600"} // seconds
)

// sessionPaths are those that browsers ask; the others are for programs.
const sessionPaths = "/sessions"

// CORS lets pages of the allowed origins read the answers below /sessions, with
// the browser's cookie (Fetch Standard §3.3). An origin is allowed by its exact
// name or not at all: none is mirrored, none matches a pattern, and "null", which
// every sandboxed page is, can't be named. Preflights of others go on to the
// router, which does not know OPTIONS.
func CORS(origins *browser.Origins) gin.HandlerFunc {
	if !origins.Any() {
		return func(*gin.Context) {}
	}
	return func(c *gin.Context) {
		path := c.Request.URL.Path
		if path != sessionPaths && !strings.HasPrefix(path, sessionPaths+"/") {
			return
		}
		h := c.Writer.Header()
		h["Vary"] = varyOrigin
		asked := c.Request.Header["Origin"]
		if len(asked) != 1 || !origins.Allows(asked[0]) {
			return
		}
		h["Access-Control-Allow-Origin"] = asked[:1:1]
		h["Access-Control-Allow-Credentials"] = allowTrue
		if c.Request.Method != http.MethodOptions || c.GetHeader("Access-Control-Request-Method") == "" {
			h["Access-Control-Expose-Headers"] = exposedHeaders
			return
		}
		h["Access-Control-Allow-Methods"] = allowMethods
		h["Access-Control-Allow-Headers"] = allowHeaders
		h["Access-Control-Max-Age"] = preflightAge
		c.AbortWithStatus(http.StatusNoContent)
	}
}
