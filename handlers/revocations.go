package handlers

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/sessiongate/sessiongate/internal/problem"
	"github.com/sessiongate/sessiongate/session"
)

// revocationFeed tells who has ended, as store.Feed does.
type revocationFeed interface {
	// Join admits a reader, until it leaves; session.ErrOverloaded if there are too
	// many.
	Join() (leave func(), err error)
	// Read returns what follows the cursor, and waits for it up to the given time. ""
	// is the cursor of now. session.ErrUnavailable as soon as Redis can't be
	// followed; the context's error when that is done first.
	Read(ctx context.Context, cursor string, wait time.Duration) (session.Revocations, error)
}

// Revocations serves GET /revocations: the sessions that ended before their time,
// for those who cache what introspection said. docs/REVOCATION.md is for them.
type Revocations struct {
	Feed      revocationFeed
	Heartbeat time.Duration // the longest silence on an event stream
	// Ending is done when the gateway goes down: a reader must not hold it up.
	Ending context.Context
}

const (
	maxWait    = 25 // seconds; proxies tend to give up after 30
	slowReader = 10 * time.Second
	eventType  = "text/event-stream"
)

// Handle answers with what follows the cursor, once or, for who accepts an event
// stream, for as long as it lasts.
func (h *Revocations) Handle(c *gin.Context) {
	q := newQuery(c)
	since, wait := q.text("since"), q.wait()
	if q.err != nil {
		problem.Write(c, q.err)
		return
	}
	leave, err := h.Feed.Join()
	if err != nil {
		problem.Write(c, err)
		return
	}
	defer leave()
	ctx, cancel := context.WithCancel(c.Request.Context())
	defer cancel()
	defer context.AfterFunc(h.Ending, cancel)()

	w := http.NewResponseController(c.Writer)
	// The server's deadline for reading a request would end the context of one that
	// is waiting.
	if err := w.SetReadDeadline(time.Time{}); err != nil {
		problem.Write(c, err)
		return
	}
	if c.Request.Method == http.MethodGet && acceptsEvents(c.Request) {
		if last := c.GetHeader("Last-Event-ID"); last != "" {
			since = last
		}
		s := &eventStream{feed: h.Feed, c: c, w: w, heartbeat: h.Heartbeat}
		s.run(ctx, since)
		return
	}
	if c.Request.Method == http.MethodHead {
		wait = 0
	}
	h.poll(ctx, c, w, since, wait)
}

// poll answers once.
func (h *Revocations) poll(ctx context.Context, c *gin.Context, w *http.ResponseController, since string, wait time.Duration) {
	if err := w.SetWriteDeadline(time.Now().Add(wait + slowReader)); err != nil {
		problem.Write(c, err)
		return
	}
	page, err := h.Feed.Read(ctx, since, wait)
	if err != nil && h.Ending.Err() != nil && since != "" {
		page, err = session.Revocations{Cursor: since}, nil // to go on with at another gateway
	}
	if err != nil {
		problem.Write(c, err)
		return
	}
	e := newEncoder()
	e.open('{')
	e.key("revocations")
	e.open('[')
	for i := range page.List {
		e.revocation(&page.List[i])
	}
	e.close(']')
	e.text("cursor", page.Cursor)
	e.flag("reset", page.Reset)
	e.close('}')
	e.send(c, http.StatusOK)
}

func (e *encoder) revocation(r *session.Revocation) {
	e.open('{')
	e.text("session_id", string(r.SessionID))
	e.text("user_id", r.UserID)
	e.text("reason", string(r.Reason))
	e.time("revoked_at", r.At)
	e.time("until", r.Until)
	e.close('}')
}

// wait reads how long the answer may take.
func (q *query) wait() time.Duration {
	s := q.text("wait")
	if s == "" {
		return 0
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > maxWait || strconv.Itoa(n) != s {
		q.fail("wait", "must be a whole number of seconds from 0 to "+strconv.Itoa(maxWait))
	}
	return time.Duration(n) * time.Second
}

// acceptsEvents says whether the client asks for an event stream by name.
func acceptsEvents(r *http.Request) bool {
	return slices.ContainsFunc(r.Header["Accept"], func(line string) bool {
		for media := range strings.SplitSeq(line, ",") {
			media, _, _ = strings.Cut(media, ";")
			if strings.EqualFold(strings.TrimSpace(media), eventType) {
				return true
			}
		}
		return false
	})
}
