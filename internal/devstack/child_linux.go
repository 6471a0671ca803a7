package devstack

import (
	"fmt"
	"os"
	"syscall"
)

// dieWithParent has the kernel send sig to the child when we die, however that
// happens. Go sets it after the change of user, which would have cleared it.
func dieWithParent(attr *syscall.SysProcAttr, sig syscall.Signal) { attr.Pdeathsig = sig }

// workingDir returns the working directory of a process, "" if there is no such
// process or it is not ours to look at.
func workingDir(pid int) string {
	dir, _ := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
	return dir
}
