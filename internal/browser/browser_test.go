package browser

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/internal/problem"
	"github.com/sessiongate/sessiongate/session"
)

func TestCookies(t *testing.T) {
	t.Parallel()
	h := http.Header{}
	lax, strict := Cookies{SameSite: http.SameSiteLaxMode}, Cookies{SameSite: http.SameSiteStrictMode}
	for _, err := range []error{
		lax.SetSession(h, "a.b.c", 90*time.Second), strict.SetRemember(h, "r", time.Hour), strict.SetSession(h, "late", time.Millisecond),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	lax.ClearSession(h)
	strict.ClearRemember(h)
	want := []string{
		"__Host-session=a.b.c; Path=/; Max-Age=90; HttpOnly; Secure; SameSite=Lax",
		"__Host-remember=r; Path=/; Max-Age=3600; HttpOnly; Secure; SameSite=Strict",
		"__Host-session=late; Path=/; Max-Age=1; HttpOnly; Secure; SameSite=Strict",
		"__Host-session=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax",
		"__Host-remember=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Strict",
	}
	for i, line := range h["Set-Cookie"] {
		if line != want[i] {
			t.Errorf("%d: %q, want %q", i, line, want[i])
		}
	}
	room := maxCookieBytes - len(SessionCookie)
	if err := lax.SetSession(h, strings.Repeat("x", room), time.Hour); err != nil {
		t.Errorf("the longest: %v", err)
	}
	if err := lax.SetSession(h, strings.Repeat("x", room+1), time.Hour); !errors.Is(err, ErrTooLong) || len(h["Set-Cookie"]) != 6 {
		t.Errorf("one byte longer: %v", err)
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		lines []string
		want  string
		twice bool
	}{
		{"none", nil, "", false},
		{"another", []string{"a=b; session=x; __host-session=y; __Host-sessionx=z"}, "", false},
		{"alone", []string{"__Host-session=x"}, "x", false},
		{"among others", []string{"a=b;__Host-session=x ; c", "d=e"}, "x", false},
		{"quoted", []string{`__Host-session="x"`}, "x", false},
		{"with equal signs", []string{"__Host-session=x=y="}, "x=y=", false},
		{"empty", []string{"__Host-session="}, "", false},
		{"twice", []string{"__Host-session=x; __Host-session=y"}, "", true},
		{"twice the same", []string{"__Host-session=x", "__Host-session=x"}, "", true},
		{"twice, the first empty", []string{"__Host-session=; __Host-session=y"}, "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := Read(http.Header{"Cookie": tt.lines}, SessionCookie)
			if got != tt.want || (err != nil) != tt.twice {
				t.Errorf("%q, %v", got, err)
			}
			if _, ok := errors.AsType[*problem.Invalid](err); err != nil && !ok {
				t.Errorf("the error is %v, want the client's mistake", err)
			}
		})
	}
}

func TestIsOver(t *testing.T) {
	t.Parallel()
	for _, err := range []error{session.ErrEnded, session.ErrTokenExpired, session.ErrReused, session.ErrInvalidToken} {
		if !IsOver(fmt.Errorf("store: %w", err)) {
			t.Errorf("%v: not over", err)
		}
		if IsOver(fmt.Errorf("store: %w: %w", session.ErrUnavailable, err)) {
			t.Errorf("%v, but nobody can say: over", err)
		}
	}
	for _, err := range []error{nil, session.ErrSuperseded, session.ErrUnavailable, problem.ErrUnauthenticated, problem.ErrCrossOrigin} {
		if IsOver(err) {
			t.Errorf("%v: over", err)
		}
	}
}

func TestOrigins(t *testing.T) {
	t.Parallel()
	o, err := NewOrigins([]string{"https://app.example.com"}, "https://login.example.com/base")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, method, site, origin string
		passes                     bool
	}{
		{"no browser", "POST", "", "", true},
		{"our own page", "POST", "same-origin", "https://login.example.com", true},
		{"the address bar", "POST", "none", "", true},
		{"an old browser behind a proxy that keeps Host", "POST", "", "http://gateway.internal", true},
		{"an old browser behind a proxy that changes Host", "POST", "", "https://login.example.com", true},
		{"an allowed origin", "POST", "same-site", "https://app.example.com", true},
		{"another site", "POST", "cross-site", "https://evil.example", false},
		{"another site, unnamed", "DELETE", "cross-site", "", false},
		{"another host of the site", "POST", "same-site", "https://x.example.com", false},
		{"an old browser on another site", "POST", "", "https://evil.example", false},
		{"a sandboxed page", "POST", "cross-site", "null", false},
		{"a sandboxed page of an old browser", "POST", "", "null", false},
		{"an allowed origin without TLS", "POST", "cross-site", "http://app.example.com", false},
		{"reading", "GET", "cross-site", "https://evil.example", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(tt.method, "http://gateway.internal/sessions/logout", nil)
			if tt.site != "" {
				r.Header.Set("Sec-Fetch-Site", tt.site)
			}
			if tt.origin != "" {
				r.Header.Set("Origin", tt.origin)
			}
			if err := o.Check(r); (err == nil) != tt.passes || err != nil && !errors.Is(err, problem.ErrCrossOrigin) {
				t.Errorf("%v", err)
			}
		})
	}
	if !o.Any() || !o.Allows("https://app.example.com") || o.Allows("https://login.example.com") || o.Allows("null") || o.Allows("") {
		t.Error("the wrong origins may read")
	}
	for _, bad := range []string{"null", "*", "app.example.com", "https://app.example.com/"} {
		if _, err := NewOrigins([]string{bad}, ""); err == nil {
			t.Errorf("%q is taken for an origin", bad)
		}
	}
}
