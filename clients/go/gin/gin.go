// Package sessiongategin is sessiongate.Require for gin.
package sessiongategin

import (
	"github.com/gin-gonic/gin"

	sessiongate "github.com/sessiongate/sessiongate/clients/go"
)

// Require returns a middleware that lets requests through whose bearer token is
// good and carries all of the scopes, as sessiongate.Require does. Handlers
// behind it find the Session with FromContext; the request's context has it, too.
func Require(v sessiongate.Verifier, scopes ...string) gin.HandlerFunc {
	return func(c *gin.Context) {
		s, refusal := sessiongate.Check(v, c.Request, scopes...)
		if refusal != nil {
			if refusal.Cause != nil {
				_ = c.Error(refusal.Cause)
			}
			refusal.Write(c.Writer)
			c.Abort()
			return
		}
		c.Request = c.Request.WithContext(sessiongate.NewContext(c.Request.Context(), s))
		c.Next()
	}
}

// FromContext returns whom the request speaks for, behind Require; nil elsewhere.
func FromContext(c *gin.Context) *sessiongate.Session {
	return sessiongate.FromContext(c.Request.Context())
}
