package handlers

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

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
}

// Handle opens a session for who presents the device's refresh token, and hands out
// the token's successor. The same token may be sent again, in parallel or after a lost
// answer: it gets the same successor, and the same session.
func (h *Resume) Handle(c *gin.Context) {
	r := login.ResumeRequest{Origin: h.Origin(c.Request)}
	var text string
	err := readJSON(c.Request, false, members{
		"refresh_token": take(&text),
		"device_info":   takeDevice(&r.Device),
	})
	if err == nil && text == "" {
		err = &problem.Invalid{Field: "refresh_token", Reason: "must not be empty"}
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
		problem.Write(c, notRemembered(err))
		return
	}
	at := h.Grant.Now()
	if at.Sub(s.RotatedAt) < time.Second { // else it began with an earlier request
		at = s.RotatedAt
	}
	h.Grant.send(c, http.StatusCreated, &s, at)
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
