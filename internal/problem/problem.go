// Package problem turns errors into HTTP responses. It is the only package that
// does: handlers and middleware pass the error here and add nothing to it.
//
// There are two wire forms. Write answers with problem details (RFC 9457).
// WriteOAuth answers with the error object of RFC 6749 §5.2, for the endpoints
// whose specification asks for it.
//
// What a stranger may know of an error is decided by one table (table.go). An
// error that is not in it is ours to fix: it becomes "internal" and says
// nothing more; its text goes to the log and nowhere else.
package problem

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/sessiongate/sessiongate/session"
)

// TypeBase is what the "type" of every problem begins with; the code follows.
// docs/problems.md is the page behind it.
const TypeBase = "https://sessiongate.dev/problems/"

// RequestIDHeader carries the request's id in every answer. The requestid
// middleware sets it before anything else runs, and the answer's header is where
// everybody reads it from.
const RequestIDHeader = "X-Request-Id"

// StatusClientGone is what a request is counted under whose client hung up
// before the answer. Nobody receives it; the number is nginx's.
const StatusClientGone = 499

// Mistakes that are found before a request reaches its handler.
var (
	// ErrNoRoute: nothing is served at this path.
	ErrNoRoute = errors.New("no such path")
	// ErrMethod: the path exists, but not for this method. The router sets Allow.
	ErrMethod = errors.New("method not allowed")
	// ErrUnauthenticated: no credential was presented.
	ErrUnauthenticated = errors.New("no credential")
	// ErrInvalidClient: client authentication is missing or wrong; which of them
	// is not for the caller to know.
	ErrInvalidClient = errors.New("client authentication failed")
	// ErrForbidden: the client is known and may not do this.
	ErrForbidden = errors.New("not allowed for this client")
	// ErrInsufficientScope: the user is known and lacks what the route asks for.
	ErrInsufficientScope = errors.New("not allowed for this user")
	// ErrCrossOrigin: a browser sent this for a page of an origin that may not.
	ErrCrossOrigin = errors.New("request of another origin")
	// ErrNotAcceptable: the answer can't be had in the form that was asked for.
	ErrNotAcceptable = errors.New("no acceptable form of the answer")
)

// Invalid is the caller's mistake, worded for the caller.
type Invalid struct {
	Field  string // name as the caller wrote it, or "" for the whole request
	Reason string // a phrase that says what was expected: "must not be empty"
}

func (e *Invalid) Error() string {
	if e.Field == "" {
		return e.Reason
	}
	return e.Field + " " + e.Reason
}

// MediaType is the caller's mistake of sending a body of another kind.
type MediaType struct {
	Want string // media type that the path reads
}

func (e *MediaType) Error() string { return "body is not " + e.Want }

// ForToken sharpens what a store said about a presented token: one whose session
// is over because its time ran out is expired, whatever the store has left to
// tell. Other errors come back as they are.
func ForToken(err error, t session.Token, now time.Time) error {
	if errors.Is(err, session.ErrEnded) && !t.ExpiresAt.After(now) {
		return session.ErrTokenExpired
	}
	return err
}

// details is the body of a problem (RFC 9457 §3).
type details struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail,omitempty"`
	Code      string `json:"code"`
	Reason    string `json:"reason,omitempty"`
	RequestID string `json:"request_id,omitempty"`
}

// Write answers with problem details and ends the handler chain. The error of a
// 5xx is handed to the access log with c.Error; a 4xx is the client's business.
// It does nothing but end the chain if the answer has already begun.
//
// Under /oauth2/ it is WriteOAuth, for those who don't know where they are: the
// router, a panic.
func Write(c *gin.Context, err error) {
	if strings.HasPrefix(c.Request.URL.Path, oauthPaths) {
		WriteOAuth(c, err)
		return
	}
	p, ok := begin(c, err)
	if !ok {
		return
	}
	send(c, p.kind.status, contentType, p.details(c.Writer.Header().Get(RequestIDHeader)))
}

const contentType = "application/problem+json"

func (p *problem) details(requestID string) details {
	return details{
		Type:      TypeBase + p.kind.code,
		Title:     p.kind.title,
		Status:    p.kind.status,
		Detail:    p.detail,
		Code:      p.kind.code,
		Reason:    p.reason,
		RequestID: requestID,
	}
}

// An Answer is what Write would have sent, for those who answer over something
// else than a gin.Context.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Describe returns the answer to err.
func Describe(err error, requestID string) Answer {
	p := of(err)
	h := http.Header{"Content-Type": {contentType}, "Cache-Control": {"no-store"}}
	p.setHeader(h, err)
	return Answer{p.kind.status, h, encode(p.details(requestID))}
}

// oauthPaths are those whose errors are OAuth's.
const oauthPaths = "/oauth2/"

// WriteOAuth is Write in the form of RFC 6749 §5.2.
func WriteOAuth(c *gin.Context, err error) {
	p, ok := begin(c, err)
	if !ok {
		return
	}
	description := p.detail
	if description == "" {
		description = p.kind.title
	}
	send(c, p.kind.status, "application/json", struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}{p.kind.oauth, description})
}

// begin sets what both forms share. It reports false when there is nobody left
// to answer. Faults of ours go to the log even then, but for those that the
// client caused by hanging up.
func begin(c *gin.Context, err error) (problem, bool) {
	c.Abort()
	p := of(err)
	gone := errors.Is(c.Request.Context().Err(), context.Canceled)
	if p.kind.status >= http.StatusInternalServerError && !(gone && errors.Is(err, context.Canceled)) {
		_ = c.Error(err)
	}
	switch {
	case c.Writer.Written():
		return problem{}, false
	case gone:
		c.Status(StatusClientGone)
		c.Writer.WriteHeaderNow()
		return problem{}, false
	}
	p.setHeader(c.Writer.Header(), err)
	return p, true
}

func (p *problem) setHeader(h http.Header, err error) {
	if p.challenge != "" {
		h.Set("WWW-Authenticate", p.challenge)
	}
	limited, ok := errors.AsType[*session.RateLimitedError](err)
	switch {
	case ok:
		seconds := (limited.RetryAfter + time.Second - 1) / time.Second
		h.Set("Retry-After", strconv.FormatInt(max(int64(seconds), 1), 10))
	case p.kind.status == http.StatusServiceUnavailable:
		h.Set("Retry-After", "1")
	}
}

func send(c *gin.Context, status int, contentType string, body any) {
	c.Header("Cache-Control", "no-store")
	c.Data(status, contentType, encode(body))
}

func encode(body any) []byte {
	b, err := json.Marshal(body)
	if err != nil {
		panic("problem: " + err.Error()) // strings and numbers only
	}
	return b
}
