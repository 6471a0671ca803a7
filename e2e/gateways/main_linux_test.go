package gateways

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/sessiongate/sessiongate/internal/testenv"
)

// program is the path of the built binary.
var program string

// matrixFile is where `make gateways` wants the tables.
var matrixFile = flag.String("matrix", "", "also write the tables to this file")

func TestMain(m *testing.M) {
	flag.Parse()
	if err := build(); err != nil {
		fmt.Fprintln(os.Stderr, "gateways:", err)
		os.Exit(1)
	}
	testenv.Main(m)
}

// build makes the program, with the race detector, beside the test binary: in a
// directory that the go command throws away.
func build() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	program = filepath.Join(filepath.Dir(self), "sessiongate")
	out, err := exec.Command("go", "build", "-race", "-o", program, "../..").CombinedOutput()
	if err != nil {
		return fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return nil
}
