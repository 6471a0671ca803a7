package config

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// Whatever somebody writes into the file, the answer is a list of problems.
func FuzzRead(f *testing.F) {
	b, err := os.ReadFile(reference)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(b))
	f.Add("http: 5\nredis:\n")
	f.Add("http.addr: x\n")
	f.Add("clients: [{id: 1}]\n? [a]\n: b\n")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, content string) {
		file := filepath.Join(dir, "config.yaml")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(file, nil); err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("%v", err)
		}
	})
}
