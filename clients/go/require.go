package sessiongate

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Require returns a middleware that lets requests through whose bearer token
// (RFC 6750 §2.1) is good and carries all of the scopes; handlers behind it find
// the Session with FromContext.
//
// Others are answered with application/problem+json and, where RFC 6750 §3 asks
// for it, WWW-Authenticate: 401 without a token or with one that is known to be
// no good, 403 where a scope is missing, and 503 with Retry-After when the
// gateway could not say. An outage never looks like a logout.
func Require(v Verifier, scopes ...string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s, refusal := Check(v, r, scopes...)
			if refusal != nil {
				refusal.Write(w)
				return
			}
			next.ServeHTTP(w, r.WithContext(NewContext(r.Context(), s)))
		})
	}
}

// Check is Require for other frameworks: whom the request speaks for, or else the
// answer that refuses it.
func Check(v Verifier, r *http.Request, scopes ...string) (*Session, *Refusal) {
	token, malformed := bearer(r.Header)
	if malformed {
		return nil, &Refusal{
			Status: http.StatusBadRequest, Code: "invalid_request", challenge: `Bearer error="invalid_request"`,
			Detail: "One Authorization header was expected: Bearer and a token.",
		}
	}
	if token == "" {
		return nil, &Refusal{
			Status: http.StatusUnauthorized, Code: "unauthenticated", Detail: "No token was sent.", challenge: "Bearer",
		}
	}
	s, err := v.Verify(r.Context(), token)
	switch {
	case errors.Is(err, ErrInactive):
		return nil, &Refusal{
			Status: http.StatusUnauthorized, Code: "unauthenticated", Detail: "The token is not active.",
			challenge: `Bearer error="invalid_token"`,
		}
	case err != nil:
		return nil, &Refusal{
			Status: http.StatusServiceUnavailable, Code: "store_unavailable",
			Detail: "It can't be said now whether the token is active.", RetryAfter: retryIn(err), Cause: err,
		}
	case !s.HasScopes(scopes...):
		return nil, &Refusal{
			Status: http.StatusForbidden, Code: "insufficient_scope", Detail: "The token lacks a scope.",
			challenge: `Bearer error="insufficient_scope", scope="` + strings.Join(scopes, " ") + `"`,
		}
	}
	return s, nil
}

// bearer takes the token out of the header. Two headers, or one of another form,
// are malformed: guessing which was meant would let two programs guess
// differently. Another scheme than Bearer is no token.
func bearer(h http.Header) (token string, malformed bool) {
	values := h.Values("Authorization")
	if len(values) == 0 {
		return "", false
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", len(values) > 1
	}
	token = strings.Trim(token, " ")
	return token, len(values) > 1 || token == "" || strings.ContainsAny(token, " \t,")
}

// A Refusal is the answer to a request that does not get through.
type Refusal struct {
	Status     int
	Code       string
	Detail     string
	RetryAfter time.Duration
	Cause      error // of a 503, for the log; the answer does not show it

	challenge string
}

// Write answers with it.
func (f *Refusal) Write(w http.ResponseWriter) {
	h := w.Header()
	if f.challenge != "" {
		h.Set("WWW-Authenticate", f.challenge)
	}
	if f.RetryAfter > 0 {
		seconds := (f.RetryAfter + time.Second - 1) / time.Second
		h.Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(f.Status)
	// Code and Detail are constants of this package: nothing in them needs escaping.
	_, _ = w.Write([]byte(`{"status":` + strconv.Itoa(f.Status) + `,"code":"` + f.Code + `","detail":"` + f.Detail + `"}`))
}
