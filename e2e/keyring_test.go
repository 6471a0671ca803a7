package e2e

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestKeyring: an operator exchanges the key that signs, by files, while the gateway
// runs and nobody is signed out.
func TestKeyring(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "keys")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	generate := func() []byte {
		t.Helper()
		_, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return []byte(privatePEM(t, private))
	}
	put := func(name string, content []byte) {
		t.Helper()
		beside := dir + ".new" // a half-written file is a wrong one
		if err := errors.Join(os.WriteFile(beside, content, 0o600), os.Rename(beside, filepath.Join(dir, name))); err != nil {
			t.Fatal(err)
		}
	}
	kidOf := func(token string) any {
		header, _ := parts(t, token)
		return header["kid"]
	}
	first, second := generate(), generate()
	put("current.pem", first)
	s := newStack(t)
	g := s.start(t, "SESSIONGATE_TOKENS_ALGORITHM=EdDSA", "SESSIONGATE_TOKENS_SECRET=", "SESSIONGATE_TOKENS_KEYRING="+dir, "SESSIONGATE_TOKENS_RELOAD=1s")
	old := g.open(t, newID()).AccessToken

	put("next.pem", second)
	eventually(t, func() error {
		if len(g.keys(t)) != 2 {
			return errors.New("the next key is not published")
		}
		return nil
	})
	if kidOf(g.open(t, newID()).AccessToken) != kidOf(old) {
		t.Error("the next key signs")
	}
	// Half-way there are two files with the same key, and what is known goes on.
	put("previous.pem", first)
	put("current.pem", second)
	if err := os.Remove(filepath.Join(dir, "next.pem")); err != nil {
		t.Fatal(err)
	}
	var young string
	eventually(t, func() error {
		if young = g.open(t, newID()).AccessToken; kidOf(young) == kidOf(old) {
			return errors.New("the old key still signs")
		}
		return nil
	})
	g.passes(t, "the old key's", old)
	g.passes(t, "the new key's", young)

	if err := os.Remove(filepath.Join(dir, "previous.pem")); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { return g.do(t, statusCall(old)).checkProblem(401, "unauthenticated", "invalid") })
	g.passes(t, "the new key's", young)

	code, p := run(t, g.cmd.Env, "keys", "list")
	if code != 0 || between(p.stdout()+`"`, kidOf(young).(string)) == "" {
		t.Errorf("keys list ends with %d:\n%s", code, p.output())
	}
	if err := os.Remove(filepath.Join(dir, "current.pem")); err != nil {
		t.Fatal(err)
	}
	refused(t, nowhere("SESSIONGATE_TOKENS_ALGORITHM=EdDSA", "SESSIONGATE_TOKENS_SECRET=", "SESSIONGATE_TOKENS_KEYRING="+dir), 1,
		[]string{"no current key", dir}, "serve")
}
