package handlers

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/sessiongate/sessiongate/internal/browser"
	"github.com/sessiongate/sessiongate/session"
)

// Browser is what a sign-in does beyond its own work where a browser may be at the
// other end. Login and whatever else opens a session for a person share one.
type Browser struct {
	Origins  *browser.Origins
	Tokens   tokenVerifier
	Sessions sessionRevoker
	Origin   originOf
	Now      func() time.Time // Redis's clock
	Cookies  browser.Cookies
}

// signedInAgain is what the log says of a session that gave way to another of the
// same browser.
const signedInAgain = "signed in again"

// check refuses a sign-in that another site's page has a browser make: the user
// would go on under an account that its owner can look into (login CSRF).
func (b *Browser) check(r *http.Request) error { return b.Origins.Check(r) }

// current returns the token in the browser's cookie; one without a session if
// there is none, or none of ours that is still good.
func (b *Browser) current(r *http.Request) (session.Token, error) {
	raw, err := browser.Read(r.Header, browser.SessionCookie)
	if err != nil || raw == "" {
		return session.Token{}, err
	}
	t, err := b.Tokens.Verify(raw)
	if err != nil {
		return session.Token{}, nil
	}
	return t, nil
}

// replace ends the session that the browser has had until now: its cookie is about
// to be overwritten, and nobody could end it any more. A new session never takes
// over anything of the old one.
func (b *Browser) replace(c *gin.Context, old session.Token) error {
	if old.SessionID == "" {
		return nil
	}
	op := newEvent(b.Now(), b.Origin(c.Request))
	op.Action, op.Reason = session.ActionLogout, signedInAgain
	_, err := b.Sessions.Revoke(c.Request.Context(), old.UserID, old.SessionID, session.EndLogout, op)
	return err
}

// forget has the browser forget how to come back, if it knows.
func (b *Browser) forget(c *gin.Context) {
	if raw, err := browser.Read(c.Request.Header, browser.RememberCookie); err != nil || raw != "" {
		b.Cookies.ClearRemember(c.Writer.Header())
	}
}
