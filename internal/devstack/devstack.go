// Package devstack runs private redis-server and postgres processes: for
// `sessiongate dev`, which keeps their data, and for the tests, which throw it
// away.
//
// A server lives in a directory of its own (lock, log, pid, data) and listens on
// a loopback port of its own, so it meets neither the system's servers nor those
// of a second checkout. It is our child and dies with us: Stop ends it cleanly;
// if we are killed, Linux ends it (Pdeathsig); elsewhere the next start finds
// what was left in the directory and ends it first.
//
// The package knows nothing about sessions, and it is part of the released
// binary, so it must not import "testing".
package devstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ErrMissing is wrapped by the error of a start for which no binary was found.
var ErrMissing = errors.New("not installed; run `make deps`")

// How long a server may take. Both do it in well under a second unless they have
// a long log to replay or a slow disk.
const (
	startLimit = 60 * time.Second
	stopLimit  = 20 * time.Second
)

// kind is what one sort of server does its own way.
type kind struct {
	name    string
	stop    syscall.Signal // asks for a clean end
	pidFile string         // under data; written by the server
	command func(port int) *exec.Cmd
	// ping returns nil once the server takes commands and is the one with this
	// process id: another program's may have taken the port.
	ping func(ctx context.Context, port, pid int) error
}

// server is a child process in a directory of its own. Start and Stop may be
// called in turn, as often as one likes; the port stays the same.
type server struct {
	kind
	dir string // lock and log
	mu  sync.Mutex

	port  int // 0 until the first start
	child *child
	lock  *os.File
}

// data is the server's working directory, by which a leftover is recognized.
func (s *server) data() string { return filepath.Join(s.dir, "data") }

// LogFile is where the server's own output goes.
func (s *server) LogFile() string { return filepath.Join(s.dir, "server.log") }

// Dir is the directory that holds everything of the server's.
func (s *server) Dir() string { return s.dir }

// Addr is host:port. It stays the same over Stop and Start.
func (s *server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return loopback(s.port)
}

// Pid returns the process id, 0 while the server is stopped.
func (s *server) Pid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.child == nil {
		return 0
	}
	return s.child.pid()
}

// Done returns a channel that is closed when the running process ends, for
// whatever reason; nil while the server is stopped.
func (s *server) Done() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.child == nil {
		return nil
	}
	return s.child.done
}

// Start runs the server and returns once it takes commands. On a running server
// it does nothing; after Stop or Kill it brings the same data up on the same
// port. Its error ends with the server's last lines of output.
func (s *server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.child != nil && s.child.running() {
		return nil
	}
	s.release()
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := s.start(ctx); err != nil {
		s.release()
		return fmt.Errorf("devstack: start %s: %w", s.name, err)
	}
	return nil
}

func (s *server) start(ctx context.Context) error {
	var err error
	if s.lock, err = Lock(s.dir); err != nil {
		return err
	}
	if err := s.retire(ctx); err != nil {
		return err
	}
	for fixed := s.port != 0; ; {
		if !fixed {
			if s.port, err = freePort(); err != nil {
				return err
			}
		}
		err = s.launch(ctx)
		if err == nil || ctx.Err() != nil || !transient(err) {
			return err
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// transient says whether the same start can succeed a moment later: another
// program took the port, or processes of a killed postgres are still leaving.
func transient(err error) bool {
	text := strings.ToLower(err.Error())
	return strings.Contains(text, "address already in use") ||
		strings.Contains(text, "pre-existing shared memory block")
}

// launch runs the server once and waits until it answers or ends.
func (s *server) launch(ctx context.Context) error {
	log, err := openLog(s.LogFile())
	if err != nil {
		return err
	}
	defer log.Close()
	c, err := spawn(s.command(s.port), log.File, s.stop)
	if err != nil {
		return err
	}
	for {
		err := s.ping(ctx, s.port, c.pid())
		if err == nil {
			s.child = c
			return nil
		}
		select {
		case <-c.done:
			return fmt.Errorf("%w\n%s", c.ended(), log.tail())
		case <-ctx.Done():
			c.end(s.stop, stopLimit)
			return fmt.Errorf("%w while waiting for it: %w\n%s", ctx.Err(), err, log.tail())
		case <-time.After(pollEvery):
		}
	}
}

// Stop ends the server cleanly: Redis has written its log, Postgres its
// checkpoint. It is killed if that takes more than 20 s, and the error says so.
// On a stopped server it does nothing.
func (s *server) Stop() error { return s.finish(s.stop) }

// Kill ends the server as a power cut would (SIGKILL) and returns once it is gone.
func (s *server) Kill() error { return s.finish(syscall.SIGKILL) }

func (s *server) finish(sig syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.release()
	if s.child == nil {
		return nil
	}
	if !s.child.end(sig, stopLimit) {
		return fmt.Errorf("devstack: stop %s: had to be killed after %s; see %s", s.name, stopLimit, s.LogFile())
	}
	return nil
}

// release forgets the process and lets another gateway have the directory.
func (s *server) release() {
	s.child = nil
	if s.lock != nil {
		s.lock.Close()
		s.lock = nil
	}
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// freePort returns a port that nobody listened on a moment ago.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

const pollEvery = 20 * time.Millisecond

func pause(ctx context.Context) error {
	select {
	case <-time.After(10 * pollEvery):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
