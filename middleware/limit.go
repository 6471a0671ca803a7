package middleware

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"
)

// LimitBody lets nobody read more than limit bytes of a body: who tries gets an
// *http.MaxBytesError. What a longer one announces is not passed on, so that
// nobody makes room for it. The routes in larger have limits of their own.
func LimitBody(limit int64, larger map[string]int64) gin.HandlerFunc {
	return func(c *gin.Context) {
		limit := max(limit, larger[c.FullPath()])
		n := c.Request.ContentLength
		if n >= 0 && n <= limit {
			return // net/http itself holds the body to what it announced
		}
		if n > limit {
			c.Request.ContentLength = -1
			c.Header("Connection", "close") // the rest is not going to be read
		}
		c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, limit)
	}
}

// Deadline gives the request's context a deadline. Whatever a handler waits for
// gives up then, and the answer is a 503. The handlers of the unbounded routes see
// to their time themselves.
func Deadline(after time.Duration, unbounded []string) gin.HandlerFunc {
	return func(c *gin.Context) {
		if slices.Contains(unbounded, c.FullPath()) {
			return
		}
		ctx, cancel := context.WithTimeout(c.Request.Context(), after)
		defer cancel()
		c.Request = c.Request.WithContext(ctx)
		c.Next()
	}
}
