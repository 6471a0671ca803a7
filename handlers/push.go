package handlers

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/sessiongate/sessiongate/internal/problem"
	"github.com/sessiongate/sessiongate/session"
)

// pushSubscriber subscribes installations, as notify.Subscriptions does.
type pushSubscriber interface {
	// Add's errors for the caller are *session.FieldError and session.ErrTooMany.
	Add(ctx context.Context, userID string, a session.PushAddress, now time.Time) (id string, err error)
}

// pushList lists and removes subscriptions, as store.Postgres does.
type pushList interface {
	ListPush(ctx context.Context, userID string) ([]session.PushSubscription, error)
	// RemovePush returns session.ErrNotFound if the user has none of that id. What
	// happened before is still told there.
	RemovePush(ctx context.Context, userID, id string, now time.Time) error
}

// Push serves /sessions/push-subscriptions: where the user is told at once.
type Push struct {
	Subscriber pushSubscriber // nil where there are no push messages: then there is nothing here
	List       pushList
	VAPIDKey   string // the public one, which browsers subscribe with; "" without Web Push
	Now        func() time.Time
}

// Add serves POST: the JSON of a browser's PushSubscription, or fcm_token. An
// installation that is known keeps its id.
func (h *Push) Add(c *gin.Context) {
	if h.Subscriber == nil {
		problem.Write(c, session.ErrNotFound)
		return
	}
	var a session.PushAddress
	err := readJSON(c.Request, false, members{
		"endpoint":       take(&a.Endpoint),
		"expirationTime": func(value) error { return nil }, // browsers send it; a push service says so itself
		"keys": func(v value) error {
			return v.object(members{"p256dh": take(&a.P256dh), "auth": take(&a.Auth)})
		},
		"fcm_token": take(&a.FCMToken),
	})
	var id string
	if err == nil {
		id, err = h.Subscriber.Add(c.Request.Context(), caller(c).Token.UserID, a, h.Now())
	}
	if err != nil {
		problem.Write(c, pushProblem(err))
		return
	}
	e := newEncoder()
	e.open('{')
	e.text("id", id)
	e.close('}')
	e.send(c, http.StatusCreated)
}

func pushProblem(err error) error {
	if field, ok := errors.AsType[*session.FieldError](err); ok {
		return &problem.Invalid{Field: field.Field, Reason: field.Reason}
	}
	if errors.Is(err, session.ErrTooMany) {
		return &problem.Invalid{Reason: "the user has as many subscriptions as there may be; remove one first"}
	}
	return err
}

// Show serves GET.
func (h *Push) Show(c *gin.Context) {
	if h.Subscriber == nil {
		problem.Write(c, session.ErrNotFound)
		return
	}
	list, err := h.List.ListPush(c.Request.Context(), caller(c).Token.UserID)
	if err != nil {
		problem.Write(c, err)
		return
	}
	e := newEncoder()
	e.open('{')
	e.key("subscriptions")
	e.open('[')
	for i := range list {
		e.open('{')
		e.text("id", list[i].ID)
		e.text("service", list[i].Service)
		e.time("created_at", list[i].CreatedAt)
		e.close('}')
	}
	e.close(']')
	e.textIf("vapid_public_key", h.VAPIDKey)
	e.close('}')
	e.send(c, http.StatusOK)
}

// Remove serves DELETE.
func (h *Push) Remove(c *gin.Context) {
	if h.Subscriber == nil {
		problem.Write(c, session.ErrNotFound)
		return
	}
	if err := h.List.RemovePush(c.Request.Context(), caller(c).Token.UserID, c.Param("id"), h.Now()); err != nil {
		problem.Write(c, err)
		return
	}
	c.Status(http.StatusNoContent)
}
