package command

import (
	"context"
	"errors"
	"fmt"
	"net/mail"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"github.com/sessiongate/sessiongate/internal/config"
	"github.com/sessiongate/sessiongate/login"
	"github.com/sessiongate/sessiongate/session"
	"github.com/sessiongate/sessiongate/store"
)

type usersCommand struct {
	Add     userAddCommand     `cmd:"" help:"Add a user who can sign in. The password is read from standard input."`
	List    userListCommand    `cmd:"" help:"List users, oldest first."`
	Disable userDisableCommand `cmd:"" help:"Keep a user from signing in, and end their sessions."`
	Email   userEmailCommand   `cmd:"" help:"Say where a user is told of unusual sign-ins."`
	Enable  userEnableCommand  `cmd:"" help:"Let a disabled user sign in again."`
	Erase   userEraseCommand   `cmd:"" help:"End a user's sessions, forget their devices, and take away what they sign in with, for good."`
	Passwd  userPasswdCommand  `cmd:"" help:"Set a user's password, and end their sessions. It is read from standard input."`
}

// who names a user on the command line.
type who struct {
	User string `arg:"" help:"What the user types to sign in, such as an e-mail address."`
	ID   bool   `name:"id" help:"USER is a user id (sub), not what the user types."`
}

func (w who) find(ctx context.Context, db *store.Postgres) (session.User, error) {
	find, name := db.User, w.User
	if !w.ID {
		canonical, err := login.Canonical(w.User)
		if err != nil {
			return session.User{}, fmt.Errorf("%w: %q can't name a user", ErrUsage, w.User)
		}
		find, name = db.UserByIdentifier, canonical
	}
	user, err := find(ctx, name)
	if errors.Is(err, session.ErrNotFound) {
		return user, fmt.Errorf("there is no user %s", name)
	}
	return user, err
}

type userAddCommand struct {
	Identifier   string   `arg:"" help:"What the user types to sign in, such as an e-mail address."`
	UserID       string   `name:"user-id" help:"The application's own id of the user (sub). Default: a new UUID." placeholder:"ID"`
	Email        string   `help:"Where the user is told of unusual sign-ins." placeholder:"ADDRESS"`
	Role         []string `help:"A role of the user's; may be repeated."`
	PasswordFile string   `help:"Read the password from this file." placeholder:"FILE" type:"path"`
}

func (c userAddCommand) Run(ctx context.Context, in *invocation) error {
	identifier, err := login.Canonical(c.Identifier)
	if err != nil {
		return fmt.Errorf("%w: %q can't be what a user types to sign in: want 1 to %d bytes of visible text",
			ErrUsage, c.Identifier, login.MaxIdentifierBytes)
	}
	if err := checkEmail(c.Email); err != nil {
		return err
	}
	user := session.User{ID: c.UserID, Identifier: identifier, Roles: c.Role, Email: c.Email}
	if user.ID == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return fmt.Errorf("command: make a user id: %w", err)
		}
		user.ID = id.String()
	}
	if err := session.CheckUserID(user.ID); err != nil {
		return fmt.Errorf("%w: %w", ErrUsage, err)
	}
	if err := session.CheckRoles(user.Roles); err != nil {
		return fmt.Errorf("%w: roles %w", ErrUsage, err)
	}
	cfg, db, err := in.users("passwords")
	if err != nil {
		return err
	}
	defer db.Close()
	if user.PasswordHash, err = in.newHash(ctx, cfg, c.PasswordFile); err != nil {
		return err
	}
	if err := db.CreateUser(ctx, user); errors.Is(err, store.ErrExists) {
		return fmt.Errorf("there is a user %s already, or one with the id %s", identifier, user.ID)
	} else if err != nil {
		return err
	}
	in.printf("%s\n", user.ID)
	return nil
}

// checkEmail lets pass an address alone, without a name, and "".
func checkEmail(s string) error {
	a, err := mail.ParseAddress(s)
	if s != "" && (err != nil || a.Address != s || len(s) > 254) {
		return fmt.Errorf("%w: %q is no e-mail address", ErrUsage, s)
	}
	return nil
}

type userEmailCommand struct {
	who
	Address string `arg:"" help:"The address; \"\" for none."`
}

func (c userEmailCommand) Run(ctx context.Context, in *invocation) error {
	if err := checkEmail(c.Address); err != nil {
		return err
	}
	_, db, err := in.users()
	if err != nil {
		return err
	}
	defer db.Close()
	user, err := c.find(ctx, db)
	if err != nil {
		return err
	}
	if err := db.SetEmail(ctx, user.ID, c.Address); err != nil {
		return err
	}
	in.printf("The address has been set.\n")
	return nil
}

type userListCommand struct {
	Limit int `default:"1000" help:"At most so many."`
}

func (c userListCommand) Run(ctx context.Context, in *invocation) error {
	if c.Limit < 1 {
		return fmt.Errorf("%w: --limit is %d, want at least 1", ErrUsage, c.Limit)
	}
	_, db, err := in.users()
	if err != nil {
		return err
	}
	defer db.Close()
	users, err := db.ListUsers(ctx, c.Limit)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(in.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tIDENTIFIER\tSTATE\tROLES\tCREATED")
	for _, u := range users {
		state := "active"
		if u.Disabled {
			state = "disabled"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", u.ID, dash(u.Identifier), state, dash(strings.Join(u.Roles, ",")),
			u.CreatedAt.UTC().Format(time.RFC3339))
	}
	return w.Flush()
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// ending is what happens to the sessions of a user who was locked out.
type ending struct {
	KeepSessions bool `help:"Leave the user signed in where they are."`
}

func (e ending) end(
	ctx context.Context, in *invocation, cfg config.Config, user session.User, reason session.EndReason,
) error {
	if e.KeepSessions {
		return nil
	}
	r, err := openRedis(ctx, cfg)
	if err != nil {
		return fmt.Errorf("the user's sessions go on: %w", err)
	}
	defer r.Close()
	now := r.Clock()
	n, _, err := r.RevokeUser(ctx, user.ID, "", reason, session.Event{
		ID: session.NewEventID(now), CreatedAt: now, Action: session.ActionLogout, Success: true,
	})
	if err != nil {
		return fmt.Errorf("the user's sessions go on: %w", err)
	}
	in.printf("Sessions ended: %d.\n", n)
	return nil
}

// sections are the settings that ending sessions needs.
func (e ending) sections() []string {
	if e.KeepSessions {
		return nil
	}
	return []string{"redis"}
}

type userDisableCommand struct {
	who
	ending
}

func (c userDisableCommand) Run(ctx context.Context, in *invocation) error {
	cfg, db, err := in.users(c.sections()...)
	if err != nil {
		return err
	}
	defer db.Close()
	user, err := c.find(ctx, db)
	if err != nil {
		return err
	}
	// Disabled first: sessions that end while the user can still sign in
	// would come again.
	if err := db.SetDisabled(ctx, user.ID, true); err != nil {
		return err
	}
	in.printf("%s can't sign in any more.\n", c.User)
	return c.end(ctx, in, cfg, user, session.EndDisabled)
}

type userEraseCommand struct {
	who
	Yes bool `help:"There is no way back, and I mean it." required:""`
}

// Run ends the sessions before and after: before, so that they end for this reason;
// after, for those that began in between.
func (c userEraseCommand) Run(ctx context.Context, in *invocation) error {
	var all ending
	cfg, db, err := in.users(all.sections()...)
	if err != nil {
		return err
	}
	defer db.Close()
	user, err := c.find(ctx, db)
	if err != nil {
		return err
	}
	if err := all.end(ctx, in, cfg, user, session.EndErased); err != nil {
		return err
	}
	if err := db.EraseUser(ctx, user.ID); err != nil {
		return err
	}
	in.printf("%s can't sign in any more, and nobody will as them.\n", c.User)
	return all.end(ctx, in, cfg, user, session.EndErased)
}

type userEnableCommand struct{ who }

func (c userEnableCommand) Run(ctx context.Context, in *invocation) error {
	_, db, err := in.users()
	if err != nil {
		return err
	}
	defer db.Close()
	user, err := c.find(ctx, db)
	if err != nil {
		return err
	}
	if err := db.SetDisabled(ctx, user.ID, false); err != nil {
		return err
	}
	in.printf("%s can sign in.\n", c.User)
	return nil
}

type userPasswdCommand struct {
	who
	ending
	PasswordFile string `help:"Read the password from this file." placeholder:"FILE" type:"path"`
}

func (c userPasswdCommand) Run(ctx context.Context, in *invocation) error {
	cfg, db, err := in.users(append(c.sections(), "passwords")...)
	if err != nil {
		return err
	}
	defer db.Close()
	user, err := c.find(ctx, db)
	if err != nil {
		return err
	}
	hash, err := in.newHash(ctx, cfg, c.PasswordFile)
	if err != nil {
		return err
	}
	if err := db.SetPassword(ctx, user.ID, "", hash); err != nil {
		return err
	}
	in.printf("The password has been set.\n")
	return c.end(ctx, in, cfg, user, session.EndPassword)
}

// users opens the table of users, and validates the settings that a command
// about users needs.
func (in *invocation) users(sections ...string) (config.Config, *store.Postgres, error) {
	cfg, err := in.loadOnly(append(sections, "database")...)
	if err != nil {
		return cfg, nil, err
	}
	db, err := openPostgres(cfg)
	return cfg, db, err
}
