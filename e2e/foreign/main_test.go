package foreign

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/sessiongate/sessiongate/internal/testenv"
)

// program is the path of the built binary.
var program string

func TestMain(m *testing.M) {
	if err := build(); err != nil {
		fmt.Fprintln(os.Stderr, "foreign:", err)
		os.Exit(1)
	}
	testenv.Main(m)
}

// build makes the program beside the test binary, in a directory that the go
// command throws away. With the race detector, as e2e does, so that of two builds
// in a row the second is quick.
func build() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	program = filepath.Join(filepath.Dir(self), "sessiongate")
	cmd := exec.Command("go", "build", "-race", "-o", program, ".")
	cmd.Dir = filepath.Join("..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return nil
}
