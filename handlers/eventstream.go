package handlers

import (
	"context"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/sessiongate/sessiongate/internal/problem"
	"github.com/sessiongate/sessiongate/session"
)

// eventStream is the feed as server-sent events (HTML Living Standard §9.2). It
// ends when the client hangs up or reads too slowly, when the feed can't be
// followed any more, and when the gateway goes down. Whoever is at its other end
// must not trust a cache beyond that.
type eventStream struct {
	feed      revocationFeed
	c         *gin.Context
	w         *http.ResponseController
	heartbeat time.Duration
	b         []byte
}

// retryHint tells clients how soon to come back, in ms.
const retryHint = "retry: 1000\n"

// run serves from the cursor on. What is wrong before the first event is a
// problem like any other's.
func (s *eventStream) run(ctx context.Context, cursor string) {
	page, err := s.feed.Read(ctx, cursor, 0)
	if err != nil {
		problem.Write(s.c, err)
		return
	}
	h := s.c.Writer.Header()
	h.Set("Content-Type", eventType)
	h.Set("X-Accel-Buffering", "no") // nginx
	s.c.Writer.WriteHeader(http.StatusOK)
	s.b = append(s.b, retryHint...)
	if len(page.List) == 0 && !page.Reset {
		s.id(page.Cursor) // alone, it sets the client's Last-Event-ID and is no event
	}
	// What was missed comes first, and then a heartbeat at once: that was all.
	for wait := time.Duration(0); ; {
		if s.page(&page) {
			wait = s.heartbeat
		}
		if s.send() != nil {
			return
		}
		if page, err = s.feed.Read(ctx, page.Cursor, wait); err != nil {
			return
		}
	}
}

// page writes what there is to tell, or else that the stream is alive; nothing
// says that it was the latter.
func (s *eventStream) page(page *session.Revocations) (nothing bool) {
	if page.Reset {
		s.event("reset", page.Cursor, []byte("{}"))
		return false
	}
	for i := range page.List {
		e := newEncoder()
		e.revocation(&page.List[i])
		s.event("revocation", page.List[i].Cursor, e.b)
		encoders.Put(e)
	}
	if len(page.List) == 0 {
		s.b = append(s.b, ": heartbeat\n\n"...)
		return true
	}
	return false
}

func (s *eventStream) event(name, id string, data []byte) {
	s.b = append(s.b, "event: "...)
	s.b = append(s.b, name...)
	s.b = append(s.b, "\ndata: "...) // JSON has no line breaks
	s.b = append(s.b, data...)
	s.b = append(s.b, '\n')
	s.id(id)
}

// id ends a block with the place right after it.
func (s *eventStream) id(cursor string) {
	s.b = append(s.b, "id: "...)
	s.b = append(s.b, cursor...)
	s.b = append(s.b, "\n\n"...)
}

// send writes what has gathered. A client that does not take it in time is cut
// off.
func (s *eventStream) send() error {
	err := s.w.SetWriteDeadline(time.Now().Add(slowReader))
	if err == nil {
		_, err = s.c.Writer.Write(s.b)
	}
	if err == nil {
		err = s.w.Flush()
	}
	s.b = s.b[:0]
	return err
}
