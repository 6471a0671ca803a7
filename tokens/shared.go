package tokens

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/sessiongate/sessiongate/session"
)

// keyLedger is where the keys are, as store.Postgres does.
type keyLedger interface {
	// SigningKeys returns the keys, retired ones for a while too.
	SigningKeys(ctx context.Context) ([]session.SigningKey, error)
	// ChangeSigningKeys calls change with the keys, alone among all gateways, and
	// stores those that it returns.
	ChangeSigningKeys(ctx context.Context, change func([]session.SigningKey) ([]session.SigningKey, error)) error
}

// keyMirror is where a copy of the keys is, for when the ledger is away, as
// store.Redis does.
type keyMirror interface {
	MirroredKeys(ctx context.Context) (map[string]string, error)
	// MirrorKeys replaces what is there.
	MirrorKeys(ctx context.Context, keys map[string]string) error
}

// SharedOptions are what a Shared needs. All but Before must be set.
type SharedOptions struct {
	Ledger keyLedger
	Mirror keyMirror
	Sealer Sealer

	Algorithm string        // of keys to come
	Every     time.Duration // how long a key signs
	Ahead     time.Duration // how long it is published before; more than the time between two Loads
	Linger    time.Duration // how long it verifies after: the life of a token, and what clocks and Loads are late
	// Before are keys that were not shared. The first signs until a shared key
	// does, and all verify.
	Before []*Key

	Now func() time.Time // the one clock of all gateways
	Log *slog.Logger
}

// Shared is a Keyring that several gateways share and rotate. The keys are in
// Postgres, sealed; a copy is in Redis, sealed again, so that a gateway can start
// while Postgres is away.
//
// What each key does follows from its times and the clock (SigningKey.State), so
// a rotation is nothing but one gateway writing down a new key some time before
// it signs. Every other gateway has read it by then.
type Shared struct {
	opt  SharedOptions
	ring *Keyring

	mu     sync.Mutex // one Load at a time
	known  []session.SigningKey
	opened map[string]*Key // by kid

	unknown unknownKeys
}

// NewShared returns a Shared that has read nothing yet.
func NewShared(o SharedOptions) (*Shared, error) {
	if !slices.Contains(algorithms, o.Algorithm) {
		return nil, unknownAlgorithm(o.Algorithm)
	}
	s := &Shared{opt: o, opened: make(map[string]*Key)}
	s.ring = &Keyring{refresh: s.lookForUnknown}
	return s, nil
}

// Keyring returns the keys, for an Issuer and a Verifier. They follow every
// change.
func (s *Shared) Keyring() *Keyring { return s.ring }

// Start makes the first key if there is none and reads the keys. It fails unless
// there is then a key to sign with.
func (s *Shared) Start(ctx context.Context) error {
	first, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	_, err := s.Rotate(first)
	err = errors.Join(err, s.Load(ctx))
	if s.ring.Active(s.opt.Now()) == nil {
		return errors.Join(errNoKey, err)
	}
	if err != nil {
		s.opt.Log.WarnContext(ctx, "signing keys are not from postgres, or their copy in redis is not up to date", "err", err)
	}
	return nil
}

// Load reads the keys from the ledger, and from the mirror while that is away. An
// error leaves the keys that are known in use. It may be called at any time.
func (s *Shared) Load(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys, err := s.readLedger(ctx)
	if err == nil {
		if err := s.use(ctx, keys); err != nil {
			return err
		}
		return s.renewMirror(ctx, keys)
	}
	mirrored, errMirror := s.readMirror(ctx)
	if errMirror != nil {
		return errors.Join(err, errMirror)
	}
	if len(mirrored) == 0 && len(s.known) == 0 && len(s.opt.Before) == 0 {
		return fmt.Errorf("tokens: load keys: %w; and there is no copy of them", err)
	}
	return s.use(ctx, merge(s.known, mirrored))
}

// How long a ledger that hangs is waited for, before there is a first key and at
// each Load.
const (
	startPatience  = 5 * time.Second
	ledgerPatience = 2 * time.Second
)

// readLedger leaves at least half of the time that ctx has to the mirror.
func (s *Shared) readLedger(ctx context.Context) ([]session.SigningKey, error) {
	patience := ledgerPatience
	if deadline, ok := ctx.Deadline(); ok {
		patience = min(patience, time.Until(deadline)/2)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return s.opt.Ledger.SigningKeys(ctx)
}

// merge returns all keys of both lists, each by its later word: a copy that is
// behind must not bring a key back.
func merge(known, read []session.SigningKey) []session.SigningKey {
	all := slices.Clone(read)
	for _, k := range known {
		i := slices.IndexFunc(all, func(o session.SigningKey) bool { return o.ID == k.ID })
		switch {
		case i < 0:
			all = append(all, k)
		case k.ChangedAt.After(all[i].ChangedAt):
			all[i] = k
		}
	}
	return all
}

// use opens the keys that still do something and puts them to work, all or none.
func (s *Shared) use(ctx context.Context, keys []session.SigningKey) error {
	now := s.opt.Now()
	work := make([]Scheduled, 0, len(keys)+len(s.opt.Before))
	for i := range keys {
		k := &keys[i]
		if k.State(now) == session.KeyRetired {
			delete(s.opened, k.ID)
			continue
		}
		key, err := s.open(ctx, k)
		if err != nil {
			return err
		}
		work = append(work, Scheduled{Key: key, SignsFrom: k.SignsFrom, SignsUntil: k.SignsUntil, VerifiesUntil: k.VerifiesUntil})
	}
	slices.SortFunc(work, func(a, b Scheduled) int { return b.SignsFrom.Compare(a.SignsFrom) })
	for i, key := range s.opt.Before {
		before := Scheduled{Key: key}
		if i > 0 {
			before.SignsUntil = time.Unix(0, 0)
		}
		work = append(work, before)
	}
	if err := s.ring.Replace(work); err != nil {
		return err
	}
	s.known = keys
	return nil
}

// open returns the key behind a sealed one. s.mu is held.
func (s *Shared) open(ctx context.Context, k *session.SigningKey) (*Key, error) {
	if key, ok := s.opened[k.ID]; ok {
		return key, nil
	}
	key, err := openKey(ctx, s.opt.Sealer, k)
	if err != nil {
		return nil, err
	}
	s.opened[k.ID] = key
	return key, nil
}

func openKey(ctx context.Context, sealer Sealer, k *session.SigningKey) (*Key, error) {
	material, err := sealer.Open(ctx, k.Sealed, keyContext(k.Algorithm, k.ID))
	if err != nil {
		return nil, fmt.Errorf("tokens: open key %s: %w", k.ID, err)
	}
	key, err := ParseKey(k.Algorithm, material)
	if err == nil && key.ID() != k.ID {
		err = fmt.Errorf("it is the key %s", key.ID())
	}
	if err != nil {
		return nil, fmt.Errorf("tokens: open key %s: %w", k.ID, err)
	}
	return key, nil
}

// CheckSealed says why a key can't be opened, or nil.
func CheckSealed(ctx context.Context, sealer Sealer, k *session.SigningKey) error {
	_, err := openKey(ctx, sealer, k)
	return err
}

// keyContext binds a sealed key to its place: it opens as no other one.
func keyContext(algorithm, kid string) []byte {
	return []byte("sessiongate signing key\n" + algorithm + "\n" + kid)
}

// unknownKeys bounds what tokens of keys that nobody knows can cause.
type unknownKeys struct {
	mu      sync.Mutex
	began   time.Time
	looking chan struct{} // closed when the look under way is over; nil: none is
}

const (
	unknownEvery   = time.Second
	unknownTimeout = time.Second
)

// lookForUnknown loads the keys for a token whose key is not known.
func (s *Shared) lookForUnknown() {
	if err := s.unknown.look(s.Load); err != nil {
		s.opt.Log.Warn("signing keys can't be read for a token of an unknown one", "err", err)
	}
}

// look loads the keys. Whoever comes while that is under way waits for it; and it
// begins once in unknownEvery. The error is for the one who did it.
func (u *unknownKeys) look(load func(context.Context) error) error {
	u.mu.Lock()
	if looking := u.looking; looking != nil {
		u.mu.Unlock()
		<-looking
		return nil
	}
	if !u.began.IsZero() && time.Since(u.began) < unknownEvery {
		u.mu.Unlock()
		return nil
	}
	u.began, u.looking = time.Now(), make(chan struct{})
	u.mu.Unlock()

	defer func() {
		u.mu.Lock()
		close(u.looking)
		u.looking = nil
		u.mu.Unlock()
	}()
	ctx, cancel := context.WithTimeout(context.Background(), unknownTimeout)
	defer cancel()
	return load(ctx)
}
