package middleware

import "github.com/gin-gonic/gin"

// The values are shared by all answers, so that setting them allocates nothing.
// Header.Set and Add replace the slice and never write into it: each is full.
var (
	noStore    = []string{"no-store"}
	noCache    = []string{"no-cache"}
	noSniff    = []string{"nosniff"}
	noReferrer = []string{"no-referrer"}
	noContent  = []string{"default-src 'none'; frame-ancestors 'none'"}
)

// SecureHeaders keeps every answer out of caches and out of a browser's
// guesswork: they are about one user, or for nobody's eyes but a program's.
func SecureHeaders() gin.HandlerFunc {
	return func(c *gin.Context) {
		h := c.Writer.Header()
		h["Cache-Control"] = noStore
		h["Pragma"] = noCache // RFC 6749 §5.1
		h["X-Content-Type-Options"] = noSniff
		h["Referrer-Policy"] = noReferrer
		h["Content-Security-Policy"] = noContent
	}
}
