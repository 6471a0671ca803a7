package middleware

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"sync"

	"github.com/gin-gonic/gin"

	"github.com/sessiongate/sessiongate/internal/problem"
)

// RequestID gives every request an id of its own, in the answer's header
// X-Request-Id: 32 hex digits. An id that came with the request is not used,
// since a stranger could make it collide or forge a log line with it.
func RequestID() gin.HandlerFunc {
	return func(c *gin.Context) {
		stock := idStocks.Get().(*idStock)
		c.Writer.Header()[problem.RequestIDHeader] = stock.next()
		idStocks.Put(stock)
	}
}

// idStock is ids that are made many at a time, as header values, so that a request
// costs no allocation of its own.
type idStock struct{ left []string }

var idStocks = sync.Pool{New: func() any { return new(idStock) }}

const (
	idsInStock = 64
	idBytes    = 16
)

// next returns an id that was not given out before.
func (s *idStock) next() []string {
	if len(s.left) == 0 {
		s.fill()
	}
	id := s.left[:1:1]
	s.left = s.left[1:]
	return id
}

func (s *idStock) fill() {
	// Ids are to be told apart, not to be secret; this source takes no system call.
	var raw [idsInStock * idBytes]byte
	for i := 0; i < len(raw); i += 8 {
		binary.LittleEndian.PutUint64(raw[i:], rand.Uint64())
	}
	text := hex.EncodeToString(raw[:])
	s.left = make([]string, idsInStock)
	for i := range s.left {
		s.left[i] = text[2*idBytes*i : 2*idBytes*(i+1)]
	}
}
