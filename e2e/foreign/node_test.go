package foreign

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// nodeFiles are those of the folder node.
var nodeFiles = []string{".npmrc", "package.json", "package-lock.json", "check.js", "webhooks.js"}

// testNode runs the checks of node/check.js.
func testNode(t *testing.T, g *gateway) {
	dir, err := nodeDir()
	if err != nil {
		t.Fatal(err)
	}
	input, err := json.Marshal(map[string]any{
		"issuer": g.url, "audience": audience, "algorithm": g.algorithm, "shop": shop, "other": other,
	})
	if err != nil {
		t.Fatal(err)
	}
	// Node.js 18 has Web Crypto, but not by that name unless asked; later ones don't mind.
	cmd := exec.CommandContext(t.Context(), "node", "--experimental-global-webcrypto", "check.js")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "FOREIGN="+string(input))
	out, err := cmd.CombinedOutput()
	t.Logf("\n%s", out)
	if err != nil {
		t.Errorf("check.js: %v", err)
	}
}

// nodeDir returns a copy of the folder node, with the libraries installed. It is
// beside the program, and thrown away with it.
var nodeDir = sync.OnceValues(func() (string, error) {
	for _, name := range []string{"node", "npm"} {
		if _, err := exec.LookPath(name); err != nil {
			return "", fmt.Errorf("%s is not installed; run `make deps-test`", name)
		}
	}
	dir := filepath.Join(filepath.Dir(program), "node")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	var errs []error
	for _, name := range nodeFiles {
		b, err := os.ReadFile(filepath.Join("node", name))
		errs = append(errs, err, os.WriteFile(filepath.Join(dir, name), b, 0o600))
	}
	if err := errors.Join(errs...); err != nil {
		return "", err
	}
	// What npm has fetched once it does not fetch again.
	args := []string{"ci", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"}
	cmd := exec.Command("npm", args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return dir, nil
})
