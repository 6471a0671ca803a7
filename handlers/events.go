package handlers

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/sessiongate/sessiongate/internal/problem"
	"github.com/sessiongate/sessiongate/session"
)

// sessionGetter tells all about one live session, as store.Redis does.
type sessionGetter interface {
	// Get returns session.ErrEnded if the session is not live.
	Get(ctx context.Context, userID string, sid session.ID) (session.Session, error)
}

// sessionWatcher tells when one session ends, as store.Feed does.
type sessionWatcher interface {
	Watch(sid session.ID) (SessionWatch, error)
}

// SessionWatch is one who waits for the end of a session, as store.Watch does.
type SessionWatch interface {
	// Ready returns nil once no ending is missed any more.
	Ready(ctx context.Context) error
	Ended() <-chan session.Revocation
	// Missed says that an ending may have been missed after all.
	Missed() <-chan struct{}
	Close()
}

// Events serves GET /sessions/events: a client is told at once that its session has
// ended, as server-sent events (HTML Living Standard §9.2).
//
// Redis is not asked again and again: endings come from the feed that this gateway
// follows for all its readers. It is asked once at the start, once when the
// session's time should be up, since a refresh or a user who did something may have
// moved it, and when the feed
// was interrupted.
type Events struct {
	Sessions  sessionGetter
	Feed      sessionWatcher
	Heartbeat time.Duration    // the longest silence
	Now       func() time.Time // Redis's clock
	Grant     *Grant
	// Ending is done when the gateway goes down: a stream must not hold it up.
	Ending context.Context
}

// Handle streams until the session ends. The client's own end of the connection, a
// client that reads too slowly and a gateway that goes down end it too, without a
// word about the session.
func (h *Events) Handle(c *gin.Context) {
	ctx, cancel := context.WithCancel(c.Request.Context())
	defer cancel()
	defer context.AfterFunc(h.Ending, cancel)()
	t := caller(c).Token

	w := http.NewResponseController(c.Writer)
	// The server's deadline for reading a request would end the context of one that
	// is waiting.
	if err := w.SetReadDeadline(time.Time{}); err != nil {
		problem.Write(c, err)
		return
	}
	watch, err := h.Feed.Watch(t.SessionID)
	if err != nil {
		problem.Write(c, err)
		return
	}
	defer watch.Close()
	if err := watch.Ready(ctx); err != nil {
		problem.Write(c, err)
		return
	}
	// Whatever ends from here on, the watch sees; what ended before, this sees.
	s, err := h.Sessions.Get(ctx, t.UserID, t.SessionID)
	if err != nil {
		h.Grant.refuse(c, err)
		return
	}
	stream := &eventStream{c: c, w: w}
	header := c.Writer.Header()
	header.Set("Content-Type", eventType)
	header.Set("X-Accel-Buffering", "no") // nginx
	c.Writer.WriteHeader(http.StatusOK)
	if c.Request.Method == http.MethodHead {
		return
	}
	h.run(ctx, stream, watch, &s)
}

// run says hello, and then whether the session lives.
func (h *Events) run(ctx context.Context, stream *eventStream, watch SessionWatch, s *session.Session) {
	stream.b = append(stream.b, retryHint...)
	stream.hello(s.ID, h.Now())
	beat := time.NewTicker(h.Heartbeat)
	defer beat.Stop()
	due := time.NewTimer(h.until(s))
	defer due.Stop()
	for stream.send() == nil {
		select {
		case <-ctx.Done():
			return
		case r := <-watch.Ended():
			stream.ended(r.SessionID, r.Reason, r.At)
			_ = stream.send() // the last word; whoever does not hear it has gone
			return
		case <-beat.C:
			stream.b = append(stream.b, ": heartbeat\n\n"...)
		case <-watch.Missed():
			// All streams hear this at once, and must not all ask at once.
			due.Reset(rand.N(spread))
		case <-due.C:
			next, over := h.look(ctx, stream, s)
			if over {
				_ = stream.send()
				return
			}
			due.Reset(next)
		}
	}
}

const (
	spread  = time.Second // over which streams ask Redis after an interruption
	minLook = time.Second // between two questions of one stream, while Redis can't say
)

// due is when the session has ended unless it is refreshed, or its user does
// something, and why.
func due(s *session.Session) (at time.Time, why session.EndReason) {
	if idle := s.IdleExpiresAt(); !idle.IsZero() && idle.Before(s.ExpiresAt) {
		return idle, session.EndIdle
	}
	return s.ExpiresAt, session.EndExpired
}

// until is how long that is.
func (h *Events) until(s *session.Session) time.Duration {
	at, _ := due(s)
	return max(at.Sub(h.Now()), minLook)
}

// look asks Redis whether the session has ended, and tells the client if so. If it
// has not, next is when to look again.
func (h *Events) look(ctx context.Context, stream *eventStream, s *session.Session) (next time.Duration, over bool) {
	latest, err := h.Sessions.Get(ctx, s.UserID, s.ID)
	at, why := due(s)
	switch now := h.Now(); {
	case err == nil:
		s.ExpiresAt, s.ActiveAt = latest.ExpiresAt, latest.ActiveAt
		return h.until(s), false
	case !errors.Is(err, session.ErrEnded):
		return minLook, false
	case now.Before(at): // unseen; why is in the log
		stream.ended(s.ID, "", now)
	default:
		stream.ended(s.ID, why, at)
	}
	return 0, true
}

func (s *eventStream) hello(sid session.ID, now time.Time) {
	e := newEncoder()
	e.open('{')
	e.text("sid", string(sid))
	e.time("server_time", now)
	e.close('}')
	s.named("hello", e)
}

// ended tells of the ending. A reason is left out where it is not known.
func (s *eventStream) ended(sid session.ID, reason session.EndReason, at time.Time) {
	e := newEncoder()
	e.open('{')
	e.text("sid", string(sid))
	e.textIf("reason", string(reason))
	e.time("ended_at", at)
	e.close('}')
	s.named("ended", e)
}

// named writes a block without a place to resume from: there is nothing to miss.
func (s *eventStream) named(name string, e *encoder) {
	s.b = append(s.b, "event: "...)
	s.b = append(s.b, name...)
	s.b = append(s.b, "\ndata: "...)
	s.b = append(s.b, e.b...)
	s.b = append(s.b, "\n\n"...)
	encoders.Put(e)
}
