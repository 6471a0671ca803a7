package e2e

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
)

// TestDoctorAndTheSealingKey: doctor leaves what it finds as it is, says whether the
// keys can be opened, and the key that seals them can be replaced.
func TestDoctorAndTheSealingKey(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	managed := func(more ...string) []string {
		return s.settings(append([]string{"SESSIONGATE_TOKENS_KEYS=managed", "SESSIONGATE_TOKENS_SECRET=", "SESSIONGATE_TOKENS_ALGORITHM=ES256"}, more...)...)
	}
	current := managed("SESSIONGATE_TOKENS_SEALING_KEY=" + sealingKey)
	if code, p := run(t, current, "doctor"); code == 0 || !strings.Contains(p.stdout(), "not up to date") {
		t.Errorf("on empty stores doctor ends with %d:\n%s", code, p.output())
	}
	if keys := must(t, s.redis.Keys(t.Context(), "*")); len(keys) > 0 {
		t.Errorf("doctor made %q", keys)
	}
	g := s.start(t, "SESSIONGATE_TOKENS_KEYS=managed", "SESSIONGATE_TOKENS_SECRET=", "SESSIONGATE_TOKENS_ALGORITHM=ES256", "SESSIONGATE_TOKENS_SEALING_KEY="+sealingKey)
	// It may start before there is a managed key, since it has another one to sign with.
	eventually(t, func() error {
		var n int
		err := s.db.QueryRowContext(t.Context(), "SELECT count(*) FROM signing_keys").Scan(&n)
		if err == nil && n != 1 {
			err = fmt.Errorf("%d managed keys, want 1", n)
		}
		return err
	})
	token := g.open(t, newID()).AccessToken
	says := func(settings []string, good bool, texts ...string) {
		t.Helper()
		code, p := run(t, settings, "doctor")
		for _, text := range texts {
			if !strings.Contains(p.stdout(), text) || (code == 0) != good {
				t.Errorf("doctor ends with %d, want %q:\n%s", code, text, p.output())
			}
		}
	}
	newKey := "seal-e2e-new-" + rand.Text() + rand.Text()
	replaced := managed("SESSIONGATE_TOKENS_SEALING_KEY=" + newKey)
	both := managed("SESSIONGATE_TOKENS_SEALING_KEY="+newKey, "SESSIONGATE_TOKENS_OLD_SEALING_KEYS="+sealingKey)
	says(current, true, "1, all can be opened", "signing keys: current", "none is due")
	says(replaced, false, "the sealing key does not fit")
	says(both, true, "1, all can be opened")
	if code, p := run(t, both, "keys", "reseal"); code != 0 || !strings.Contains(p.stdout(), "1 keys are sealed anew") {
		t.Errorf("reseal ends with %d:\n%s", code, p.output())
	}
	says(replaced, true, "1, all can be opened")
	says(current, false, "the sealing key does not fit")
	g.alive(t, token) // what is open stays open
	s.start(t, "SESSIONGATE_TOKENS_KEYS=managed", "SESSIONGATE_TOKENS_SECRET=", "SESSIONGATE_TOKENS_ALGORITHM=ES256", "SESSIONGATE_TOKENS_SEALING_KEY="+newKey).alive(t, token)
}
