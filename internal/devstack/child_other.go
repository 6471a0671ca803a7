//go:build unix && !linux

package devstack

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// dieWithParent does nothing: only Linux can. What a killed gateway leaves
// behind is ended by the next start in the same directory.
func dieWithParent(*syscall.SysProcAttr, syscall.Signal) {}

// workingDir returns the working directory of a process, "" if there is no such
// process or it is not ours to look at.
func workingDir(pid int) string {
	out, err := exec.Command("lsof", "-a", "-p", strconv.Itoa(pid), "-d", "cwd", "-Fn").Output()
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(out)) {
		if dir, ok := strings.CutPrefix(strings.TrimSpace(line), "n"); ok {
			return dir
		}
	}
	return ""
}
