package handlers

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/sessiongate/sessiongate/internal/problem"
	"github.com/sessiongate/sessiongate/login"
)

// passwordService changes passwords, as login.Service does.
type passwordService interface {
	// ChangePassword returns how many other sessions it ended. Its errors are
	// session.ErrWrongPassword, ErrOverloaded and ErrUnavailable.
	ChangePassword(ctx context.Context, r login.PasswordRequest) (ended int, err error)
}

// Password serves POST /sessions/password.
type Password struct {
	Service passwordService
	Origin  originOf
}

// Handle replaces the password of who is signed in and knows it, and ends their other
// sessions. A current password that is wrong is a 403: the session goes on.
func (h *Password) Handle(c *gin.Context) {
	t := caller(c).Token
	r := login.PasswordRequest{UserID: t.UserID, SessionID: t.SessionID, Origin: h.Origin(c.Request)}
	err := readJSON(c.Request, false, members{
		"current_password": take(&r.Current),
		"new_password":     take(&r.New),
	})
	if err == nil {
		err = checkPasswords(&r)
	}
	if err != nil {
		problem.Write(c, err)
		return
	}
	ended, err := h.Service.ChangePassword(c.Request.Context(), r)
	if err != nil {
		problem.Write(c, err)
		return
	}
	e := newEncoder()
	e.open('{')
	e.number("revoked", int64(ended))
	e.close('}')
	e.send(c, http.StatusOK)
}

func checkPasswords(r *login.PasswordRequest) error {
	if r.Current == "" {
		return &problem.Invalid{Field: "current_password", Reason: "must not be empty"}
	}
	if err := login.CheckPassword(r.New); err != nil {
		return &problem.Invalid{Field: "new_password", Reason: err.Error()}
	}
	if r.New == r.Current {
		return &problem.Invalid{Field: "new_password", Reason: "must be another one"}
	}
	return nil
}
