package handlers

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/sessiongate/sessiongate/internal/problem"
	"github.com/sessiongate/sessiongate/login"
	"github.com/sessiongate/sessiongate/session"
)

// loginService signs users in, as login.Service does.
type loginService interface {
	// Login's errors are session.ErrInvalidCredentials, ErrOverloaded,
	// ErrUnavailable and *RateLimitedError.
	Login(ctx context.Context, r login.Request) (session.Session, error)
}

// Login serves POST /sessions/login: a user's own sign-in.
type Login struct {
	Service loginService
	Origin  originOf
	Grant   *Grant
	Browser *Browser
}

// Handle opens a session for who knows the password. Every way to fail at that
// looks the same. With "cookie" the browser gets the token in a cookie, and the
// session that it had in there until now ends; a device that it remembered is
// remembered no longer, unless "remember" makes it another.
func (h *Login) Handle(c *gin.Context) {
	r := login.Request{Origin: h.Origin(c.Request)}
	as := inBody
	err := h.Browser.check(c.Request)
	if err == nil {
		err = readJSON(c.Request, false, members{
			"identifier":  take(&r.Identifier),
			"password":    take(&r.Password),
			"device_info": takeDevice(&r.Device),
			"remember":    takeFlag(&r.Remember),
			"cookie":      takeFlag((*bool)(&as)),
		})
	}
	if err == nil {
		err = checkLogin(&r)
	}
	var old session.Token
	if err == nil && as == inCookie {
		old, err = h.Browser.current(c.Request)
	}
	var s session.Session
	if err == nil {
		s, err = h.Service.Login(c.Request.Context(), r)
	}
	if err == nil {
		err = h.Browser.replace(c, old)
	}
	if err != nil {
		problem.Write(c, err)
		return
	}
	if as == inCookie && !r.Remember {
		h.Browser.forget(c) // or the next to resume would be whoever was here before
	}
	h.Grant.send(c, http.StatusCreated, &s, s.RotatedAt, as)
}

// checkLogin finds what can't be an attempt to sign in. How an identifier or a
// password must look is not for strangers to find out here.
func checkLogin(r *login.Request) error {
	switch {
	case r.Identifier == "":
		return &problem.Invalid{Field: "identifier", Reason: "must not be empty"}
	case r.Password == "":
		return &problem.Invalid{Field: "password", Reason: "must not be empty"}
	}
	return nil
}
