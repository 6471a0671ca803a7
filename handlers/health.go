package handlers

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
)

// pinger is a store that can be asked whether it answers.
type pinger interface {
	Ping(ctx context.Context) error
}

// Health serves the probes. They say which part is the matter and nothing about
// why: that is in the log.
type Health struct {
	Redis    pinger
	Postgres pinger
	// Degraded names what else is not as it should be; nil or empty if nothing is.
	// It must not wait for anything.
	Degraded func() []string
	// Draining says that the gateway is going down and wants no new clients.
	Draining func() bool
}

// probeLimit is how long a store may take to answer a probe.
const probeLimit = 250 * time.Millisecond

// Live serves GET /livez: the process answers. It asks nobody, since a restart
// would help no store.
func (h *Health) Live(c *gin.Context) {
	e := newEncoder()
	e.open('{')
	e.text("status", "ok")
	e.close('}')
	e.send(c, http.StatusOK)
}

// Ready serves GET /readyz. Without Redis there is nothing that the gateway can
// say, so it is not ready; without Postgres it does all but sign users in with
// their password and tell of the past, so it is ready and degraded.
func (h *Health) Ready(c *gin.Context) {
	redis, postgres := h.ask(c.Request.Context())
	var others []string
	if h.Degraded != nil {
		others = h.Degraded()
	}
	status, code := "ready", http.StatusOK
	switch {
	case h.Draining():
		status, code = "draining", http.StatusServiceUnavailable
	case !redis:
		status, code = "unavailable", http.StatusServiceUnavailable
	case !postgres || len(others) > 0:
		status = "degraded"
	}
	if code != http.StatusOK {
		c.Header("Retry-After", "1")
	}
	e := newEncoder()
	e.open('{')
	e.text("status", status)
	e.text("redis", okOr(redis))
	e.text("postgres", okOr(postgres))
	if len(others) > 0 {
		e.texts("degraded", others)
	}
	e.close('}')
	e.send(c, code)
}

// ask pings both stores at once.
func (h *Health) ask(ctx context.Context) (redis, postgres bool) {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { redis = h.Redis.Ping(ctx) == nil })
	wg.Go(func() { postgres = h.Postgres.Ping(ctx) == nil })
	wg.Wait()
	return redis, postgres
}

func okOr(ok bool) string {
	if ok {
		return "ok"
	}
	return "unavailable"
}
