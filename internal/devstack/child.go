package devstack

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// child is a running process of ours.
type child struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	err  error         // how it ended; read after done
}

// spawn starts the command in a process group of its own, so that a Ctrl-C at
// the terminal reaches us alone and we decide the order in which things end.
func spawn(cmd *exec.Cmd, output *os.File, stop syscall.Signal) (*child, error) {
	cmd.Stdout, cmd.Stderr = output, output
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	dieWithParent(cmd.SysProcAttr, stop)

	c := &child{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// Linux ties Pdeathsig to the thread that forked, not to the process
		// (prctl(2)): this thread must live for as long as the child does.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		c.err = cmd.Wait()
		close(c.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

func (c *child) running() bool {
	select {
	case <-c.done:
		return false
	default:
		return true
	}
}

// ended is the error of a process that ended although nobody asked it to.
func (c *child) ended() error {
	if c.err == nil {
		return fmt.Errorf("%s ended by itself", c.cmd.Path)
	}
	return fmt.Errorf("%s ended by itself: %w", c.cmd.Path, c.err)
}

// end sends the signal, waits, and kills what has not ended by the limit. It
// returns false if it had to.
func (c *child) end(sig syscall.Signal, limit time.Duration) bool {
	// The only possible error is that the process has ended already.
	_ = c.cmd.Process.Signal(sig)
	select {
	case <-c.done:
		return true
	case <-time.After(limit):
	}
	_ = c.cmd.Process.Kill()
	<-c.done
	return false
}
