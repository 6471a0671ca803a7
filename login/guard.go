package login

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/netip"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sessiongate/sessiongate/session"
)

// attempts is where attempts are counted, as store.Redis does.
type attempts interface {
	// TakeAttempt returns the limit that the attempt counts under. Its error is a
	// *session.RateLimitedError if there were too many, and any other if it could not
	// say.
	TakeAttempt(ctx context.Context, a session.Attempt, l session.Limits) (session.Limit, error)
	// ForgiveAttempt gives back what an attempt took that was right, or was not made.
	ForgiveAttempt(ctx context.Context, a session.Attempt, l session.Limits, under session.Limit, right bool) error
}

// MinDeviceID is how long a device's id must be to make the device known. Only an id
// that nobody can guess tells the owner's device from a stranger's.
const MinDeviceID = 16

// GuardOptions are the settings of a Guard.
type GuardOptions struct {
	Limits     session.Limits
	PrefixIPv4 int // bits of an address that name a network
	PrefixIPv6 int
	// Key makes the digests in the names of keys, the same on all gateways: who reads
	// Redis must not learn what people type.
	Key []byte
	Log *slog.Logger
}

// Guard rations attempts at secrets: passwords, and whatever else a stranger could
// guess at. It is safe for concurrent use.
type Guard struct {
	attempts attempts
	o        GuardOptions
	limited  *prometheus.CounterVec
}

// NewGuard returns a guard whose metrics are registered with reg.
func NewGuard(a attempts, o GuardOptions, reg prometheus.Registerer) (*Guard, error) {
	g := &Guard{attempts: a, o: o, limited: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sessiongate_login_limited_total",
		Help: "Attempts to sign in that were answered 429, by the limit that refused them.",
	}, []string{"limit"})}
	return g, reg.Register(g.limited)
}

// Try is an attempt that may be made.
type Try struct {
	guard *Guard
	a     session.Attempt
	under session.Limit
}

// Begin counts an attempt before anything is looked at, so that beyond the limits
// nothing tells one account from another. identifier is what was typed to name the
// account, "" where nothing was.
//
// The error is a *session.RateLimitedError, or session.ErrUnavailable if nobody can
// count: then nobody may guess.
func (g *Guard) Begin(ctx context.Context, identifier string, d session.Device, o session.Origin) (*Try, error) {
	t := &Try{guard: g, a: g.attempt(identifier, d, o)}
	var err error
	t.under, err = g.attempts.TakeAttempt(ctx, t.a, g.o.Limits)
	if limited, ok := errors.AsType[*session.RateLimitedError](err); ok {
		g.limited.WithLabelValues(string(limited.By)).Inc()
	}
	return t, err
}

// Right says that the secret was right.
func (t *Try) Right(ctx context.Context) { t.forgive(ctx, true) }

// Withdraw says that nobody looked at the secret: nothing was learned from it.
func (t *Try) Withdraw(ctx context.Context) { t.forgive(ctx, false) }

// forgive tells the counters. If it can't, the attempt goes on counting as a
// failure; that is no reason to fail.
func (t *Try) forgive(ctx context.Context, right bool) {
	if err := t.guard.attempts.ForgiveAttempt(ctx, t.a, t.guard.o.Limits, t.under, right); err != nil {
		t.guard.o.Log.WarnContext(ctx, "a sign-in counts as a failed attempt and was none", "err", err)
	}
}

// attempt names the attempt. All spellings of an identifier are one account, and so
// are all users that there are not.
func (g *Guard) attempt(identifier string, d session.Device, o session.Origin) (a session.Attempt) {
	if canonical, err := Canonical(identifier); err == nil {
		a.Account = g.digest("account", canonical)
	}
	if len(d.ID) >= MinDeviceID {
		a.Device = g.digest("device", d.ID)
	}
	if network := g.network(o.IP); network != "" {
		a.Prefix = g.digest("network", network)
	}
	return a
}

// network returns the network that the address is in, "" where it is unknown.
func (g *Guard) network(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return ""
	}
	bits := g.o.PrefixIPv6
	if addr.Is4() {
		bits = g.o.PrefixIPv4
	}
	prefix, err := addr.Prefix(bits)
	if err != nil {
		return ""
	}
	return prefix.String()
}

// digest is 128 bits, which nobody can make two of by chance.
func (g *Guard) digest(kind, text string) string {
	mac := hmac.New(sha256.New, g.o.Key)
	mac.Write([]byte(kind + "\x00" + text))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
}
