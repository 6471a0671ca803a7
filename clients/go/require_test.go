package sessiongate

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
)

// judge is a Verifier that finds every token so.
type judge struct {
	session *Session
	err     error
}

func (j judge) Verify(context.Context, string) (*Session, error) { return j.session, j.err }

func TestRequire(t *testing.T) {
	t.Parallel()
	good := judge{session: &Session{ID: "s1", Subject: "42", Scopes: []string{"read"}}}
	down := fmt.Errorf("introspect: %w", &Error{Status: http.StatusServiceUnavailable, RetryAfter: 1500e6})
	for name, c := range map[string]struct {
		verifier   Verifier
		header     []string
		scopes     []string
		status     int
		challenge  string
		retryAfter string
	}{
		"a good token":          {good, []string{"Bearer t"}, []string{"read"}, 200, "", ""},
		"any case of the word":  {good, []string{"bEARER t"}, nil, 200, "", ""},
		"no token":              {good, nil, nil, 401, "Bearer", ""},
		"another scheme":        {good, []string{"Basic YTpi"}, nil, 401, "Bearer", ""},
		"no token after Bearer": {good, []string{"Bearer"}, nil, 400, `Bearer error="invalid_request"`, ""},
		"two headers":           {good, []string{"Bearer t", "Bearer t"}, nil, 400, `Bearer error="invalid_request"`, ""},
		"two tokens":            {good, []string{"Bearer t, Bearer u"}, nil, 400, `Bearer error="invalid_request"`, ""},
		"a token that is over":  {judge{err: ErrInactive}, []string{"Bearer t"}, nil, 401, `Bearer error="invalid_token"`, ""},
		"a missing scope": {
			good,
			[]string{"Bearer t"},
			[]string{"read", "write"},
			403, `Bearer error="insufficient_scope", scope="read write"`, "",
		},
		"an outage that says until when": {judge{err: down}, []string{"Bearer t"}, nil, 503, "", "2"},
		"an outage":                      {judge{err: errors.New("no route")}, []string{"Bearer t"}, nil, 503, "", "1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reached := false
			h := Require(c.verifier, c.scopes...)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				reached = FromContext(r.Context()) == good.session
			}))
			r := httptest.NewRequest(http.MethodGet, "/?access_token=t", nil)
			r.Header["Authorization"] = c.header
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != c.status || reached != (c.status == 200) {
				t.Errorf("status %d, reached %t; want %d", w.Code, reached, c.status)
			}
			if got := w.Header().Get("WWW-Authenticate"); got != c.challenge {
				t.Errorf("WWW-Authenticate is %q, want %q", got, c.challenge)
			}
			if got := w.Header().Get("Retry-After"); got != c.retryAfter {
				t.Errorf("Retry-After is %q, want %q", got, c.retryAfter)
			}
		})
	}
}

func TestFromContextElsewhere(t *testing.T) {
	t.Parallel()
	if s := FromContext(t.Context()); s != nil {
		t.Errorf("somebody is there: %+v", s)
	}
}
