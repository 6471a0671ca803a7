package gateways

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"
)

const (
	// patience is how long something may take that should take a second: the machine
	// is shared, and slow with the race detector.
	patience  = time.Minute
	pollEvery = 20 * time.Millisecond
)

// child is a server of ours.
type child struct {
	cmd    *exec.Cmd
	output string        // path of what it says
	done   chan struct{} // closed when it has ended
}

// launch starts a server with nothing but the given settings ("NAME=value") in its
// environment. It is ended with the test.
func launch(t *testing.T, dir string, settings []string, name string, args ...string) *child {
	t.Helper()
	c := &child{cmd: exec.Command(name, args...), done: make(chan struct{})}
	c.output = filepath.Join(dir, filepath.Base(name)+".out")
	out, err := os.OpenFile(c.output, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	c.cmd.Dir, c.cmd.Stdout, c.cmd.Stderr = dir, out, out
	c.cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH") + ":/usr/sbin", "HOME=" + dir, "TMPDIR=" + dir, "LC_ALL=C",
	}, settings...)
	// SIGTERM and not SIGKILL: nginx's workers end with their master if it can tell them.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}
	if err := c.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.end)
	return c
}

func (c *child) start() error {
	started := make(chan error)
	go func() {
		// Linux ties the parent's death to the thread that forked (prctl(2)).
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.cmd.Start()
		started <- err
		if err == nil {
			_ = c.cmd.Wait()
			close(c.done)
		}
	}()
	return <-started
}

// end asks the server to end and, if it does not, ends it and what it started.
func (c *child) end() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-c.done:
	case <-time.After(patience / 4):
		_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
		<-c.done
	}
}

// said is what the server has written last.
func (c *child) said() string {
	b, err := os.ReadFile(c.output)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-3000):])
}

var errEnded = errors.New("the server has ended")

// answers waits until the server answers at the URL, with one of the statuses.
func (c *child) answers(url string, statuses ...int) error {
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	limit := time.After(patience)
	for {
		status, err := get(url)
		for _, s := range statuses {
			if err == nil && s == status {
				return nil
			}
		}
		select {
		case <-poll.C:
		case <-c.done:
			return errEnded
		case <-limit:
			return fmt.Errorf("GET %s: status %d, %v after %v", url, status, err, patience)
		}
	}
}

func get(url string) (int, error) {
	resp, err := client.Get(url)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

// client follows nothing and keeps no connection: each question stands for a new
// client.
var client = &http.Client{
	Timeout:   patience,
	Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true},
	CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	},
}

// freeAddress returns an address that nobody listened on a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// serve starts a server that listens on an address that it is given, and returns
// both once it answers with one of the statuses. Somebody may take the address in
// between, so it tries more than once.
func serve(t *testing.T, start func(addr string) *child, path string, statuses ...int) (*child, string) {
	t.Helper()
	for attempt := 1; ; attempt++ {
		addr := freeAddress(t)
		c := start(addr)
		err := c.answers("http://"+addr+path, statuses...)
		if err == nil {
			return c, addr
		}
		if attempt == 3 || !errors.Is(err, errEnded) {
			t.Fatalf("%s: %v\n%s", c.cmd.Path, err, c.said())
		}
	}
}
