package problem

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/sessiongate/sessiongate/session"
)

// kind is one entry of docs/problems.md.
type kind struct {
	code   string // never changes its meaning; clients switch on it
	title  string
	status int
	oauth  string // the "error" of WriteOAuth (IANA OAuth Extensions Error registry)
}

var (
	invalidRequest   = &kind{"invalid_request", "The request is not valid", http.StatusBadRequest, "invalid_request"}
	invalidCreds     = &kind{"invalid_credentials", "The credentials are not valid", http.StatusUnauthorized, "invalid_grant"}
	unauthenticated  = &kind{"unauthenticated", "Not signed in", http.StatusUnauthorized, "invalid_token"}
	invalidClient    = &kind{"invalid_client", "Client authentication failed", http.StatusUnauthorized, "invalid_client"}
	forbidden        = &kind{"forbidden", "Not allowed", http.StatusForbidden, "unauthorized_client"}
	csrfFailed       = &kind{"csrf_failed", "Not allowed from another site", http.StatusForbidden, "invalid_request"}
	insufficient     = &kind{"insufficient_scope", "Not allowed for this user", http.StatusForbidden, "insufficient_scope"}
	wrongPassword    = &kind{"wrong_password", "The current password is wrong", http.StatusForbidden, "invalid_grant"}
	tooManySessions  = &kind{"too_many_sessions", "Too many sessions", http.StatusConflict, "access_denied"}
	signInRefused    = &kind{"sign_in_refused", "Sign-in refused", http.StatusForbidden, "access_denied"}
	notFound         = &kind{"not_found", "Not found", http.StatusNotFound, "invalid_request"}
	methodNotAllowed = &kind{"method_not_allowed", "Method not allowed", http.StatusMethodNotAllowed, "invalid_request"}
	notAcceptable    = &kind{"not_acceptable", "Not acceptable", http.StatusNotAcceptable, "invalid_request"}
	bodyTooLarge     = &kind{"body_too_large", "The body is too large", http.StatusRequestEntityTooLarge, "invalid_request"}
	unsupportedType  = &kind{"unsupported_media_type", "Unsupported media type", http.StatusUnsupportedMediaType, "invalid_request"}
	rateLimited      = &kind{"rate_limited", "Too many attempts", http.StatusTooManyRequests, "temporarily_unavailable"}
	storeUnavailable = &kind{"store_unavailable", "A store did not answer", http.StatusServiceUnavailable, "temporarily_unavailable"}
	overloaded       = &kind{"overloaded", "Too busy", http.StatusServiceUnavailable, "temporarily_unavailable"}
	internalError    = &kind{"internal", "Internal error", http.StatusInternalServerError, "server_error"}
)

// kinds is every problem there is, in the order of docs/problems.md.
var kinds = []*kind{
	invalidRequest, invalidCreds, unauthenticated, invalidClient, forbidden, csrfFailed, insufficient, wrongPassword,
	signInRefused, notFound, methodNotAllowed, notAcceptable, tooManySessions, bodyTooLarge, unsupportedType, rateLimited,
	storeUnavailable, overloaded, internalError,
}

// The challenges of RFC 6750 §3 and RFC 7617 §2. The first is for requests that
// presented no token: "the resource server SHOULD NOT include an error code".
const (
	bearerChallenge  = `Bearer realm="sessiongate"`
	expiredChallenge = bearerChallenge + `, error="invalid_token", error_description="The token has expired"`
	invalidChallenge = bearerChallenge + `, error="invalid_token", error_description="The token is not valid"`
	scopeChallenge   = bearerChallenge + `, error="insufficient_scope"`
	basicChallenge   = `Basic realm="sessiongate", charset="UTF-8"`
)

// problem is what a stranger may know of an error.
type problem struct {
	kind      *kind
	reason    string // why a session's token was refused
	detail    string
	challenge string // WWW-Authenticate
}

// table maps errors to problems, first match first. 401 with a reason is only
// for tokens that are known to be no good: a store that can't say is a 503.
var table = []struct {
	err error
	problem
}{
	{session.ErrUnavailable, problem{
		storeUnavailable, "",
		"Whether this can be done is not known right now; nothing was refused. Try again.", "",
	}},
	{session.ErrOverloaded, problem{overloaded, "", "Try again shortly.", ""}},

	{session.ErrTokenExpired, problem{
		unauthenticated, "expired",
		"The token has expired.", expiredChallenge,
	}},
	{session.ErrEnded, problem{
		unauthenticated, "logged_out_or_revoked",
		"The session has ended.", invalidChallenge,
	}},
	{session.ErrSuperseded, problem{
		unauthenticated, "superseded",
		"A refresh has replaced this token; use its successor.", invalidChallenge,
	}},
	{session.ErrReused, problem{
		unauthenticated, "refresh_reused",
		"An old token was used to refresh, so the session has been ended.", invalidChallenge,
	}},
	{session.ErrNotRemembered, problem{
		unauthenticated, "not_remembered",
		"This refresh token begins no session; sign in with the password.", invalidChallenge,
	}},
	{session.ErrInvalidToken, problem{
		unauthenticated, "invalid",
		"The token is not one of ours.", invalidChallenge,
	}},
	{ErrUnauthenticated, problem{
		unauthenticated, "",
		"This needs an access token in the Authorization header, scheme Bearer, or the cookie of a sign-in with one.", bearerChallenge,
	}},
	{session.ErrInvalidCredentials, problem{invalidCreds, "", "", bearerChallenge}},
	{session.ErrWrongPassword, problem{wrongPassword, "", "The session goes on; the password is what it was.", ""}},
	{session.ErrTooManySessions, problem{
		tooManySessions, "",
		"This user is signed in on as many devices as allowed; sign out on one of them first.", "",
	}},
	{ErrInvalidClient, problem{invalidClient, "", "", basicChallenge}},
	{ErrCrossOrigin, problem{
		csrfFailed, "",
		"A browser may do this only for our own pages and those of the origins in browser.cors_origins.", "",
	}},
	{ErrForbidden, problem{forbidden, "", "This client may not use this endpoint.", ""}},
	{ErrInsufficientScope, problem{insufficient, "", "This needs a scope or a role that the user does not have.", scopeChallenge}},
	{session.ErrSignInRefused, problem{
		signInRefused, "",
		"The rules about unusual sign-ins refuse this one. Don't repeat it unchanged.", "",
	}},
	{ErrNotAcceptable, problem{
		notAcceptable, "",
		"Signed answers need tokens that are signed with a key pair; ask for application/json.", "",
	}},

	{session.ErrNotFound, problem{notFound, "", "", ""}},
	{ErrNoRoute, problem{notFound, "", "Nothing is served at this path.", ""}},
	{ErrMethod, problem{methodNotAllowed, "", "The Allow header lists the methods of this path.", ""}},

	{context.DeadlineExceeded, problem{storeUnavailable, "", "It took too long. Try again.", ""}},
}

// of returns the problem for err. Of the error's own text it shows only what an
// Invalid or a MediaType worded for the caller.
func of(err error) problem {
	if invalid, ok := errors.AsType[*Invalid](err); ok {
		return problem{kind: invalidRequest, detail: invalid.Error()}
	}
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return problem{kind: bodyTooLarge, detail: fmt.Sprintf("The body may have at most %d bytes.", large.Limit)}
	}
	if _, limited := errors.AsType[*session.RateLimitedError](err); limited {
		return problem{kind: rateLimited, detail: "Try again after Retry-After."}
	}
	if media, ok := errors.AsType[*MediaType](err); ok {
		return problem{kind: unsupportedType, detail: "The body must be " + media.Want + "."}
	}
	for i := range table {
		if errors.Is(err, table[i].err) {
			return table[i].problem
		}
	}
	return problem{kind: internalError}
}
