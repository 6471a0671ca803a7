package tokens

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// What a file in a Directory may be.
const (
	maxKeyFiles     = 16
	maxKeyFileBytes = 16 << 10
)

// The states of a key in a Directory: what the names of the files begin with.
const (
	StateCurrent  = "current"
	StateNext     = "next"
	StatePrevious = "previous"
)

// A FileKey is a key in a Directory.
type FileKey struct {
	Key   *Key
	State string // StateCurrent, StateNext or StatePrevious
	File  string // its name
}

// ErrKeyFiles says that a directory of keys can't be used as it is.
var ErrKeyFiles = errors.New("the directory of keys can't be used")

// ReadKeyFiles returns the keys of a directory, the current one, which has to be
// of the algorithm, first. What a key does is what the name of its file says up to
// the first ".", "-" or "_": current, next or previous. There is one current key;
// the others verify, and are published. A private key is PKCS#8 in PEM; a file
// that isn't PEM is an HS256 secret, without the line break at its end. Names that
// begin with a dot are not looked at.
//
// Kubernetes exchanges all files of a secret at once, by the link ..data. Where it
// is there the files are read behind it, so that they are of one time.
//
// Errors name the file, and quote nothing of it.
func ReadKeyFiles(dir, algorithm string) ([]FileKey, error) {
	const tries = 3 // the link may lead elsewhere while we read
	var keys []FileKey
	var err error
	for range tries {
		keys, err = readKeyFiles(dir, algorithm)
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("tokens: %w: %s: %w", ErrKeyFiles, dir, err)
	}
	return keys, nil
}

func readKeyFiles(dir, algorithm string) ([]FileKey, error) {
	if behind, err := filepath.EvalSymlinks(filepath.Join(dir, "..data")); err == nil {
		dir = behind
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var keys []FileKey
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		if len(keys) == maxKeyFiles {
			return nil, fmt.Errorf("it has more than %d files", maxKeyFiles)
		}
		key, err := readKeyFile(dir, entry.Name())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", entry.Name(), err)
		}
		keys = append(keys, key)
	}
	slices.SortStableFunc(keys, func(a, b FileKey) int { return rank(a.State) - rank(b.State) })
	return keys, checkKeyFiles(keys, algorithm)
}

func rank(state string) int {
	return slices.Index([]string{StateCurrent, StateNext, StatePrevious}, state)
}

func readKeyFile(dir, name string) (FileKey, error) {
	state := name
	if i := strings.IndexAny(name, ".-_"); i >= 0 {
		state = name[:i]
	}
	if rank(state) < 0 {
		return FileKey{}, fmt.Errorf("the name has to begin with %s, %s or %s", StateCurrent, StateNext, StatePrevious)
	}
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return FileKey{}, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return FileKey{}, errors.Join(errors.New("it is no file"), err)
	}
	material, err := io.ReadAll(io.LimitReader(f, maxKeyFileBytes+1))
	switch {
	case err != nil:
		return FileKey{}, err
	case len(material) > maxKeyFileBytes:
		return FileKey{}, fmt.Errorf("it is longer than %d bytes", maxKeyFileBytes)
	}
	key, err := parseAnyKey(material)
	return FileKey{Key: key, State: state, File: name}, err
}

// parseAnyKey reads a private key of any algorithm, or an HS256 secret.
func parseAnyKey(material []byte) (*Key, error) {
	if !strings.Contains(string(material), "-----BEGIN") {
		return NewHS256Key([]byte(strings.TrimRight(string(material), "\r\n")))
	}
	private, err := parsePKCS8(material)
	if err != nil {
		return nil, fmt.Errorf("tokens: parse key: %w", err)
	}
	for _, algorithm := range []string{EdDSA, ES256, RS256} {
		key, wrong := newPrivateKey(algorithm, private)
		if wrong == nil {
			return key, nil
		}
		err = errors.Join(err, wrong)
	}
	return nil, err
}

// checkKeyFiles wants the keys to be sorted by their state.
func checkKeyFiles(keys []FileKey, algorithm string) error {
	if len(keys) == 0 || keys[0].State != StateCurrent {
		return errors.New("there is no current key: a file whose name begins with current")
	}
	if current := keys[0]; current.Key.Algorithm() != algorithm {
		return fmt.Errorf("%s is a key for %s, and tokens.algorithm is %s", current.File, current.Key.Algorithm(), algorithm)
	}
	if len(keys) > 1 && keys[1].State == StateCurrent {
		return fmt.Errorf("%s and %s are both current", keys[0].File, keys[1].File)
	}
	seen := make(map[string]string)
	for _, k := range keys {
		if other, ok := seen[k.Key.ID()]; ok {
			return fmt.Errorf("%s and %s are the same key", other, k.File)
		}
		seen[k.Key.ID()] = k.File
	}
	return nil
}

// Directory is a Keyring whose keys are files that somebody else looks after. It
// is read again with every Load, and when a token comes whose key is not known.
type Directory struct {
	path, algorithm string
	log             *slog.Logger
	ring            *Keyring

	mu      sync.Mutex // one Load at a time
	unknown unknownKeys
}

// NewDirectory reads the keys of a directory. It fails unless all of them can be
// used.
func NewDirectory(path, algorithm string, log *slog.Logger) (*Directory, error) {
	d := &Directory{path: path, algorithm: algorithm, log: log}
	d.ring = &Keyring{refresh: d.lookForUnknown}
	return d, d.Load(context.Background())
}

// Keyring returns the keys, for an Issuer and a Verifier. They follow the files.
func (d *Directory) Keyring() *Keyring { return d.ring }

// Load reads the files again. An error leaves the keys that are known in use: a
// directory in which somebody is at work is no reason to refuse a token.
func (d *Directory) Load(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	files, err := ReadKeyFiles(d.path, d.algorithm)
	if err != nil {
		return err
	}
	work := make([]Scheduled, len(files))
	for i, f := range files {
		work[i] = Scheduled{Key: f.Key}
		if f.State != StateCurrent {
			work[i].SignsUntil = time.Unix(0, 0)
		}
	}
	before := d.ring.now.Load()
	if before != nil && before.ordered[0].Key.ID() != files[0].Key.ID() && before.byHeader[files[0].Key.header] == nil {
		d.log.WarnContext(ctx, "a key signs that was not published before: gateways that have not read it yet refuse its tokens",
			"kid", files[0].Key.ID())
	}
	return d.ring.Replace(work)
}

func (d *Directory) lookForUnknown() {
	if err := d.unknown.look(d.Load); err != nil {
		d.log.Warn("the files with keys can't be read for a token of an unknown one", "err", err)
	}
}

// ParseKeys reads several keys from one text: private keys, each PKCS#8 in PEM, and
// HS256 secrets, each in a line of its own. Errors say which one is wrong, counted
// from 1, and quote nothing of it.
func ParseKeys(text []byte) ([]*Key, error) {
	var keys []*Key
	var block strings.Builder
	for line := range strings.Lines(string(text)) {
		inside := block.Len() > 0
		if !inside && strings.TrimSpace(line) == "" {
			continue
		}
		block.WriteString(line)
		if begins := strings.HasPrefix(line, "-----BEGIN"); (inside || begins) && !strings.HasPrefix(line, "-----END") {
			continue
		}
		key, err := parseAnyKey([]byte(block.String()))
		if err == nil && slices.ContainsFunc(keys, func(k *Key) bool { return k.ID() == key.ID() }) {
			err = errors.New("it is there twice")
		}
		if err != nil {
			return nil, fmt.Errorf("tokens: key %d: %w", len(keys)+1, err)
		}
		keys = append(keys, key)
		block.Reset()
		if len(keys) > maxKeyFiles {
			return nil, fmt.Errorf("tokens: there are more than %d keys", maxKeyFiles)
		}
	}
	if block.Len() > 0 {
		return nil, fmt.Errorf("tokens: key %d: it has no end", len(keys)+1)
	}
	return keys, nil
}
