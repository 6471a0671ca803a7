package foreign

import "syscall"

// dieWithParent ends the child when the test binary is killed, as on a timeout.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
