package handlers

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/sessiongate/sessiongate/internal/problem"
)

// API is the endpoints. Every field has to be set.
type API struct {
	Login       Login
	Resume      Resume
	Password    Password
	Backend     Backend
	Status      Status
	Refresh     Refresh
	Logout      Logout
	MySessions  MySessions
	MyDevices   MyDevices
	MyLogs      MyLogs
	Introspect  Introspect
	Revoke      Revoke
	ForwardAuth ForwardAuth
	WellKnown   WellKnown
	Health      Health
	Metrics     http.Handler
	Feed        Revocations
	Docs        Docs
	Events      Events
	Push        Push
	Notices     *Notices
}

// Guards decide who reaches an endpoint. Each either lets a request through, with
// what it found out in the request's context, or answers it.
type Guards struct {
	Live         gin.HandlerFunc // a good token of a live session, whose user is doing something
	Signed       gin.HandlerFunc // a token of ours whose time is not up; its session may have ended
	Backend      gin.HandlerFunc // a client that may open sessions
	Introspector gin.HandlerFunc // a client that may introspect; the form has been read
	Batch        gin.HandlerFunc // the same client; the body has not been read
	Revoker      gin.HandlerFunc // a client that may revoke; the form has been read
	FeedReader   gin.HandlerFunc // a client that may read the feed of revocations
}

// Quiet are the routes that are asked on every request of somebody else, or all
// the time by machines: not worth a log line while all is well.
var Quiet = []string{
	"/sessions/status", "/oauth2/introspect", "/oauth2/introspect/batch", forwardAuthPath, belowForwardAuth,
	"/revocations", "/livez", "/readyz", "/metrics",
}

// Brief are the routes that wait for nothing but an answer of Redis, which comes or
// fails within redis.timeout, and so need no deadline of their own: they are asked
// too often to make a timer for each.
var Brief = []string{"/sessions/status", "/oauth2/introspect", "/oauth2/introspect/batch", forwardAuthPath, belowForwardAuth}

// Long are the routes that may take longer than other requests, and see to it
// themselves that they end.
var Long = []string{"/revocations", "/sessions/events"}

// anyMethod stands for every method there is, known to us or not.
const anyMethod = "*"

// methods are those that a route of anyMethod is registered for by name; what is
// not among them gets there as well (NewEngine), and is not worth a label.
var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
	http.MethodOptions, http.MethodConnect, http.MethodTrace,
}

// route is a line of the table. GET stands for HEAD as well.
type route struct {
	method, path string
	guard        gin.HandlerFunc // nil: open to all
	handle       gin.HandlerFunc
}

func (a *API) routes(g Guards) []route {
	const get, post, del = http.MethodGet, http.MethodPost, http.MethodDelete
	return []route{
		{post, "/sessions/login", nil, a.Login.Handle},
		{post, "/sessions/resume", nil, a.Resume.Handle},
		{post, "/sessions", g.Backend, a.Backend.Handle},
		{get, "/sessions/status", g.Signed, a.Status.Handle},
		{get, "/sessions/my-sessions", g.Live, a.MySessions.List},
		{del, "/sessions/my-sessions/:sid", g.Live, a.MySessions.Revoke},
		{get, "/sessions/my-devices", g.Live, a.MyDevices.List},
		{del, "/sessions/my-devices/:id", g.Live, a.MyDevices.Forget},
		{get, "/sessions/my-session-logs", g.Live, a.MyLogs.List},
		{get, "/sessions/events", g.Live, a.Events.Handle},
		{post, "/sessions/refresh", g.Signed, a.Refresh.Handle},
		{post, "/sessions/logout", g.Signed, a.Logout.Handle},
		{post, "/sessions/logout-all", g.Live, a.Logout.All},
		{post, "/sessions/password", g.Live, a.Password.Handle},

		{post, "/sessions/push-subscriptions", g.Live, a.Push.Add},
		{get, "/sessions/push-subscriptions", g.Live, a.Push.Show},
		{del, "/sessions/push-subscriptions/:id", g.Live, a.Push.Remove},
		{get, "/notices/:token", nil, a.Notices.Show},
		{post, "/notices/:token", nil, a.Notices.Act},

		{post, "/oauth2/introspect", g.Introspector, a.Introspect.Handle}, // RFC 7662
		{post, "/oauth2/introspect/batch", g.Batch, a.Introspect.Batch},
		{post, "/oauth2/revoke", g.Revoker, a.Revoke.Handle},                        // RFC 7009
		{get, "/.well-known/jwks.json", nil, a.WellKnown.JWKS},                      // RFC 7517 §5
		{get, "/.well-known/oauth-authorization-server", nil, a.WellKnown.Describe}, // RFC 8414 §3
		{get, "/.well-known/openid-configuration", nil, a.WellKnown.Describe},

		{get, "/revocations", g.FeedReader, a.Feed.Handle},

		{anyMethod, forwardAuthPath, nil, a.ForwardAuth.Handle},
		{anyMethod, belowForwardAuth, nil, a.ForwardAuth.Handle},

		{get, "/openapi.yaml", nil, a.Docs.Spec},
		{get, "/docs", nil, a.Docs.Page},

		{get, "/livez", nil, a.Health.Live},
		{get, "/readyz", nil, a.Health.Ready},
		{get, "/metrics", nil, gin.WrapH(a.Metrics)},
	}
}

// NewEngine returns the router with the endpoints behind the given chain, which
// runs for requests that match no route as well.
func NewEngine(chain []gin.HandlerFunc, a *API, g Guards) (*gin.Engine, error) {
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	// Whose addresses to believe is for middleware.Addresses alone.
	e.ForwardedByClientIP = false
	if err := e.SetTrustedProxies(nil); err != nil {
		return nil, err
	}
	// One spelling of each path: what a proxy in front refuses must not come in
	// under another (%61dmin, //admin, /ADMIN).
	e.UseRawPath = true
	e.RedirectTrailingSlash, e.RedirectFixedPath = false, false
	e.HandleMethodNotAllowed = true // and sets Allow

	e.Use(chain...)
	e.NoRoute(func(c *gin.Context) { problem.Write(c, problem.ErrNoRoute) })
	e.NoMethod(func(c *gin.Context) {
		if isForwardAuth(c.Request.URL.EscapedPath()) { // PROPFIND, or whatever Envoy was sent
			c.Writer.Header().Del("Allow")
			a.ForwardAuth.Handle(c)
			return
		}
		problem.Write(c, problem.ErrMethod)
	})
	for _, r := range a.routes(g) {
		handlers := []gin.HandlerFunc{r.handle}
		if r.guard != nil {
			handlers = []gin.HandlerFunc{r.guard, r.handle}
		}
		for _, method := range r.methods() {
			e.Handle(method, r.path, handlers...)
		}
	}
	return e, nil
}

func (r *route) methods() []string {
	switch r.method {
	case anyMethod:
		return methods
	case http.MethodGet:
		return []string{http.MethodGet, http.MethodHead} // net/http drops the body
	}
	return []string{r.method}
}
