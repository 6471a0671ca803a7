package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lib/pq"

	"github.com/sessiongate/sessiongate/session"
	schema "github.com/sessiongate/sessiongate/sql"
)

var (
	insertUser             = schema.Query("insert_user")
	selectUser             = schema.Query("select_user")
	selectUserByIdentifier = schema.Query("select_user_by_identifier")
	selectUsers            = schema.Query("select_users")
	updateUserPassword     = schema.Query("update_user_password")
	updateUserActive       = schema.Query("update_user_active")
	eraseUser              = schema.Query("erase_user")
	selectLockedOutUsers   = schema.Query("select_locked_out_users")
	updateUserEmail        = schema.Query("update_user_email")
)

// userRow is a row of users as the statements select it.
type userRow struct {
	ID           string         `db:"id"`
	Identifier   string         `db:"identifier"`
	PasswordHash string         `db:"password_hash"`
	IsActive     bool           `db:"is_active"`
	Email        string         `db:"email"`
	Roles        pq.StringArray `db:"roles"`
	CreatedAt    time.Time      `db:"created_at"`
}

func (r *userRow) user() session.User {
	return session.User{
		ID:           r.ID,
		Identifier:   r.Identifier,
		PasswordHash: r.PasswordHash,
		Disabled:     !r.IsActive,
		Roles:        r.Roles,
		Email:        r.Email,
		CreatedAt:    r.CreatedAt.UTC(),
	}
}

// UserByIdentifier returns the user that signs in by this name, which has to be
// canonical, or session.ErrNotFound. One round trip.
func (p *Postgres) UserByIdentifier(ctx context.Context, identifier string) (session.User, error) {
	return p.user(ctx, "get user by identifier", selectUserByIdentifier, identifier)
}

// User returns the user with this id, a stub too, or session.ErrNotFound. One
// round trip.
func (p *Postgres) User(ctx context.Context, id string) (session.User, error) {
	return p.user(ctx, "get user", selectUser, id)
}

func (p *Postgres) user(ctx context.Context, what, statement, key string) (session.User, error) {
	if !storable(key) {
		return session.User{}, pgError(what, session.ErrNotFound)
	}
	var r userRow
	switch err := p.db.GetContext(ctx, &r, statement, key); {
	case errors.Is(err, sql.ErrNoRows):
		return session.User{}, pgError(what, session.ErrNotFound)
	case err != nil:
		return session.User{}, pgError(what, err)
	}
	return r.user(), nil
}

// CreateUser makes a user. It returns ErrExists if the id or the identifier is
// taken, by a stub too. A zero CreatedAt becomes now. Repeated, it returns
// ErrExists.
func (p *Postgres) CreateUser(ctx context.Context, u session.User) error {
	if u.CreatedAt.IsZero() {
		u.CreatedAt = time.Now()
	}
	roles := pq.StringArray(u.Roles)
	if roles == nil {
		roles = pq.StringArray{}
	}
	_, err := p.db.ExecContext(ctx, insertUser,
		u.ID, u.Identifier, u.PasswordHash, !u.Disabled, roles, u.CreatedAt, u.Email)
	if pq.As(err, "23505") != nil { // unique_violation
		err = ErrExists
	}
	return pgError("create user", err)
}

// SetPassword replaces the user's password hash if it still is oldHash; "" as
// oldHash replaces any. It returns session.ErrNotFound if there is no such user
// and ErrConflict if the hash is another one by now.
func (p *Postgres) SetPassword(ctx context.Context, id, oldHash, newHash string) error {
	const what = "set password"
	n, err := p.update(ctx, updateUserPassword, id, oldHash, newHash)
	if err != nil || n > 0 {
		return pgError(what, err)
	}
	if _, err := p.User(ctx, id); err != nil {
		return err
	}
	return pgError(what, ErrConflict)
}

// SetDisabled says whether the user may not sign in. Sessions that they have are
// another matter. It returns session.ErrNotFound if there is no such user.
func (p *Postgres) SetDisabled(ctx context.Context, id string, disabled bool) error {
	n, err := p.update(ctx, updateUserActive, id, !disabled)
	if err == nil && n == 0 {
		err = session.ErrNotFound
	}
	return pgError("set disabled", err)
}

// SetEmail says where the user is told of what happens to their sessions; "" for
// nowhere. It returns session.ErrNotFound if there is no such user.
func (p *Postgres) SetEmail(ctx context.Context, id, email string) error {
	n, err := p.update(ctx, updateUserEmail, id, email)
	if err == nil && n == 0 {
		err = session.ErrNotFound
	}
	return pgError("set email", err)
}

// ListUsers returns the first limit users, oldest first, without their password
// hashes. It reads the whole table.
func (p *Postgres) ListUsers(ctx context.Context, limit int) ([]session.User, error) {
	var rows []userRow
	if err := p.db.SelectContext(ctx, &rows, selectUsers, limit); err != nil {
		return nil, pgError("list users", err)
	}
	users := make([]session.User, len(rows))
	for i := range rows {
		users[i] = rows[i].user()
	}
	return users, nil
}

// EraseUser takes from the user what they signed in with: nobody can sign in as them
// again. It returns session.ErrNotFound if there is no such user, and may be repeated.
func (p *Postgres) EraseUser(ctx context.Context, id string) error {
	n, err := p.update(ctx, eraseUser, id)
	if err == nil && n == 0 {
		err = session.ErrNotFound
	}
	return pgError("erase user", err)
}

// LockedOut returns up to limit users who may not sign in and have sessions that have
// not ended. One round trip.
func (p *Postgres) LockedOut(ctx context.Context, limit int) (ids []string, err error) {
	err = p.db.SelectContext(ctx, &ids, selectLockedOutUsers, limit)
	return ids, pgError("list locked-out users", err)
}

func (p *Postgres) update(ctx context.Context, statement string, args ...any) (rows int64, err error) {
	res, err := p.db.ExecContext(ctx, statement, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// storable says whether s can be a text in Postgres. One that can't names nobody
// there; asking would be an error.
func storable(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }
