package handlers

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/sessiongate/sessiongate/internal/browser"
	"github.com/sessiongate/sessiongate/internal/problem"
	"github.com/sessiongate/sessiongate/login"
	"github.com/sessiongate/sessiongate/session"
)

// resumeService signs remembered devices in, as login.Service does.
type resumeService interface {
	// Resume's errors are session.ErrEnded, ErrReused, ErrTooManySessions and
	// ErrUnavailable.
	Resume(ctx context.Context, r login.ResumeRequest) (session.Session, error)
}

// Resume serves POST /sessions/resume: a remembered device begins a new session.
type Resume struct {
	Service resumeService
	Origin  originOf
	Grant   *Grant
	Browser *Browser
}

// Handle opens a session for who presents the device's refresh token, and hands out
// the token's successor. The same token may be sent again, in parallel or after a lost
// answer: it gets the same successor, and the same session. A browser has the token in
// its cookie, and says "cookie" instead; a session that it still had ends.
func (h *Resume) Handle(c *gin.Context) {
	r := login.ResumeRequest{Origin: h.Origin(c.Request)}
	text, as, err := h.read(c, &r)
	var old session.Token
	if err == nil && as == inCookie {
		old, err = h.Browser.current(c.Request)
	}
	if err != nil {
		problem.Write(c, err)
		return
	}
	var s session.Session
	r.Token, err = session.ParseRefreshToken(text)
	if err == nil {
		s, err = h.Service.Resume(c.Request.Context(), r)
	}
	if err != nil {
		err = notRemembered(err)
		if as == inCookie && errors.Is(err, session.ErrNotRemembered) {
			h.Browser.forget(c)
		}
		problem.Write(c, err)
		return
	}
	if old.SessionID != s.ID { // else the answer was lost, but for the cookies
		if err := h.Browser.replace(c, old); err != nil {
			problem.Write(c, err)
			return
		}
	}
	at := h.Grant.Now()
	if at.Sub(s.RotatedAt) < time.Second { // else it began with an earlier request
		at = s.RotatedAt
	}
	h.Grant.send(c, http.StatusCreated, &s, at, as)
}

// read returns the refresh token, and how the client holds it.
func (h *Resume) read(c *gin.Context, r *login.ResumeRequest) (text string, as carrier, err error) {
	if err = h.Browser.check(c.Request); err != nil {
		return "", inBody, err
	}
	err = readJSON(c.Request, false, members{
		"refresh_token": take(&text),
		"device_info":   takeDevice(&r.Device),
		"cookie":        takeFlag((*bool)(&as)),
	})
	switch {
	case err != nil:
	case as == inCookie && text != "":
		err = &problem.Invalid{Field: "refresh_token", Reason: "must not be there with cookie: the browser has it"}
	case as == inCookie:
		text, err = browser.Read(c.Request.Header, browser.RememberCookie)
	case text == "":
		err = &problem.Invalid{Field: "refresh_token", Reason: "must not be empty"}
	}
	return text, as, err
}

// notRemembered makes one answer of all that says no to a refresh token: which it is
// is for the audit log. The device has to ask for the password.
func notRemembered(err error) error {
	for _, no := range []error{session.ErrInvalidToken, session.ErrEnded, session.ErrReused, session.ErrInvalidCredentials} {
		if errors.Is(err, no) {
			return session.ErrNotRemembered
		}
	}
	return err
}
