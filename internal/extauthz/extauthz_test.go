package extauthz_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/sessiongate/sessiongate/handlers"
	"github.com/sessiongate/sessiongate/internal/extauthz"
	"github.com/sessiongate/sessiongate/internal/testenv"
	"github.com/sessiongate/sessiongate/session"
	"github.com/sessiongate/sessiongate/store"
	"github.com/sessiongate/sessiongate/tokens"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// world is a server for Envoy on a Redis, and Envoy's own client.
type world struct {
	t        *testing.T
	redis    *store.Redis
	issuer   *tokens.Issuer
	server   *extauthz.Server
	reg      *prometheus.Registry
	conn     *grpc.ClientConn
	envoy    authv3.AuthorizationClient
	served   chan error
	accepted int
}

// Seen counts what is noted as use.
func (w *world) Seen(session.Token, time.Time)  { w.accepted++ }
func (w *world) Asked(session.Token, time.Time) {}

func newWorld(t *testing.T, redisURL, preset string) *world {
	t.Helper()
	w := &world{t: t, reg: prometheus.NewRegistry(), served: make(chan error, 1)}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	w.redis, err = store.OpenRedis(t.Context(), store.RedisOptions{
		URL: redisURL, Timeout: time.Second, Partitions: 1, Instance: "test", ClaimIdle: time.Minute,
		Policy: session.Policy{TTL: time.Hour, RefreshAfter: time.Minute, Grace: time.Minute, MaxPerUser: 10},
	})
	must(err)
	t.Cleanup(func() { _ = w.redis.Close() })
	key, err := tokens.NewHS256Key([]byte("0Jk3u7Qw9Zr5Tx1Vb8Nm2Lp6Hd4Gs0Fa"))
	must(err)
	keys, err := tokens.NewKeyring(key)
	must(err)
	options := tokens.Options{Issuer: "i", Audience: "a", Now: w.redis.Clock}
	w.issuer, err = tokens.NewIssuer(keys, options)
	must(err)
	verifier, err := tokens.NewVerifier(keys, options)
	must(err)
	identity, err := handlers.NewIdentity(preset)
	must(err)
	decider := &handlers.ForwardAuth{
		Tokens: verifier, Sessions: w.redis, Activity: w, Now: w.redis.Clock, Identity: identity, Cookie: "__Host-session",
		Policies: map[string]handlers.Policy{"admin": {Roles: []string{"admin"}}},
	}
	w.serve(extauthz.Options{
		Decider: decider, Identity: identity, Login: handlers.NewLoginPage("https://login.example/", []string{"app.example"}),
		Timeout: 5 * time.Second, Metrics: w.reg, Log: slog.New(slog.DiscardHandler),
	})
	return w
}

func (w *world) serve(o extauthz.Options) {
	w.t.Helper()
	var err error
	if w.server, err = extauthz.New(o); err != nil {
		w.t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	go func() { w.served <- w.server.Serve(ln) }()
	w.t.Cleanup(func() { _ = w.server.Shutdown(context.Background()) })
	conn, err := grpc.NewClient(ln.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	w.conn, w.envoy = conn, authv3.NewAuthorizationClient(conn)
}

func (w *world) open(user string, roles ...string) (string, session.Session) {
	w.t.Helper()
	now := w.redis.Clock()
	s, _, err := w.redis.Create(w.t.Context(), session.Session{
		ID: session.NewID(now), UserID: user, ClientID: "shop", AuthTime: now, Roles: roles, Username: "Ana Ü",
	}, session.Event{ID: session.NewEventID(now), CreatedAt: now})
	if err != nil {
		w.t.Fatal(err)
	}
	raw, err := w.issuer.Sign(s.Token())
	if err != nil {
		w.t.Fatal(err)
	}
	return raw, s
}

// question is what Envoy asks about a request with these headers.
func question(headers map[string]string, extensions map[string]string) *authv3.CheckRequest {
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		ContextExtensions: extensions,
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Method: "GET", Scheme: "https", Host: "app.example", Path: "/orders?id=7", Headers: headers, Body: "{",
		}},
	}}
}

func (w *world) check(r *authv3.CheckRequest) *authv3.CheckResponse {
	w.t.Helper()
	res, err := w.envoy.Check(w.t.Context(), r)
	if err != nil {
		w.t.Fatal(err)
	}
	return res
}

// headersOf reads options as Envoy does, and holds each to overwriting.
func (w *world) headersOf(options []*corev3.HeaderValueOption) map[string]string {
	w.t.Helper()
	got := map[string]string{}
	for _, o := range options {
		if o.GetAppendAction() != corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD || !o.GetKeepEmptyValue() {
			w.t.Errorf("%s is not overwritten: %v", o.GetHeader().GetKey(), o)
		}
		got[o.GetHeader().GetKey()] = o.GetHeader().GetValue()
	}
	return got
}

func (w *world) wantDenied(res *authv3.CheckResponse, httpStatus int, code codes.Code) map[string]string {
	w.t.Helper()
	denied := res.GetDeniedResponse()
	if int(denied.GetStatus().GetCode()) != httpStatus || codes.Code(res.GetStatus().GetCode()) != code {
		w.t.Fatalf("%v, want %d, %v", res, httpStatus, code)
	}
	return w.headersOf(denied.GetHeaders())
}

// E58 over gRPC: every identity header is set, whatever was sent, and nothing that
// could pass for one goes on.
func TestE58Allowed(t *testing.T) {
	t.Parallel()
	url, _ := testenv.Redis(t)
	w := newWorld(t, url, "own")
	token, s := w.open("u1", "admin", "ops")
	sent := map[string]string{
		"authorization": "Bearer " + token, "x-auth-subject": "root", "x-auth-roles": "admin", "x_auth_roles": "admin",
		"x.auth.username": "root", "x-auth_session.id": "1", "remote-user": "root", "x-auth-request-user": "root",
		"x-auth-request-access-token": "t", "x-auth-token": "the application's own", "accept": "*/*", "remote-control": "x",
	}
	res := w.check(question(sent, nil))
	if codes.Code(res.GetStatus().GetCode()) != codes.OK {
		t.Fatalf("%v", res)
	}
	want := map[string]string{
		"x-auth-subject": "u1", "x-auth-session-id": string(s.ID), "x-auth-client-id": "shop", "x-auth-scopes": "",
		"x-auth-amr": "", "x-auth-roles": "admin ops", "x-auth-username": "Ana %C3%9C",
		"x-auth-expires": fmt.Sprint(s.ExpiresAt.Unix()),
	}
	if got := w.headersOf(res.GetOkResponse().GetHeaders()); !maps.Equal(got, want) {
		t.Errorf("headers %v, want %v", got, want)
	}
	removed := res.GetOkResponse().GetHeadersToRemove()
	for _, name := range []string{
		"x_auth_roles", "x.auth.username", "x-auth_session.id", "remote-user", "x-auth-request-user", "x-auth-request-access-token",
		"x_auth_subject", "remote_groups", // not sent, or not shown to us
	} {
		if !slices.Contains(removed, name) {
			t.Errorf("%s stays", name)
		}
	}
	for _, name := range removed { // Envoy removes after it has set
		if _, set := want[name]; set || name == "x-auth-token" || name == "remote-control" || name == "authorization" {
			t.Errorf("%s is removed", name)
		}
	}
	if w.accepted != 1 {
		t.Errorf("noted as use %d times", w.accepted)
	}
}

func TestPresets(t *testing.T) {
	t.Parallel()
	url, _ := testenv.Redis(t)
	for preset, want := range map[string]map[string]string{
		"oauth2-proxy": {
			"x-auth-request-user": "u1", "x-auth-request-email": "", "x-auth-request-groups": "a,b",
			"x-auth-request-preferred-username": "Ana %C3%9C",
		},
		"authelia": {"remote-user": "u1", "remote-groups": "a,b", "remote-name": "Ana %C3%9C", "remote-email": ""},
	} {
		w := newWorld(t, url, preset)
		token, _ := w.open("u1", "a", "b")
		res := w.check(question(map[string]string{"cookie": "a=b; __Host-session=" + token}, nil))
		if got := w.headersOf(res.GetOkResponse().GetHeaders()); !maps.Equal(got, want) {
			t.Errorf("%s: headers %v, want %v", preset, got, want)
		}
		if removed := res.GetOkResponse().GetHeadersToRemove(); !slices.Contains(removed, "x-auth-subject") {
			t.Errorf("%s: headers of the other sets stay: %v", preset, removed)
		}
	}
}

func TestDenied(t *testing.T) {
	t.Parallel()
	url, _ := testenv.Redis(t)
	w := newWorld(t, url, "own")
	token, s := w.open("u1", "ops")
	ended, gone := w.open("u2")
	if _, err := w.redis.Revoke(t.Context(), "u2", gone.ID, session.EndLogout, session.Event{
		ID: session.NewEventID(w.redis.Clock()), CreatedAt: w.redis.Clock(), Action: session.ActionLogout,
	}); err != nil {
		t.Fatal(err)
	}
	bearer := func(raw string) map[string]string { return map[string]string{"authorization": "Bearer " + raw} }
	policy := func(name string) map[string]string { return map[string]string{"policy": name} }

	h := w.wantDenied(w.check(question(nil, nil)), 401, codes.Unauthenticated)
	if h["www-authenticate"] != `Bearer realm="sessiongate"` || h["cache-control"] != "no-store" {
		t.Errorf("no credential: %v", h)
	}
	for what, raw := range map[string]string{"ended": ended, "garbage": "x", "two joined": token + ",Bearer " + token} {
		h := w.wantDenied(w.check(question(bearer(raw), nil)), 401, codes.Unauthenticated)
		if !strings.Contains(h["www-authenticate"], `error="invalid_token"`) {
			t.Errorf("%s: %v", what, h)
		}
	}
	for _, name := range []string{"admin", "unknown", ""} {
		h := w.wantDenied(w.check(question(bearer(token), policy(name))), 403, codes.PermissionDenied)
		if !strings.Contains(h["www-authenticate"], `error="insufficient_scope"`) {
			t.Errorf("policy %q: %v", name, h)
		}
	}
	admin, _ := w.open("u3", "admin")
	if res := w.check(question(bearer(admin), policy("admin"))); res.GetOkResponse() == nil {
		t.Errorf("policy met: %v", res)
	}
	body := w.check(question(bearer(ended), nil)).GetDeniedResponse().GetBody()
	if !strings.Contains(body, `"reason":"logged_out_or_revoked"`) || strings.Contains(body, "request_id") {
		t.Errorf("body %s", body)
	}
	w.wantDenied(w.check(&authv3.CheckRequest{}), 401, codes.Unauthenticated)
	if n := testutil.CollectAndCount(w.reg, "sessiongate_ext_authz_checks_total"); n != 3 {
		t.Errorf("%d series, want those of 200, 401 and 403", n)
	}
	_ = s
}

// With encode_raw_headers Envoy sends every line by itself.
func TestRawHeaders(t *testing.T) {
	t.Parallel()
	url, _ := testenv.Redis(t)
	w := newWorld(t, url, "own")
	one, _ := w.open("one")
	two, _ := w.open("two")
	raw := func(lines ...string) *authv3.CheckRequest {
		r := question(nil, nil)
		m := &corev3.HeaderMap{}
		for i := 0; i < len(lines); i += 2 {
			m.Headers = append(m.Headers, &corev3.HeaderValue{Key: lines[i], RawValue: []byte(lines[i+1])})
		}
		r.GetAttributes().GetRequest().GetHttp().HeaderMap = m
		return r
	}
	res := w.check(raw("cookie", "a=b", "cookie", "__Host-session="+one, "X_Auth_Subject", "root"))
	if got := w.headersOf(res.GetOkResponse().GetHeaders()); got["x-auth-subject"] != "one" {
		t.Errorf("%v", res)
	}
	if !slices.Contains(res.GetOkResponse().GetHeadersToRemove(), "x_auth_subject") {
		t.Errorf("the alias stays: %v", res)
	}
	w.wantDenied(w.check(raw("authorization", "Bearer "+one, "authorization", "Bearer "+two)), 401, codes.Unauthenticated)
	w.wantDenied(w.check(raw("cookie", "__Host-session="+one, "cookie", "__Host-session="+two)), 401, codes.Unauthenticated)
}

// E62 over gRPC: what Envoy says of the request decides, what the client says in a
// header does not.
func TestE62Redirect(t *testing.T) {
	t.Parallel()
	url, _ := testenv.Redis(t)
	w := newWorld(t, url, "own")
	page := map[string]string{"accept": "text/html", "x-forwarded-host": "evil.example", "x-original-url": "https://evil.example/"}
	h := w.wantDenied(w.check(question(page, nil)), 302, codes.Unauthenticated)
	if want := "https://login.example/?rd=https%3A%2F%2Fapp.example%2Forders%3Fid%3D7"; h["location"] != want {
		t.Errorf("to %q, want %q", h["location"], want)
	}
	for what, change := range map[string]func(*authv3.AttributeContext_HttpRequest){
		"another host": func(r *authv3.AttributeContext_HttpRequest) { r.Host = "evil.example" },
		"POST":         func(r *authv3.AttributeContext_HttpRequest) { r.Method = "POST" },
		"//":           func(r *authv3.AttributeContext_HttpRequest) { r.Path = "//evil.example" },
		"no scheme":    func(r *authv3.AttributeContext_HttpRequest) { r.Scheme = "" },
	} {
		r := question(page, nil)
		change(r.GetAttributes().GetRequest().GetHttp())
		if h := w.wantDenied(w.check(r), 401, codes.Unauthenticated); h["location"] != "" {
			t.Errorf("%s: to %q", what, h["location"])
		}
	}
}

// E60 over gRPC: Redis can't say.
func TestE60Unavailable(t *testing.T) {
	t.Parallel()
	rd := testenv.OwnRedis(t)
	w := newWorld(t, rd.URL(), "own")
	token, _ := w.open("u1")
	if err := rd.Stop(); err != nil {
		t.Fatal(err)
	}
	r := question(map[string]string{"authorization": "Bearer " + token, "accept": "text/html"}, nil)
	if h := w.wantDenied(w.check(r), 503, codes.Unavailable); h["retry-after"] == "" {
		t.Errorf("headers %v", h)
	}
	if body := w.check(r).GetDeniedResponse().GetBody(); strings.Contains(body, "dial") || strings.Contains(body, rd.Addr()) {
		t.Errorf("body %s", body)
	}
	if w.accepted != 0 {
		t.Error("noted as use")
	}
}

// stub decides what it is told to, or waits for it.
type stub func(ctx context.Context) (session.Token, error)

func (s stub) Decide(ctx context.Context, _ handlers.Credentials, _ string, _ bool) (session.Token, error) {
	return s(ctx)
}

func newStub(t *testing.T, timeout time.Duration, decide stub) *world {
	t.Helper()
	identity, err := handlers.NewIdentity("own")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, reg: prometheus.NewRegistry(), served: make(chan error, 1)}
	w.serve(extauthz.Options{
		Decider: decide, Identity: identity, Timeout: timeout, Metrics: w.reg, Log: slog.New(slog.DiscardHandler),
	})
	return w
}

func TestPanicAndTimeout(t *testing.T) {
	t.Parallel()
	w := newStub(t, time.Minute, func(context.Context) (session.Token, error) { panic("a bug") })
	if _, err := w.envoy.Check(t.Context(), question(nil, nil)); status.Code(err) != codes.Internal || strings.Contains(err.Error(), "bug") {
		t.Errorf("a panic: %v", err)
	}
	w = newStub(t, time.Millisecond, func(ctx context.Context) (session.Token, error) {
		<-ctx.Done()
		return session.Token{}, ctx.Err()
	})
	w.wantDenied(w.check(question(nil, nil)), 503, codes.Unavailable)
}

// Questions under way are answered when the server goes; those that take too long
// are cut off.
func TestShutdown(t *testing.T) {
	t.Parallel()
	asked, answer := make(chan struct{}, 2), make(chan struct{})
	w := newStub(t, time.Minute, func(ctx context.Context) (session.Token, error) {
		asked <- struct{}{}
		select {
		case <-answer:
		case <-ctx.Done():
		}
		return session.Token{UserID: "u1"}, ctx.Err()
	})
	got := make(chan error, 2)
	ask := func() {
		_, err := w.envoy.Check(t.Context(), question(nil, nil))
		got <- err
	}
	go ask()
	<-asked
	down := make(chan error, 1)
	go func() { down <- w.server.Shutdown(t.Context()) }()
	close(answer)
	if err := <-got; err != nil {
		t.Errorf("the question under way: %v", err)
	}
	if err := <-down; err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if err := <-w.served; err != nil {
		t.Errorf("serve: %v", err)
	}

	slow := newStub(t, time.Minute, func(ctx context.Context) (session.Token, error) {
		asked <- struct{}{}
		<-ctx.Done()
		return session.Token{}, ctx.Err()
	})
	w = slow
	go ask()
	<-asked
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := slow.server.Shutdown(ctx); err == nil {
		t.Error("a shutdown that cut something off says nothing")
	}
	<-got
}
