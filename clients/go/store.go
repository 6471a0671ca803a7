package sessiongate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// A Store keeps a Client's session over restarts: one text. It holds the tokens,
// so nobody else should be able to read it. Its methods are called one at a time.
type Store interface {
	// Load returns what was saved last; "" if nothing is.
	Load() (string, error)
	// Save keeps the text in the place of the one before. It has to be durable, and
	// whole or not there at all: a Client that is killed starts from it. "" removes it.
	Save(text string) error
}

// NewMemoryStore returns a Store that lives as long as the program.
func NewMemoryStore() Store { return &memoryStore{} }

type memoryStore struct {
	mu   sync.Mutex
	text string
}

func (m *memoryStore) Load() (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.text, nil
}

func (m *memoryStore) Save(text string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.text = text
	return nil
}

// NewFileStore returns a Store in a file that only its owner can read, such as
// one below os.UserConfigDir. Several programs may share it: they then have one
// session. Its directory is made (with mode 0700) when there is something to keep.
func NewFileStore(path string) Store { return fileStore(path) }

type fileStore string

// maxStored bounds what is read of the file, in bytes.
const maxStored = 1 << 20

func (f fileStore) Load() (string, error) {
	info, err := os.Stat(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("sessiongate: read the session: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxStored {
		return "", fmt.Errorf("sessiongate: read the session: %s is not a file of ours", f)
	}
	text, err := os.ReadFile(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil // removed just now
	}
	if err != nil {
		return "", fmt.Errorf("sessiongate: read the session: %w", err)
	}
	return string(text), nil
}

func (f fileStore) Save(text string) error {
	if err := f.save(text); err != nil {
		return fmt.Errorf("sessiongate: keep the session: %w", err)
	}
	return nil
}

// save writes beside the file and renames: whoever reads meanwhile, or after a
// crash, finds the old text or the new one.
func (f fileStore) save(text string) (err error) {
	if text == "" {
		if err := os.Remove(string(f)); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	dir := filepath.Dir(string(f))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	next, err := os.CreateTemp(dir, filepath.Base(string(f))+".*") // with mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(next.Name())
		}
	}()
	_, err = next.WriteString(text)
	if err == nil {
		err = next.Sync()
	}
	if e := next.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(next.Name(), string(f))
	}
	return err
}
