package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// process is a run of the program.
type process struct {
	cmd  *exec.Cmd
	dir  string        // working directory; holds its output
	done chan struct{} // closed when it has ended
}

// endLimit is how long a process may take to end when asked to.
const endLimit = 25 * time.Second

// launch runs the program with the given settings ("NAME=value") and nothing else
// of our environment that could be a setting. It is stopped when the test ends.
func launch(t testing.TB, settings []string, args ...string) *process {
	t.Helper()
	p := &process{dir: t.TempDir(), done: make(chan struct{})}
	p.cmd = exec.Command(program, args...)
	p.cmd.Dir = p.dir // there is no config.yaml
	p.cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + p.dir, "TMPDIR=" + os.TempDir(), "LC_ALL=C",
	}, settings...)
	p.cmd.SysProcAttr = dieWithParent()
	stdout, stderr := p.create(t, "stdout"), p.create(t, "stderr")
	defer stdout.Close()
	defer stderr.Close()
	p.cmd.Stdout, p.cmd.Stderr = stdout, stderr
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.end(t, syscall.SIGTERM)
		p.checkOutput(t)
	})
	return p
}

// faults are what no program says while it is well, whatever is done to it.
var faults = []string{"DATA RACE", "panic", `"status":500`}

func (p *process) checkOutput(t testing.TB) {
	t.Helper()
	out := p.output()
	for _, fault := range faults {
		if i := strings.Index(out, fault); i >= 0 {
			t.Errorf("%s says %.2000s", p, out[max(i-200, 0):])
		}
	}
}

func (p *process) create(t testing.TB, name string) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(p.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (p *process) start() error {
	started := make(chan error)
	go func() {
		// Linux ties the parent's death to the thread that forked (prctl(2)).
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		_ = p.cmd.Wait() // ProcessState tells how it ended
		close(p.done)
	}()
	return <-started
}

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// signal sends sig. The only possible error is that the process has ended.
func (p *process) signal(sig syscall.Signal) { _ = p.cmd.Process.Signal(sig) }

// end sends sig to a process that is running and waits for it.
func (p *process) end(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if p.running() {
		p.signal(sig)
		p.exit(t)
	}
}

// exit waits until the process has ended and returns its exit code, -1 for a
// signal.
func (p *process) exit(t testing.TB) int {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(endLimit):
		p.signal(syscall.SIGQUIT) // says where it hangs
		select {
		case <-p.done:
		case <-time.After(endLimit):
			p.signal(syscall.SIGKILL)
			<-p.done
		}
		t.Errorf("%s did not end within %v:\n%s", p, endLimit, p.tail())
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) String() string { return "sessiongate " + strings.Join(p.cmd.Args[1:], " ") }

func (p *process) stdout() string { return p.read("stdout") }
func (p *process) stderr() string { return p.read("stderr") }

// output is all that the process has said so far.
func (p *process) output() string { return p.stdout() + p.stderr() }

func (p *process) read(name string) string {
	b, err := os.ReadFile(filepath.Join(p.dir, name))
	if err != nil {
		return fmt.Sprintf("(%v)", err)
	}
	return string(b)
}

// tail is the end of the output, for messages.
func (p *process) tail() string {
	out := []byte(p.output())
	if len(out) > 2000 {
		out = out[len(out)-2000:]
		out = out[bytes.IndexByte(out, '\n')+1:]
	}
	return string(out)
}

// run runs a command of the program to its end.
func run(t testing.TB, settings []string, args ...string) (code int, p *process) {
	t.Helper()
	p = launch(t, settings, args...)
	return p.exit(t), p
}
