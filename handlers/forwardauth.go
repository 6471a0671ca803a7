package handlers

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/sessiongate/sessiongate/internal/problem"
	"github.com/sessiongate/sessiongate/session"
)

// ForwardAuth serves ANY /forward-auth and everything below it: a gateway in front
// asks whether a request of somebody else may pass. Envoy asks the same by gRPC
// (internal/extauthz), and gets the same decisions.
//
// A decision depends on the credential and the name of the policy and on nothing
// else: not on the method, the query, the body, its type, or on any header in which
// a client could say where it comes from or where it wants to go.
type ForwardAuth struct {
	Tokens   tokenVerifier
	Sessions sessionValidator
	Activity tracker
	Now      func() time.Time // Redis's clock

	Identity *Identity         // the headers that say who somebody is
	Cookie   string            // in which a browser sends the token; "": none
	Policies map[string]Policy // by name
	Login    *LoginPage        // nil: nobody is redirected
	Trusts   func(*http.Request) bool
}

// Policy is what somebody must have: all of the scopes, all of the roles.
type Policy struct{ Scopes, Roles []string }

// Credentials are what a request brings to prove whom it comes from. Envoy and
// HTTP/2 may split a header; all of its lines are here.
type Credentials struct{ Authorization, Cookie []string }

const (
	forwardAuthPath  = "/forward-auth"
	belowForwardAuth = forwardAuthPath + "/*rest"
	policyPath       = forwardAuthPath + "/policy/"
)

func isForwardAuth(path string) bool {
	return path == forwardAuthPath || strings.HasPrefix(path, forwardAuthPath+"/")
}

// varyOn is shared by all answers; see middleware.SecureHeaders.
var varyOn = []string{"Authorization, Cookie"}

// Handle lets the request through with 200, an empty body and all of the identity
// headers, or answers 401, 403 or 503. Never anything else, whatever was sent:
// nginx, for one, knows no other status.
//
// /forward-auth/policy/<name> asks for that policy too; one that is not configured
// lets nobody through. What comes after that, or after any other first segment, is
// not looked at, for Envoy puts the path of the original request there.
func (h *ForwardAuth) Handle(c *gin.Context) {
	r := c.Request
	if r.ContentLength != 0 {
		// Else net/http reads the body, or waits for it, before it lets the answer go.
		// Where there is no such thing (HTTP/2), nothing waits.
		_ = http.NewResponseController(c.Writer).EnableFullDuplex()
	}
	c.Writer.Header()["Vary"] = varyOn
	name, required := policyOf(r.URL.EscapedPath())
	t, err := h.Decide(r.Context(), Credentials{r.Header["Authorization"], r.Header["Cookie"]}, name, required)
	if err != nil {
		h.refuse(c, err)
		return
	}
	h.Identity.set(c.Writer.Header(), &t)
	c.Writer.WriteHeader(http.StatusOK)
	c.Writer.WriteHeaderNow()
}

func (h *ForwardAuth) refuse(c *gin.Context, err error) {
	if h.Login != nil && IsUnauthenticated(err) && h.Trusts(c.Request) {
		if to := h.Login.Location(requestBehind(c.Request)); to != "" {
			c.Writer.Header()["Location"] = []string{to}
			c.Writer.WriteHeader(http.StatusFound)
			c.Writer.WriteHeaderNow()
			return
		}
	}
	problem.Write(c, err)
}

// policyOf returns the policy that a path names. It reads the path as it was sent,
// so that no other spelling of a path leads to another policy.
func policyOf(path string) (name string, required bool) {
	rest, required := strings.CutPrefix(path, policyPath)
	name, _, _ = strings.Cut(rest, "/")
	if !required {
		return "", path == strings.TrimSuffix(policyPath, "/")
	}
	return name, true
}

// Decide returns the token of somebody who may pass, or why they may not, as an
// error that package problem has an answer for. required says whether there must
// be a policy; if it is not among those configured, nobody may pass.
func (h *ForwardAuth) Decide(
	ctx context.Context, with Credentials, policy string, required bool,
) (session.Token, error) {
	raw, err := h.credential(with)
	if err != nil {
		return session.Token{}, err
	}
	t, err := h.Tokens.Verify(raw)
	if err != nil {
		return session.Token{}, err
	}
	if _, err := h.Sessions.Validate(ctx, t); err != nil {
		return session.Token{}, problem.ForToken(err, t, h.Now())
	}
	h.Activity.Seen(t, h.Now())
	if required {
		if p, known := h.Policies[policy]; !known || !p.admits(&t) {
			return session.Token{}, problem.ErrInsufficientScope
		}
	}
	return t, nil
}

func (p *Policy) admits(t *session.Token) bool {
	for _, role := range p.Roles {
		if !slices.Contains(t.Roles, role) {
			return false
		}
	}
	for _, scope := range p.Scopes {
		if !hasScope(t.Scope, scope) {
			return false
		}
	}
	return true
}

func hasScope(scopes, want string) bool {
	for s := range strings.SplitSeq(scopes, " ") {
		if s == want {
			return true
		}
	}
	return false
}

// credential returns the token that counts. A bearer token in the header counts
// before the cookie, good or not: who sends one means it, and a second identity
// must not stand in for a first that failed. An Authorization of another scheme is
// the application's business. Where one of them is there twice there is no telling
// which of them counts (a cookie of the same name may have been planted by another
// host of the site), so neither does.
func (h *ForwardAuth) credential(with Credentials) (string, error) {
	if len(with.Authorization) > 1 {
		return "", errAmbiguous
	}
	if len(with.Authorization) == 1 {
		scheme, raw, _ := strings.Cut(with.Authorization[0], " ")
		if strings.EqualFold(scheme, "Bearer") {
			if raw = strings.Trim(raw, " "); raw == "" {
				return "", problem.ErrUnauthenticated
			}
			return raw, nil
		}
	}
	raw, ambiguous := cookie(with.Cookie, h.Cookie)
	switch {
	case ambiguous:
		return "", errAmbiguous
	case raw == "":
		return "", problem.ErrUnauthenticated
	}
	return raw, nil
}

// errAmbiguous is a 401 here, where nothing else may be said.
var errAmbiguous = session.ErrInvalidToken

// cookie returns the value of the cookie, and whether there are two that differ.
func cookie(lines []string, name string) (value string, ambiguous bool) {
	if name == "" {
		return "", false
	}
	for _, line := range lines {
		for pair := range strings.SplitSeq(line, ";") {
			n, v, _ := strings.Cut(strings.Trim(pair, " \t"), "=")
			if n != name || v == "" {
				continue
			}
			if len(v) > 1 && v[0] == '"' && v[len(v)-1] == '"' {
				v = v[1 : len(v)-1]
			}
			if value != "" && value != v {
				return "", true
			}
			value = v
		}
	}
	return value, false
}

// IsUnauthenticated says whether signing in would help.
func IsUnauthenticated(err error) bool {
	return errors.Is(err, problem.ErrUnauthenticated) || isInactive(err)
}
