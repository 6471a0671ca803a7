package middleware

import (
	"log/slog"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/sessiongate/sessiongate/internal/browser"
)

// Options are the settings of the chain.
type Options struct {
	Log       *slog.Logger
	Metrics   *Metrics
	Addresses *Addresses
	Quiet     []string         // routes whose successes are logged at debug level only
	BodyBytes int64            // longest body
	Larger    map[string]int64 // longest body of routes that need more
	Timeout   time.Duration    // of one request
	Unbounded []string         // routes that see to it themselves that they end
	Origins   *browser.Origins // whose pages may read the answers
}

// Chain returns what every request goes through, outermost first.
func Chain(o Options) []gin.HandlerFunc {
	return []gin.HandlerFunc{
		RequestID(), // before everything that names the request
		SecureHeaders(),
		o.Metrics.Observe(),
		AccessLog(o.Log, o.Addresses, o.Quiet),
		Deadline(o.Timeout, o.Unbounded),
		Recover(),       // within all of these: they see the 500, and its context is not yet canceled
		CORS(o.Origins), // before what it does not know is refused
		LimitBody(o.BodyBytes, o.Larger),
	}
}
