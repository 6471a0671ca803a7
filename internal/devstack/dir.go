package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Lock makes sure that one gateway at a time uses the directory, until the file
// is closed. The kernel drops the lock when we die; children do not inherit it.
func Lock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s is in use by another running gateway", dir)
	}
	return f, nil
}

// retire ends the server that an earlier gateway left running in our directory:
// one that is still writing its last checkpoint, or, where the kernel can't end
// it for us, an orphan. Holding the lock, we know that nobody wants it.
func (s *server) retire(ctx context.Context) error {
	file := filepath.Join(s.data(), s.pidFile)
	pid, err := readPid(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	data, err := filepath.EvalSymlinks(s.data())
	if err != nil {
		return err
	}
	if workingDir(pid) != data {
		if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			return nil // postgres itself looks for what such a one left in memory
		}
		// Since a reboot the id is another program's. Postgres would take
		// that for a postgres on this data and refuse to start.
		return os.Remove(file)
	}
	if err := syscall.Kill(pid, s.stop); err != nil {
		return fmt.Errorf("stop the one left running as process %d: %w", pid, err)
	}
	for workingDir(pid) == data {
		select {
		case <-ctx.Done():
			return fmt.Errorf("process %d, left running by an earlier gateway, does not end: %w", pid, ctx.Err())
		case <-time.After(pollEvery):
		}
	}
	return nil
}

// readPid returns the process id in the first line of a pid file.
func readPid(file string) (int, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(b), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || pid <= 0 {
		return 0, fmt.Errorf("%s does not begin with a process id: remove it", file)
	}
	return pid, nil
}

// logFile is a server's output, from where this start began.
type logFile struct {
	*os.File
	start int64
}

const (
	maxLogBytes  = 10 << 20 // larger ones are emptied at the next start
	maxTailBytes = 2 << 10
)

func openLog(name string) (*logFile, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() > maxLogBytes {
		err = f.Truncate(0)
		info, _ = f.Stat()
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &logFile{f, info.Size()}, nil
}

// tail returns the last lines that this start wrote.
func (l *logFile) tail() string {
	info, err := l.Stat()
	if err != nil {
		return ""
	}
	from := max(l.start, info.Size()-maxTailBytes)
	b, _ := io.ReadAll(io.NewSectionReader(l.File, from, maxTailBytes))
	if _, rest, ok := strings.Cut(string(b), "\n"); ok && from > l.start {
		b = []byte(rest)
	}
	return strings.TrimRight(string(b), "\n")
}
