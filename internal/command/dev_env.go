package command

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// envFile is, in the data directory, what a script sources to talk to the
// development gateway. It is there exactly while the gateway answers.
const envFile = "dev.env"

func removeEnvFile(dir string) error {
	err := os.Remove(filepath.Join(dir, envFile))
	if err == nil || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return fmt.Errorf("command: remove old %s: %w", envFile, err)
}

// writeEnvFile writes the variables so that a POSIX shell reads them back as
// they are.
func writeEnvFile(dir string, variables [][2]string) error {
	var b strings.Builder
	for _, v := range variables {
		fmt.Fprintf(&b, "%s=%s\n", v[0], quote(v[1]))
	}
	return writeSecret(filepath.Join(dir, envFile), b.String())
}

// writeSecret writes a file that only we can read. It is there whole or not at
// all, whenever we are killed.
func writeSecret(path, content string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-") // mode 0600
	if err != nil {
		return fmt.Errorf("command: %w", err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("command: write %s: %w", path, errors.Join(err, os.Remove(f.Name())))
		}
	}()
	_, err = f.WriteString(content)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
