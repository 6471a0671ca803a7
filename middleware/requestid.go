package middleware

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"

	"github.com/gin-gonic/gin"

	"github.com/sessiongate/sessiongate/internal/problem"
)

// RequestID gives every request an id of its own, in the answer's header
// X-Request-Id: 32 hex digits. An id that came with the request is not used,
// since a stranger could make it collide or forge a log line with it.
func RequestID() gin.HandlerFunc {
	return func(c *gin.Context) {
		// Ids are to be told apart, not to be secret; this source takes no system call.
		var raw [16]byte
		binary.LittleEndian.PutUint64(raw[:8], rand.Uint64())
		binary.LittleEndian.PutUint64(raw[8:], rand.Uint64())
		c.Writer.Header()[problem.RequestIDHeader] = []string{hex.EncodeToString(raw[:])}
	}
}
