// Package browser is how a browser holds a session: in cookies that no script can
// read, and that no other site's page can put to use.
//
// A program keeps its token itself and sends it in the Authorization header. A
// browser that was signed in with "cookie": true gets it as SessionCookie instead
// and never sees it. Since it sends that with every request, whoever made it, a
// request that counts because of a cookie must come from our own pages or from
// those of an origin that the configuration names (Origins).
package browser

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sessiongate/sessiongate/internal/problem"
	"github.com/sessiongate/sessiongate/session"
)

// The cookies. With this prefix browsers take them only with Secure and Path=/ and
// without Domain, so that no other host of the site can plant one (RFC 6265bis
// §4.1.3.2).
const (
	SessionCookie  = "__Host-session"  // the access token
	RememberCookie = "__Host-remember" // what opens the device's next session
)

// maxCookieBytes is the longest name and value together that browsers keep (RFC
// 6265bis §5.6). They drop a longer cookie without a word.
const maxCookieBytes = 4096

// ErrTooLong: the token does not fit into a cookie.
var ErrTooLong = errors.New("browser: the token is too long for a cookie")

// Cookies sets and clears cookies. They are HttpOnly and Secure always.
type Cookies struct {
	SameSite http.SameSite // Lax or Strict
}

// SetSession hands the token to the browser, for as long as it is good.
func (k Cookies) SetSession(h http.Header, token string, life time.Duration) error {
	return k.set(h, SessionCookie, token, life)
}

// SetRemember hands the browser what opens its next session.
func (k Cookies) SetRemember(h http.Header, token string, life time.Duration) error {
	return k.set(h, RememberCookie, token, life)
}

// ClearSession has the browser forget the token.
func (k Cookies) ClearSession(h http.Header) { k.clear(h, SessionCookie) }

// ClearRemember has the browser forget how to come back.
func (k Cookies) ClearRemember(h http.Header) { k.clear(h, RememberCookie) }

func (k Cookies) set(h http.Header, name, value string, life time.Duration) error {
	if len(name)+len(value) > maxCookieBytes {
		return ErrTooLong
	}
	k.write(h, name, value, max(int64(life/time.Second), 1))
	return nil
}

func (k Cookies) clear(h http.Header, name string) { k.write(h, name, "", 0) }

// write is not http.SetCookie because that takes a Max-Age of 0 for none.
func (k Cookies) write(h http.Header, name, value string, seconds int64) {
	sameSite := "Lax"
	if k.SameSite == http.SameSiteStrictMode {
		sameSite = "Strict"
	}
	h.Add("Set-Cookie", name+"="+value+"; Path=/; Max-Age="+strconv.FormatInt(seconds, 10)+
		"; HttpOnly; Secure; SameSite="+sameSite)
}

// Read returns the value of a cookie in the lines of the Cookie header; "" if it is
// not there. A cookie that is there twice is refused: which of them counts is for
// nobody to guess, and a browser that keeps to the rules has no two of ours.
func Read(h http.Header, name string) (value string, err error) {
	found := false
	for _, line := range h["Cookie"] {
		for pair := range strings.SplitSeq(line, ";") {
			n, v, _ := strings.Cut(strings.Trim(pair, " \t"), "=")
			if n != name {
				continue
			}
			if found {
				return "", &problem.Invalid{Field: "Cookie", Reason: "must have " + name + " once"}
			}
			value, found = strings.Trim(v, `"`), true
		}
	}
	return value, nil
}

// IsOver says whether the error means that the token in the cookie will never be
// good again, so that the browser had better forget it. A token that a refresh has
// replaced is another matter, for the browser may hold the successor by now; and
// what a store can't say is no reason for anything.
func IsOver(err error) bool {
	if errors.Is(err, session.ErrUnavailable) {
		return false
	}
	for _, over := range []error{
		session.ErrEnded, session.ErrTokenExpired, session.ErrReused, session.ErrInvalidToken,
	} {
		if errors.Is(err, over) {
			return true
		}
	}
	return false
}
