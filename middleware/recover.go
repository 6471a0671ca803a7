package middleware

import (
	"fmt"
	"net/http"
	"runtime/debug"

	"github.com/gin-gonic/gin"

	"github.com/sessiongate/sessiongate/internal/problem"
)

// panicError is a panic of a handler on its way to the access log.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.value, e.stack) }

// Recover makes a panic a 500 without a detail; the access log gets the panic
// and its stack. http.ErrAbortHandler goes on up, as net/http wants it.
func Recover() gin.HandlerFunc {
	return func(c *gin.Context) {
		defer func() {
			switch p := recover(); p {
			case nil:
			case http.ErrAbortHandler:
				panic(p)
			default:
				problem.Write(c, &panicError{value: p, stack: debug.Stack()})
			}
		}()
		c.Next()
	}
}
