package e2e

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/sessiongate/sessiongate/internal/testenv"
)

// program is the path of the built binary.
var program string

func TestMain(m *testing.M) {
	flag.Parse()
	if err := errors.Join(widen(), build()); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	testenv.Main(m)
}

// atOnce is how many tests run side by side. They wait for jobs and processes
// most of the time, so there may be more than cores.
const atOnce = 6

// widen applies atOnce unless -parallel was given.
func widen() error {
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if given {
		return nil
	}
	return flag.Set("test.parallel", strconv.Itoa(atOnce))
}

// build makes the program, with the race detector, beside the test binary: in a
// directory that the go command throws away.
func build() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	program = filepath.Join(filepath.Dir(self), "sessiongate")
	out, err := exec.Command("go", "build", "-race", "-o", program, "..").CombinedOutput()
	if err != nil {
		return fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return nil
}
