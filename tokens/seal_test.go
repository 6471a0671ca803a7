package tokens

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/session"
)

func TestMirror(t *testing.T) {
	t.Parallel()
	shelf, c := &shelf{}, &clock{born}
	n := newNode(t, shelf, c, nil).mustStart(t)
	if shelf.writes != 1 {
		t.Errorf("%d writes, want 1", shelf.writes)
	}
	load := func() {
		t.Helper()
		if err := n.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	load()
	if shelf.writes != 1 {
		t.Error("the mirror is written although it is up to date")
	}
	good := maps.Clone(shelf.copies)
	for name, bad := range map[string]map[string]string{
		"emptied": {}, "overwritten": {shelf.keys[0].ID: "x"}, "swapped": {"other": good[shelf.keys[0].ID]},
		"with one too many": {shelf.keys[0].ID: good[shelf.keys[0].ID], "x": "y"},
	} {
		shelf.copies = bad
		load()
		if len(shelf.copies) != 1 || shelf.copies[shelf.keys[0].ID] == "" || shelf.copies[shelf.keys[0].ID] == "x" {
			t.Errorf("%s: it holds %v", name, shelf.copies)
		}
	}

	// A copy that is behind brings nothing back.
	behind := maps.Clone(shelf.copies)
	raw := n.issue(t, c)
	c.t = born.Add(time.Second)
	if err := n.Retire(t.Context(), shelf.keys[0].ID); err != nil {
		t.Fatal(err)
	}
	shelf.copies, shelf.ledgerAway = behind, session.ErrUnavailable
	load()
	wantInvalid(t, n.Verifier, raw)
	if _, err := n.Verify(n.issue(t, c)); err != nil {
		t.Errorf("the new key is gone with an old copy: %v", err)
	}
	// And with nothing to read it goes on as it was.
	shelf.mirrorAway = session.ErrUnavailable
	if err := n.Load(t.Context()); !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
	if _, err := n.Verify(n.issue(t, c)); err != nil {
		t.Error(err)
	}
}

// What is stored is not the key, in any spelling.
func TestSealedBytes(t *testing.T) {
	t.Parallel()
	for _, algorithm := range algorithms {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			shelf, c := &shelf{}, &clock{born}
			n := newNode(t, shelf, c, func(o *SharedOptions) { o.Algorithm = algorithm }).mustStart(t)
			k := shelf.keys[0]
			material, err := n.opt.Sealer.Open(t.Context(), k.Sealed, keyContext(k.Algorithm, k.ID))
			if err != nil {
				t.Fatal(err)
			}
			stored := string(k.Sealed) + fmt.Sprint(shelf.copies)
			for i := 0; i+12 <= len(material); i += 4 {
				if part := string(material[i : i+12]); strings.Contains(stored, part) {
					t.Fatalf("bytes %d on of the key are stored as they are", i)
				}
			}
			if _, err := n.opt.Sealer.Open(t.Context(), k.Sealed, keyContext(k.Algorithm, "another")); !errors.Is(err, ErrSealed) {
				t.Errorf("it opens as another key: %v", err)
			}
			if _, err := n.Verify(n.issue(t, c)); err != nil {
				t.Error(err)
			}
			text := fmt.Sprintf("%v %+v %#v", n.opt.Sealer, n.opt.Sealer, n.opt.Sealer)
			if text != "AES-256-GCM sealer AES-256-GCM sealer AES-256-GCM sealer" {
				t.Errorf("the sealer prints as %s", text)
			}
		})
	}
}

func TestSealer(t *testing.T) {
	t.Parallel()
	if _, err := NewAESSealer(make([]byte, 31)); err == nil {
		t.Error("a short sealing key is taken")
	}
	s := must(NewAESSealer(testSecret))
	sealed := must(s.Seal(t.Context(), []byte("plain"), []byte("a")))
	if again := must(s.Seal(t.Context(), []byte("plain"), []byte("a"))); string(again) == string(sealed) {
		t.Error("the same twice")
	}
	if plain, err := s.Open(t.Context(), sealed, []byte("a")); err != nil || string(plain) != "plain" {
		t.Errorf("%q, %v", plain, err)
	}
	for i := range sealed {
		changed := slices.Clone(sealed)
		changed[i] ^= 1
		if _, err := s.Open(t.Context(), changed, []byte("a")); !errors.Is(err, ErrSealed) {
			t.Errorf("byte %d changed: %v", i, err)
		}
		if _, err := s.Open(t.Context(), sealed[:i], []byte("a")); !errors.Is(err, ErrSealed) {
			t.Errorf("cut to %d bytes: %v", i, err)
		}
	}
	if _, err := s.Open(t.Context(), sealed, []byte("b")); !errors.Is(err, ErrSealed) {
		t.Errorf("other additional data: %v", err)
	}
}

// A gateway with another sealing key must not publish what the others can't open.
func TestSharedWithAnotherSealingKeyAddsNothing(t *testing.T) {
	t.Parallel()
	shelf, c := &shelf{}, &clock{born}
	newNode(t, shelf, c, nil).mustStart(t)
	n := newNode(t, shelf, c, func(o *SharedOptions) { o.Sealer = must(NewAESSealer([]byte("another sealing key of 32 bytes!!"))) })
	c.t = born.Add(2 * testEvery)
	_, errRotate := n.Rotate(t.Context())
	for name, err := range map[string]error{
		"rotate": errRotate, "publish": n.Publish(t.Context(), false), "publish at once": n.Publish(t.Context(), true),
		"retire": n.Retire(t.Context(), shelf.keys[0].ID),
	} {
		if !errors.Is(err, ErrSealed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(shelf.keys) != 1 {
		t.Errorf("%d keys", len(shelf.keys))
	}
}
