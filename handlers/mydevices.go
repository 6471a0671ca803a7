package handlers

import (
	"context"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/sessiongate/sessiongate/internal/problem"
	"github.com/sessiongate/sessiongate/session"
)

// deviceKeeper keeps remembered devices, as store.Redis does.
type deviceKeeper interface {
	// Grants returns the user's, the one used last first.
	Grants(ctx context.Context, userID string) ([]session.Grant, error)
	// EndGrant forgets one and ends its session, and reports whether there was one.
	EndGrant(ctx context.Context, userID string, id session.ID, reason session.EndReason, op session.Event) (ended bool, err error)
}

// MyDevices serves /sessions/my-devices: the devices on which the user asked to be
// remembered.
type MyDevices struct {
	Devices deviceKeeper
	Origin  originOf
	Now     func() time.Time // Redis's clock
}

// List shows them all: there are no more than the cap on sessions.
func (h *MyDevices) List(c *gin.Context) {
	who := caller(c).Token
	grants, err := h.Devices.Grants(c.Request.Context(), who.UserID)
	if err != nil {
		problem.Write(c, err)
		return
	}
	e := newEncoder()
	e.open('{')
	e.key("devices")
	e.open('[')
	for i := range grants {
		e.device(&grants[i], grants[i].SessionID == who.SessionID)
	}
	e.close(']')
	e.close('}')
	e.send(c, http.StatusOK)
}

// device writes a remembered device. sid is the last session that it began, which may
// be over.
func (e *encoder) device(g *session.Grant, current bool) {
	e.open('{')
	e.text("id", string(g.ID))
	e.text("device", g.Device.String())
	e.textIf("device_id", g.Device.ID)
	e.textIf("platform", g.Device.Platform)
	e.text("ip_address", g.Place.IP)
	e.textIf("country", g.Place.Country)
	e.time("created_at", g.ID.Time())
	e.time("last_used", g.UsedAt)
	e.time("expires_at", g.ExpiresAt)
	e.text("sid", string(g.SessionID))
	e.flag("current", current)
	e.close('}')
}

// Forget serves DELETE: the device is remembered no longer, and signed out. Whatever
// is not a remembered device of this user's is not found.
func (h *MyDevices) Forget(c *gin.Context) {
	id, err := session.ParseID(c.Param("id"))
	if err != nil {
		problem.Write(c, session.ErrNotFound)
		return
	}
	op := newEvent(h.Now(), h.Origin(c.Request))
	op.Action = session.ActionLogout
	ended, err := h.Devices.EndGrant(c.Request.Context(), caller(c).Token.UserID, id, session.EndRevoked, op)
	switch {
	case err != nil:
		problem.Write(c, err)
	case !ended:
		problem.Write(c, session.ErrNotFound)
	default:
		c.Status(http.StatusNoContent)
	}
}
