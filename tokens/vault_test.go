package tokens

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/session"
)

const vaultToken = "hvs.CAESIJ-not-a-real-token-0123456789"

// transit is a server with Vault's transit engine: it really encrypts, and answers
// as Vault 1.15 does.
type transit struct {
	*httptest.Server
	sealer *AESSealer
	answer func(http.ResponseWriter, *http.Request) bool // answers in place of the engine; nil: nothing does
}

func newTransit(t *testing.T) *transit {
	t.Helper()
	v := &transit{sealer: must(NewAESSealer(testSecret))}
	v.Server = httptest.NewServer(v)
	t.Cleanup(v.Close)
	return v
}

func (v *transit) fail(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"errors":[%q]}`+"\n", text)
}

func (v *transit) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if v.answer != nil && v.answer(w, r) {
		return
	}
	operation, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1/transit/"), "/")
	switch {
	case r.Header.Get("X-Vault-Token") != vaultToken:
		v.fail(w, 403, "permission denied")
		return
	case key != "sessiongate" || r.Method != http.MethodPost:
		v.fail(w, 404, "unsupported path")
		return
	}
	body, _ := io.ReadAll(r.Body)
	var q struct {
		Plaintext  string `json:"plaintext"`
		Ciphertext string `json:"ciphertext"`
		Associated string `json:"associated_data"`
	}
	if err := json.Unmarshal(body, &q); err != nil {
		v.fail(w, 400, "error parsing JSON")
		return
	}
	additional, err := base64.StdEncoding.DecodeString(q.Associated)
	if err != nil {
		v.fail(w, 400, "failed to base64-decode associated_data")
		return
	}
	data := map[string]any{}
	switch operation {
	case "encrypt":
		plaintext, err := base64.StdEncoding.DecodeString(q.Plaintext)
		if err != nil {
			v.fail(w, 400, "failed to base64-decode plaintext")
			return
		}
		sealed := must(v.sealer.Seal(r.Context(), plaintext, additional))
		data["ciphertext"], data["key_version"] = "vault:v1:"+base64.StdEncoding.EncodeToString(sealed), 1
	case "decrypt":
		sealed, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(q.Ciphertext, "vault:v1:"))
		plaintext, wrong := v.sealer.Open(r.Context(), sealed, additional)
		if err != nil || wrong != nil {
			v.fail(w, 400, "cipher: message authentication failed")
			return
		}
		data["plaintext"] = base64.StdEncoding.EncodeToString(plaintext)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"request_id": "5c7d1a3e-0000-4000-8000-000000000000", "lease_id": "", "renewable": false, "lease_duration": 0,
		"data": data, "wrap_info": nil, "warnings": nil, "auth": nil,
	})
}

func (v *transit) sealerFor(token string) *VaultSealer {
	return must(NewVaultSealer(v.URL+"/v1/transit/", "sessiongate", token))
}

func TestVaultSealer(t *testing.T) {
	t.Parallel()
	v := newTransit(t)
	s := v.sealerFor(vaultToken)
	sealed := must(s.Seal(t.Context(), []byte("plain"), []byte("a")))
	if !strings.HasPrefix(string(sealed), "vault:v1:") || strings.Contains(string(sealed), base64.StdEncoding.EncodeToString([]byte("plain"))) {
		t.Errorf("sealed is %q", sealed)
	}
	if plain, err := s.Open(t.Context(), sealed, []byte("a")); err != nil || string(plain) != "plain" {
		t.Errorf("%q, %v", plain, err)
	}
	changed := append([]byte(nil), sealed...)
	changed[len(changed)/2] ^= 1
	for name, err := range map[string]error{
		"other additional data": second(s.Open(t.Context(), sealed, []byte("b"))),
		"changed":               second(s.Open(t.Context(), changed, []byte("a"))),
		"of the other sealer":   second(s.Open(t.Context(), must(v.sealer.Seal(t.Context(), []byte("x"), nil)), nil)),
	} {
		if !errors.Is(err, ErrSealed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if text := fmt.Sprintf("%v %+v %#v", s, s, s); strings.Contains(text, vaultToken) {
		t.Error("the sealer prints its token")
	}
}

// What goes wrong says so, in time, without a word of what is secret.
func TestVaultSealerFails(t *testing.T) {
	t.Parallel()
	const secret = "hush, the key itself"
	status := func(n int) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(n)
			_, _ = io.WriteString(w, `{"errors":["`+secret+`"]}`)
			return true
		}
	}
	elsewhere := func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, "/v1/elsewhere", http.StatusTemporaryRedirect) // the token must not go there
		return true
	}
	says := func(text string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool { _, _ = io.WriteString(w, text); return true }
	}
	silent := func(_ http.ResponseWriter, r *http.Request) bool {
		_, _ = io.Copy(io.Discard, r.Body) // or nobody notices that they hang up
		<-r.Context().Done()
		return true
	}
	for name, tt := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request) bool
		token  string
		want   error
		text   string
	}{
		"a wrong token":      {nil, "hvs.wrong", ErrSealerRefused, "may not"},
		"no such key":        {status(404), vaultToken, ErrSealerRefused, "no such engine or key"},
		"sealed, itself":     {status(503), vaultToken, session.ErrUnavailable, "503"},
		"too many":           {status(429), vaultToken, session.ErrUnavailable, "429"},
		"an error of its":    {status(500), vaultToken, session.ErrUnavailable, "500"},
		"elsewhere":          {elsewhere, vaultToken, ErrSealerRefused, "307"},
		"no JSON":            {says(secret), vaultToken, ErrSealerRefused, "not JSON"},
		"nothing in it":      {says(`{"data":{}}`), vaultToken, ErrSealerRefused, "its answer has no"},
		"endless":            {says(`{"data":{"x":"` + strings.Repeat("x", 2*maxVaultBytes)), vaultToken, ErrSealerRefused, "not JSON"},
		"the line is cut":    {func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }, vaultToken, session.ErrUnavailable, "ask the key management service"},
		"it does not answer": {silent, vaultToken, session.ErrUnavailable, "ask the key management service"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newTransit(t)
			sealed := must(v.sealerFor(vaultToken).Seal(t.Context(), []byte(secret), nil))
			v.answer = tt.answer
			s := v.sealerFor(tt.token)
			s.client.Timeout = min(s.client.Timeout, 500*time.Millisecond)
			for what, err := range map[string]error{
				"seal": second(s.Seal(t.Context(), []byte(secret), nil)), "open": second(s.Open(t.Context(), sealed, nil)),
			} {
				if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
					t.Errorf("%s: %v, want %q", what, err, tt.text)
				}
				for _, hidden := range []string{secret, tt.token, string(sealed)} {
					if err != nil && strings.Contains(err.Error(), hidden) {
						t.Errorf("%s: the error says %q", what, hidden)
					}
				}
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := s.Seal(ctx, nil, nil); err == nil {
				t.Error("sealed though nobody waits")
			}
		})
	}
}

func TestNewVaultSealer(t *testing.T) {
	t.Parallel()
	for _, tt := range [][3]string{
		{"", "k", "t"},
		{"vault:8200", "k", "t"},
		{"ftp://h/v1", "k", "t"},
		{"https://u:p@h/v1", "k", "t"},
		{"https://h/v1?x", "k", "t"},
		{"https://h/v1/transit", "", "t"},
		{"https://h/v1/transit", "a/b", "t"},
		{"https://h/v1/transit", "..", "t"},
		{"https://h/v1/transit", "k", ""},
	} {
		if _, err := NewVaultSealer(tt[0], tt[1], tt[2]); err == nil {
			t.Errorf("%q is taken", tt)
		}
	}
}

// A gateway's keys, sealed by the service; without it a gateway that has them goes
// on, and one that starts does not.
func TestSharedWithVault(t *testing.T) {
	t.Parallel()
	v, shelf, c := newTransit(t), &shelf{}, &clock{born}
	withVault := func(o *SharedOptions) { o.Sealer = v.sealerFor(vaultToken) }
	n := newNode(t, shelf, c, withVault).mustStart(t)
	raw := n.issue(t, c)
	if _, err := newNode(t, shelf, c, withVault).mustStart(t).Verify(raw); err != nil {
		t.Error(err)
	}
	v.Close()
	if err := n.Load(t.Context()); err == nil {
		t.Error("the copy is renewed without the service")
	}
	if _, err := n.Verify(raw); err != nil {
		t.Error(err)
	}
	if err := newNode(t, shelf, c, withVault).Start(t.Context()); !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("a gateway starts without its keys: %v", err)
	}
}

func TestReseal(t *testing.T) {
	t.Parallel()
	v, shelf, c := newTransit(t), &shelf{}, &clock{born}
	old := newNode(t, shelf, c, nil).mustStart(t)
	raw := old.issue(t, c)
	both := newNode(t, shelf, c, func(o *SharedOptions) { o.Sealer = Sealers{v.sealerFor(vaultToken), old.opt.Sealer} }).mustStart(t)
	if _, err := both.Verify(raw); err != nil {
		t.Error(err)
	}
	if err := newNode(t, shelf, c, func(o *SharedOptions) { o.Sealer = v.sealerFor(vaultToken) }).Start(t.Context()); !errors.Is(err, ErrSealed) {
		t.Errorf("it starts with the new sealing key alone before all is sealed with that: %v", err)
	}
	c.t = c.t.Add(time.Second)
	if n, err := both.Reseal(t.Context()); err != nil || n != len(shelf.keys) {
		t.Fatalf("%d of %d keys, %v", n, len(shelf.keys), err)
	}
	alone := newNode(t, shelf, c, func(o *SharedOptions) { o.Sealer = v.sealerFor(vaultToken) }).mustStart(t)
	if _, err := alone.Verify(raw); err != nil {
		t.Error(err)
	}
	shelf.ledgerAway = session.ErrUnavailable // the copy is sealed anew as well
	if err := newNode(t, shelf, c, func(o *SharedOptions) { o.Sealer = v.sealerFor(vaultToken) }).Load(t.Context()); err != nil {
		t.Error(err)
	}
	if err := newNode(t, shelf, c, nil).Load(t.Context()); err == nil {
		t.Error("the old sealing key still opens the copy")
	}
}
