package login

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sessiongate/sessiongate/session"
)

// users is where users are kept.
type users interface {
	// UserByIdentifier returns the user with this canonical identifier,
	// session.ErrNotFound if there is none. Any other error means that it could
	// not say.
	UserByIdentifier(ctx context.Context, identifier string) (session.User, error)
	// User is UserByIdentifier by id.
	User(ctx context.Context, id string) (session.User, error)
	// SetPassword replaces oldHash, and nothing if that is no longer the user's:
	// session.ErrConflict.
	SetPassword(ctx context.Context, userID, oldHash, newHash string) error
}

// sessions is where sessions live and their events go.
type sessions interface {
	// Create stores a new session together with the event of the login, and
	// returns it with its deadlines and the number of sessions evicted for it.
	Create(ctx context.Context, s session.Session, e session.Event) (session.Session, int, error)
	// Remember is Create for a device that asks to be remembered: the session comes
	// with the device's refresh token, where its kind of session may have one.
	Remember(ctx context.Context, s session.Session, e session.Event) (session.Session, int, error)
	// Append stores an event that changes no session. When it returns nil the
	// event will reach the audit log.
	Append(ctx context.Context, e session.Event) error
}

// passwords is what Hasher does, and what it promises: see there.
type passwords interface {
	Verify(ctx context.Context, hash, password string) (bool, error)
	Upgrade(hash, password string) (string, error)
	Hash(ctx context.Context, password string) (string, error)
}

// Service signs users in. All fields must be set, but for Assessor.
type Service struct {
	Users     users
	Sessions  sessions
	Devices   devices
	Revoker   revoker
	Passwords passwords        // a *Hasher
	Guard     *Guard           // counts attempts
	Assessor  *Assessor        // nil: nothing is assessed
	Clock     func() time.Time // the store's clock: ids carry its time
	Log       *slog.Logger
}

// Request is one attempt to sign in. Its texts have been through
// session.CleanText, but for the two that were typed.
type Request struct {
	Identifier string // as typed
	Password   string // as typed
	Device     session.Device
	Origin     session.Origin
	Remember   bool // the device wants a refresh token
}

// What the audit log says about failures: the column session_logs.error_message.
const (
	unknownUser   = "unknown user"
	wrongPassword = "wrong password"
	userDisabled  = "user disabled"
)

// upgradeTimeout bounds how long a login that has succeeded waits for the
// replacement of its hash.
const upgradeTimeout = time.Second

// Login returns a new session for the user who knows the password.
//
// The error is session.ErrInvalidCredentials when there is no such user, the
// password is wrong, the user is disabled, or the sign-in is refused as too
// unusual or for the country that it comes from; the audit log then has an event
// that says which. It is session.ErrTooManySessions when the user may not have one
// more, which is in the log as well and is no failure to know the password. It is
// session.ErrOverloaded when too many passwords are being verified, and
// session.ErrUnavailable when a store could not say, or could not keep the event: no
// audit, no answer. It is a *session.RateLimitedError when there were too many
// attempts. None of these is logged as an attempt.
//
// It costs two queries, one hash and three round trips to Redis; once more a hash and
// a statement when the stored hash is out of date. Repeating it makes another
// session.
func (s *Service) Login(ctx context.Context, r Request) (session.Session, error) {
	try, err := s.Guard.Begin(ctx, r.Identifier, r.Device, r.Origin)
	if err != nil {
		return session.Session{}, fmt.Errorf("login: %w", err)
	}
	user, err := s.user(ctx, r.Identifier)
	matches := false
	var looking lookup
	if err == nil {
		looking = s.look(ctx, &user, &r)
		matches, err = s.verify(ctx, &user, r.Password)
		looking.wait()
	}
	if err != nil {
		try.Withdraw(ctx)
		return session.Session{}, err
	}
	switch {
	case user.ID == "":
		return session.Session{}, s.refuse(ctx, &r, "", unknownUser)
	case !matches:
		return session.Session{}, s.refuse(ctx, &r, user.ID, wrongPassword)
	case user.Disabled:
		return session.Session{}, s.refuse(ctx, &r, user.ID, userDisabled)
	}
	created, err := s.admit(ctx, &r, &user, looking)
	if err != nil {
		if !errors.Is(err, session.ErrInvalidCredentials) {
			try.Withdraw(ctx)
		}
		return session.Session{}, err
	}
	try.Right(ctx)
	s.upgrade(ctx, &user, r.Password)
	return created, nil
}

// user returns the user with this identifier, or one without an id if there is
// none. Where there can't be any, Postgres is not asked.
func (s *Service) user(ctx context.Context, typed string) (session.User, error) {
	identifier, err := Canonical(typed)
	if err != nil {
		return session.User{}, nil
	}
	user, err := s.Users.UserByIdentifier(ctx, identifier)
	switch {
	case errors.Is(err, session.ErrNotFound):
		return session.User{}, nil
	case err != nil:
		return session.User{}, fmt.Errorf("login: find user: %w: %w", session.ErrUnavailable, err)
	}
	return user, nil
}

// verify does the work of one hash, for every user and for none: an unknown
// user and one without a password have the hash "", which nothing matches.
func (s *Service) verify(ctx context.Context, user *session.User, password string) (bool, error) {
	matches, err := s.Passwords.Verify(ctx, user.PasswordHash, password)
	if errors.Is(err, ErrMalformedHash) {
		s.Log.ErrorContext(ctx, "stored password hash is unusable", "user_id", user.ID, "err", err)
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("login: verify password: %w", err)
	}
	return matches, nil
}

// lookup is a *Looking, or nothing where nothing is assessed.
type lookup struct{ *Looking }

func (l lookup) wait() {
	if l.Looking != nil {
		l.Wait()
	}
}

// look begins to find out what is on record, while the password is verified.
func (s *Service) look(ctx context.Context, user *session.User, r *Request) lookup {
	if s.Assessor == nil {
		return lookup{}
	}
	return lookup{s.Assessor.Look(ctx, user.ID, r.Origin.IP, s.Clock())}
}

// admit opens the session, unless the sign-in is refused for what is unusual
// about it. Who knows the password is told no more than who does not.
func (s *Service) admit(ctx context.Context, r *Request, user *session.User, l lookup) (session.Session, error) {
	e := s.event(r)
	e.UserID = user.ID
	if refused := l.assess(ctx, r, &e); refused != "" {
		e.Error, e.Device = refused, r.Device
		return session.Session{}, s.record(ctx, e)
	}
	return s.create(ctx, r, user, e)
}

// assess puts into the event how unusual it is, and returns why the sign-in is
// refused; "" if it is not.
func (l lookup) assess(ctx context.Context, r *Request, e *session.Event) (refused string) {
	if l.Looking == nil {
		return ""
	}
	e.Risk, refused = l.Assess(ctx, SignIn{UserID: e.UserID, Device: r.Device, Origin: r.Origin, At: e.CreatedAt})
	return refused
}

// refuse records the failure and returns the answer to it. What was typed goes
// nowhere: people type passwords into the wrong field.
func (s *Service) refuse(ctx context.Context, r *Request, userID, why string) error {
	e := s.event(r)
	e.Error = why
	e.UserID = userID
	return s.record(ctx, e)
}

// record appends a failed login and returns the answer to it.
func (s *Service) record(ctx context.Context, e session.Event) error {
	if err := s.Sessions.Append(ctx, e); err != nil {
		return fmt.Errorf("login: record failed login: %w: %w", session.ErrUnavailable, err)
	}
	return session.ErrInvalidCredentials
}

func (s *Service) create(
	ctx context.Context, r *Request, user *session.User, e session.Event,
) (session.Session, error) {
	e.Success = true
	begin := s.Sessions.Create
	if r.Remember {
		begin = s.Sessions.Remember
	}
	created, _, err := begin(ctx, session.Session{
		ID:        session.NewID(e.CreatedAt),
		UserID:    user.ID,
		ClientID:  session.FirstParty,
		AMR:       []string{"pwd"}, // RFC 8176 §2
		Username:  user.Identifier,
		Roles:     s.roles(ctx, user),
		Device:    r.Device,
		IP:        r.Origin.IP,
		Country:   r.Origin.Country,
		ASN:       r.Origin.ASN,
		UserAgent: r.Origin.UserAgent,
		AuthTime:  e.CreatedAt,
	}, e)
	if err != nil {
		return session.Session{}, fmt.Errorf("login: create session: %w", err)
	}
	return created, nil
}

// roles returns the user's roles, or none if a token can't carry them: somebody
// wrote them into the table by hand. Fewer rights are a nuisance; part of them
// could be a deny list cut short.
func (s *Service) roles(ctx context.Context, user *session.User) []string {
	if err := session.CheckRoles(user.Roles); err != nil {
		s.Log.ErrorContext(ctx, "stored roles are unusable; signed in without", "user_id", user.ID, "err", err)
		return nil
	}
	return user.Roles
}

// event returns a login that happens now; its created_at is the time in its id.
func (s *Service) event(r *Request) session.Event {
	id := session.NewEventID(s.Clock())
	return session.Event{ID: id, CreatedAt: id.Time(), Action: session.ActionLogin, Origin: r.Origin}
}

// upgrade replaces a hash that is not as configured, now that the password is at
// hand. The user is signed in already and stays so whatever comes of it.
func (s *Service) upgrade(ctx context.Context, user *session.User, password string) {
	hash, err := s.Passwords.Upgrade(user.PasswordHash, password)
	if err == nil && hash != "" {
		ctx, cancel := context.WithTimeout(ctx, upgradeTimeout)
		defer cancel()
		err = s.Users.SetPassword(ctx, user.ID, user.PasswordHash, hash)
	}
	if err != nil {
		s.Log.WarnContext(ctx, "password hash not upgraded", "user_id", user.ID, "err", err)
	}
}
