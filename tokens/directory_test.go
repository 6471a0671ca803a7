package tokens

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// newPEM returns a private key that no other call returns.
func newPEM(t *testing.T) string {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(private))}))
}

// fill makes the directory hold these files and no others.
func fill(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// node is a gateway on a directory of keys.
type fileNode struct {
	*Directory
	*Issuer
	*Verifier
}

func newFileNode(t *testing.T, dir string) fileNode {
	t.Helper()
	d, err := NewDirectory(dir, EdDSA, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	o := testOptions(&clock{born.Add(time.Minute)})
	return fileNode{d, must(NewIssuer(d.Keyring(), o)), must(NewVerifier(d.Keyring(), o))}
}

func (n fileNode) reload(t *testing.T) {
	t.Helper()
	if err := n.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Two gateways that read the same files at different times refuse no token, if a
// key is next before it is current, and previous after.
func TestDirectoryRotatesByHand(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "keys")
	one, two := newPEM(t), newPEM(t)
	fill(t, dir, map[string]string{"current.pem": one})
	a, b := newFileNode(t, dir), newFileNode(t, dir)
	old := must(a.Sign(testToken()))
	accepted := func(raw string) {
		t.Helper()
		for name, n := range map[string]fileNode{"the first": a, "the second": b} {
			if _, err := n.Verify(raw); err != nil {
				t.Errorf("%s gateway: %v", name, err)
			}
		}
	}
	for _, step := range []struct {
		files  map[string]string
		public int
	}{
		{map[string]string{"current.pem": one, "next.pem": two}, 2},
		{map[string]string{"current.pem": two, "previous-2026-03.pem": one}, 2},
	} {
		fill(t, dir, step.files)
		for _, n := range []fileNode{a, b} {
			n.reload(t)
			accepted(must(a.Sign(testToken())))
			accepted(must(b.Sign(testToken())))
			accepted(old)
			if keys := n.ring.JWKS(born).Keys; len(keys) != step.public {
				t.Errorf("%d keys are published, want %d", len(keys), step.public)
			}
		}
	}
	young := must(a.Sign(testToken()))
	if young == old {
		t.Fatal("the old key still signs")
	}
	fill(t, dir, map[string]string{"current.pem": two})
	a.reload(t)
	wantInvalid(t, a.Verifier, old)
	accepted(young)
}

// A token of a key that is not known yet makes a gateway look again.
func TestDirectoryLooksForAnUnknownKey(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "keys")
	one, two := newPEM(t), newPEM(t)
	fill(t, dir, map[string]string{"current.pem": one})
	late := newFileNode(t, dir)
	fill(t, dir, map[string]string{"current.pem": two, "previous.pem": one})
	if _, err := late.Verify(must(newFileNode(t, dir).Sign(testToken()))); err != nil {
		t.Error(err)
	}
}

func TestDirectoryRefuses(t *testing.T) {
	t.Parallel()
	good := newPEM(t)
	es256 := string(must(os.ReadFile("testdata/es256.pem")))
	many := map[string]string{"current.pem": good}
	for i := range maxKeyFiles {
		many["previous-"+string(rune('a'+i))] = newPEM(t)
	}
	for name, tt := range map[string]struct {
		files map[string]string
		want  string
	}{
		"nothing":             {nil, "no current key"},
		"no current key":      {map[string]string{"next.pem": good}, "no current key"},
		"two current keys":    {map[string]string{"current.pem": good, "current-2.pem": newPEM(t)}, "both current"},
		"the same key twice":  {map[string]string{"current.pem": good, "next.pem": good}, "current.pem and next.pem are the same key"},
		"another algorithm":   {map[string]string{"current.pem": es256}, "current.pem is a key for ES256, and tokens.algorithm is EdDSA"},
		"a strange name":      {map[string]string{"current.pem": good, "old.pem": newPEM(t)}, "old.pem: the name has to begin with"},
		"a name run together": {map[string]string{"current.pem": good, "nextkey.pem": newPEM(t)}, "nextkey.pem: the name"},
		"no key":              {map[string]string{"current.pem": good, "next.pem": "-----BEGIN PRIVATE KEY-----\nhush\n"}, "next.pem: tokens: parse key: not PEM"},
		"a short secret":      {map[string]string{"current.pem": good, "next": "hush"}, "next: tokens: the HS256 secret has 4 bytes"},
		"an empty file":       {map[string]string{"current.pem": good, "next.pem": ""}, "next.pem: tokens: the HS256 secret has 0 bytes"},
		"a long file":         {map[string]string{"current.pem": strings.Repeat("x", maxKeyFileBytes+1)}, "current.pem: it is longer"},
		"too many":            {many, "more than 16 files"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "keys")
			fill(t, dir, map[string]string{"current.pem": good})
			n := newFileNode(t, dir)
			fill(t, dir, tt.files)
			for what, err := range map[string]error{"start": second(NewDirectory(dir, EdDSA, nil)), "load": n.Load(t.Context())} {
				if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), dir) || strings.Contains(err.Error(), "hush") {
					t.Errorf("%s: %v, want %q and the directory's name", what, err, tt.want)
				}
			}
			if _, err := n.Verify(must(n.Sign(testToken()))); err != nil {
				t.Errorf("the keys from before are not in use any more: %v", err)
			}
		})
	}
}

func second[T any](_ T, err error) error { return err }

func TestDirectoryUnreadable(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "keys")
	fill(t, dir, map[string]string{"current.pem": newPEM(t)})
	if err := os.Mkdir(filepath.Join(dir, "next.pem"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadKeyFiles(dir, EdDSA); err == nil || !strings.Contains(err.Error(), "next.pem: it is no file") {
		t.Errorf("a directory for a file: %v", err)
	}
	fill(t, dir, map[string]string{"current.pem": newPEM(t)})
	if err := os.Symlink("nowhere", filepath.Join(dir, "next.pem")); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadKeyFiles(dir, EdDSA); err == nil || !strings.Contains(err.Error(), "next.pem") {
		t.Errorf("a link to nowhere: %v", err)
	}
	if _, err := ReadKeyFiles(filepath.Join(dir, "none"), EdDSA); err == nil {
		t.Error("no directory: no error")
	}
}

// As the kubelet does: the files are links through ..data, which is exchanged in one
// step, and what it led to is removed after.
func TestDirectoryFollowsKubernetes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	one, two := newPEM(t), newPEM(t)
	swap := func(at string, files map[string]string) {
		t.Helper()
		fill(t, filepath.Join(dir, at), files)
		if err := os.Symlink(at, filepath.Join(dir, "..tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	swap("..1", map[string]string{"current.pem": one})
	if err := os.Symlink("..data/current.pem", filepath.Join(dir, "current.pem")); err != nil {
		t.Fatal(err)
	}
	n := newFileNode(t, dir)
	old := must(n.Sign(testToken()))

	// The links of new files come after the swap, those of old ones go after it: what
	// is behind ..data is what counts.
	swap("..2", map[string]string{"current.pem": two, "previous.pem": one})
	if err := os.RemoveAll(filepath.Join(dir, "..1")); err != nil {
		t.Fatal(err)
	}
	n.reload(t)
	if _, err := n.Verify(old); err != nil {
		t.Error(err)
	}
	if must(n.Sign(testToken())) == old {
		t.Error("the old key still signs")
	}
}

func TestParseKeys(t *testing.T) {
	t.Parallel()
	one, two := newPEM(t), string(must(os.ReadFile("testdata/rs256.pem")))
	const secret, other = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
	for name, tt := range map[string]struct {
		text string
		want int
		err  string
	}{
		"nothing":        {"\n \n", 0, ""},
		"one":            {one, 1, ""},
		"two":            {one + "\n" + two, 2, ""},
		"secrets":        {secret + "\r\n\n" + other, 2, ""},
		"of both kinds":  {secret + "\n" + one + other + "\n", 3, ""},
		"one twice":      {one + two + one, 0, "key 3: it is there twice"},
		"a short secret": {secret + "\nhush", 0, "key 2: tokens: the HS256 secret has 4 bytes"},
		"cut off":        {one + strings.TrimSuffix(two, "-----END PRIVATE KEY-----\n"), 0, "key 2: it has no end"},
		"rubbish inside": {"-----BEGIN PRIVATE KEY-----\nhush\n-----END PRIVATE KEY-----\n", 0, "key 1"},
	} {
		keys, err := ParseKeys([]byte(tt.text))
		if tt.err == "" && (err != nil || len(keys) != tt.want) {
			t.Errorf("%s: %d keys, %v, want %d", name, len(keys), err, tt.want)
		}
		if tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), "hush")) {
			t.Errorf("%s: %v, want %q", name, err, tt.err)
		}
	}
}
