package middleware

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/sessiongate/sessiongate/internal/problem"
	"github.com/sessiongate/sessiongate/session"
)

// unmatched is the route of requests that no route took.
const unmatched = "unmatched"

// AccessLog writes one line for every request: which route, from where, how it
// ended. It knows no path, query, header or body, since each of them can hold a
// token or a session id. Successes on the quiet routes, which other services ask
// on every request of their own, are for debugging only.
func AccessLog(log *slog.Logger, from *Addresses, quiet []string) gin.HandlerFunc {
	return func(c *gin.Context) {
		start := time.Now()
		// Deferred, so that an answer that was broken off has its line too.
		defer func() {
			route, status := route(c), c.Writer.Status()
			level := levelOf(status, c.Errors, slices.Contains(quiet, route))
			if log.Enabled(context.Background(), level) {
				log.LogAttrs(c.Request.Context(), level, "request", attributes(c, from, route, status, time.Since(start))...)
			}
		}()
		c.Next()
	}
}

func route(c *gin.Context) string {
	if path := c.FullPath(); path != "" {
		return path
	}
	return unmatched
}

func levelOf(status int, errs []*gin.Error, quiet bool) slog.Level {
	switch {
	case status == http.StatusServiceUnavailable:
		return slog.LevelWarn // a store's fault or the load's, and there may be many
	case status >= http.StatusInternalServerError, len(errs) > 0:
		return slog.LevelError
	case quiet && status < http.StatusBadRequest:
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

func attributes(c *gin.Context, from *Addresses, route string, status int, took time.Duration) []slog.Attr {
	attrs := []slog.Attr{
		slog.String("request_id", c.Writer.Header().Get(problem.RequestIDHeader)),
		slog.String("method", methodLabel(c.Request.Method)),
		slog.String("route", route),
		slog.Int("status", status),
		slog.Int("bytes", max(c.Writer.Size(), 0)),
		slog.Duration("took", took),
		slog.String("ip", from.Client(c.Request).String()),
	}
	ctx := c.Request.Context()
	if caller, ok := session.FromContext(ctx); ok {
		attrs = append(attrs, slog.String("user_id", caller.Token.UserID))
	}
	if client := ClientID(ctx); client != "" {
		attrs = append(attrs, slog.String("client_id", client))
	}
	for _, err := range c.Errors {
		attrs = append(attrs, slog.String("err", err.Error()))
	}
	return attrs
}
