// Package extauthz answers Envoy's question whether a request may pass, over gRPC
// (envoy.service.auth.v3.Authorization). It is forward-auth in another protocol:
// the decisions, the identity headers and the errors are those of package handlers.
//
// A route of Envoy's names its policy in context_extensions, as "policy". What Envoy
// says of the request (method, scheme, host, path) is its own word and is used for
// one thing: where a browser comes back to after signing in. The body, if it is
// sent, is not looked at.
package extauthz

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/sessiongate/sessiongate/handlers"
	"github.com/sessiongate/sessiongate/session"
)

// decider decides, as handlers.ForwardAuth does.
type decider interface {
	Decide(ctx context.Context, with handlers.Credentials, policy string, required bool) (session.Token, error)
}

// Options are the parts and the settings of a Server.
type Options struct {
	Decider  decider
	Identity *handlers.Identity
	Login    *handlers.LoginPage // nil: nobody is redirected
	Timeout  time.Duration       // of one question
	Metrics  prometheus.Registerer
	Log      *slog.Logger
}

// Server is the listener's side. Make it with New.
type Server struct {
	grpc   *grpc.Server
	health *health.Server
}

// maxStreams bounds the questions of one connection that are under way at once.
const maxStreams = 1000

// New returns a server that is not serving yet.
func New(o Options) (*Server, error) {
	checks := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sessiongate_ext_authz_checks_total",
		Help: "Questions of Envoy by the HTTP status of the answer; 500 is a fault of the gateway.",
	}, []string{"code"})
	if err := o.Metrics.Register(checks); err != nil {
		return nil, err
	}
	a := &authorization{
		decider: o.Decider, identity: o.Identity, login: o.Login, log: o.Log, checks: checks,
		names: o.Identity.Names(), aliases: o.Identity.Aliases(),
	}
	for i, name := range a.names {
		a.names[i] = strings.ToLower(name)
	}
	s := grpc.NewServer(
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.UnaryInterceptor(a.guard(o.Timeout)),
		// Envoy keeps its connections; pings tell which of them are dead.
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: 10 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	)
	authv3.RegisterAuthorizationServer(s, a)
	// For Envoy's active health checks and Kubernetes' gRPC probes: of the server as a
	// whole (""), and of the service by its name. Whether Redis answers is /readyz's to
	// say; here a question that Redis can't answer gets its 503.
	h := health.NewServer()
	h.SetServingStatus(authv3.Authorization_ServiceDesc.ServiceName, healthv1.HealthCheckResponse_SERVING)
	healthv1.RegisterHealthServer(s, healthChecks{checks: h})
	return &Server{s, h}, nil
}

// Serve answers on ln, which it closes, until Shutdown. It returns nil then.
func (s *Server) Serve(ln net.Listener) error { return s.grpc.Serve(ln) }

// Shutdown waits for questions under way, and cuts off what is left of them when
// ctx is done.
func (s *Server) Shutdown(ctx context.Context) error {
	s.health.Shutdown() // not serving any more
	done := make(chan struct{})
	go func() {
		s.grpc.GracefulStop()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		s.grpc.Stop() // lets GracefulStop return as well
		<-done
		return context.Cause(ctx)
	}
}

// healthChecks is grpc.health.v1 without Watch: the streams of those who watch would
// keep Shutdown waiting. Clients take an unimplemented Watch for no news.
type healthChecks struct {
	healthv1.UnimplementedHealthServer
	checks *health.Server
}

func (h healthChecks) Check(ctx context.Context, r *healthv1.HealthCheckRequest) (*healthv1.HealthCheckResponse, error) {
	return h.checks.Check(ctx, r)
}

// authorization implements envoy.service.auth.v3.Authorization.
type authorization struct {
	authv3.UnimplementedAuthorizationServer

	decider  decider
	identity *handlers.Identity
	login    *handlers.LoginPage
	log      *slog.Logger
	checks   *prometheus.CounterVec

	names   []string // identity headers that are set, in lower case
	aliases []string // and those that never pass
}

// guard bounds each question in time, and makes a panic an error: Envoy refuses
// the request then, unless it was told to fail open.
func (a *authorization) guard(timeout time.Duration) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (_ any, err error) {
		defer func() {
			if p := recover(); p != nil {
				a.log.ErrorContext(ctx, "panic while answering Envoy", "err", fmt.Sprint(p), "stack", string(debug.Stack()))
				a.checks.WithLabelValues("500").Inc()
				err = status.Error(codes.Internal, "internal error")
			}
		}()
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		return handle(ctx, req)
	}
}

// Check answers one question. It never fails: a request that may not pass is an
// answer, with the status, headers and body that forward-auth would have had.
func (a *authorization) Check(ctx context.Context, r *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	h := read(r.GetAttributes().GetRequest().GetHttp())
	policy, required := r.GetAttributes().GetContextExtensions()["policy"]
	with := handlers.Credentials{Authorization: h.get("authorization"), Cookie: h.get("cookie")}
	t, err := a.decider.Decide(ctx, with, policy, required)
	if err != nil {
		return a.refuse(ctx, h, err), nil
	}
	a.checks.WithLabelValues("200").Inc()
	return &authv3.CheckResponse{
		Status: statusOf(codes.OK),
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{
			Headers:         a.identityHeaders(&t),
			HeadersToRemove: a.toRemove(h),
		}},
	}, nil
}

func (a *authorization) identityHeaders(t *session.Token) []*corev3.HeaderValueOption {
	values := a.identity.Values(t)
	options := make([]*corev3.HeaderValueOption, len(values))
	for i, value := range values {
		options[i] = overwrite(a.names[i], value)
	}
	return options
}

// overwrite sets a header whatever was there, to nothing as well.
func overwrite(name, value string) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header:         &corev3.HeaderValue{Key: name, Value: value},
		AppendAction:   corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		KeepEmptyValue: true,
	}
}

// toRemove names the identity headers that must not go on: those we know, since
// Envoy may be set not to show us all headers, and what a client sent that could
// pass for one.
func (a *authorization) toRemove(h headers) []string {
	remove := slices.Clone(a.aliases)
	for name := range h {
		if a.identity.IsAlias(name) && !slices.Contains(remove, name) {
			remove = append(remove, name)
		}
	}
	return remove
}
