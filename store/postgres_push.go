package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/sessiongate/sessiongate/session"
	schema "github.com/sessiongate/sessiongate/sql"
)

var (
	insertPushSubscription  = schema.Query("insert_push_subscription")
	selectPushSubscriptions = schema.Query("select_push_subscriptions")
	selectPushSubscription  = schema.Query("select_push_subscription")
	removePushSubscription  = schema.Query("remove_push_subscription")
	deletePushSubscription  = schema.Query("delete_push_subscription")
)

// pushRow is a row of push_subscriptions as the statements select it.
type pushRow struct {
	ID        string    `db:"id"`
	UserID    string    `db:"user_id"`
	Service   string    `db:"service"`
	Digest    string    `db:"digest"`
	Sealed    []byte    `db:"sealed"`
	CreatedAt time.Time `db:"created_at"`
}

func (r *pushRow) subscription() session.PushSubscription {
	s := session.PushSubscription(*r)
	s.CreatedAt = r.CreatedAt.UTC()
	return s
}

// AddPush lets an installation be told of what happens to the user and returns
// the id of the subscription: the one it has already, if the user has registered
// it before. It returns session.ErrTooMany if the user has
// session.MaxPushSubscriptions others. It may be repeated.
func (p *Postgres) AddPush(ctx context.Context, s session.PushSubscription) (id string, err error) {
	err = p.db.GetContext(ctx, &id, insertPushSubscription,
		s.ID, s.UserID, s.Service, s.Digest, s.Sealed, s.CreatedAt, session.MaxPushSubscriptions)
	if errors.Is(err, sql.ErrNoRows) {
		err = session.ErrTooMany
	}
	return id, pgError("add push subscription", err)
}

// ListPush returns the user's subscriptions, oldest first.
func (p *Postgres) ListPush(ctx context.Context, userID string) ([]session.PushSubscription, error) {
	var rows []pushRow
	if err := p.db.SelectContext(ctx, &rows, selectPushSubscriptions, userID); err != nil {
		return nil, pgError("list push subscriptions", err)
	}
	list := make([]session.PushSubscription, len(rows))
	for i := range rows {
		list[i] = rows[i].subscription()
	}
	return list, nil
}

// Push returns the subscription of that id, also one that has just been removed,
// or session.ErrNotFound.
func (p *Postgres) Push(ctx context.Context, id string) (session.PushSubscription, error) {
	var row pushRow
	if err := p.db.GetContext(ctx, &row, selectPushSubscription, id); errors.Is(err, sql.ErrNoRows) {
		return session.PushSubscription{}, pgError("get push subscription", session.ErrNotFound)
	} else if err != nil {
		return session.PushSubscription{}, pgError("get push subscription", err)
	}
	return row.subscription(), nil
}

// RemovePush ends a subscription of the user's; what happened before is still told
// there. It returns session.ErrNotFound if the user has none of that id.
func (p *Postgres) RemovePush(ctx context.Context, userID, id string, now time.Time) error {
	const what = "remove push subscription"
	if uuid.Validate(id) != nil {
		return pgError(what, session.ErrNotFound)
	}
	n, err := p.update(ctx, removePushSubscription, id, userID, now)
	if err == nil && n == 0 {
		err = session.ErrNotFound
	}
	return pgError(what, err)
}

// ForgetPush deletes a subscription that its push service no longer knows.
func (p *Postgres) ForgetPush(ctx context.Context, id string) error {
	_, err := p.update(ctx, deletePushSubscription, id)
	return pgError("forget push subscription", err)
}
