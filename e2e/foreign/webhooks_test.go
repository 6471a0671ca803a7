package foreign

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
)

// webhookRequest is one that a receiver got.
type webhookRequest struct {
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}

// receiver takes webhooks.
type receiver struct {
	*httptest.Server
	mu  sync.Mutex
	got map[string][]webhookRequest // by path
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{got: map[string][]webhookRequest{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		headers := map[string]string{}
		for name := range req.Header {
			headers[strings.ToLower(name)] = req.Header.Get(name)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got[req.URL.Path] = append(r.got[req.URL.Path], webhookRequest{headers, string(body)})
		w.WriteHeader(http.StatusAccepted) // RFC 8935 §2.2
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) requests(path string) []webhookRequest {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]webhookRequest(nil), r.got[path]...)
}

func whsec(s string) string { return "whsec_" + base64.StdEncoding.EncodeToString([]byte(s)) }

// TestWebhooks: the library standardwebhooks believes our webhooks, with either of
// two secrets, and jwx our security event tokens, with the keys of the JWKS.
func TestWebhooks(t *testing.T) {
	t.Parallel()
	to := newReceiver(t)
	secrets := []string{whsec("the new secret of a webhook"), whsec("the old secret of a webhook")}
	webhooks, err := json.Marshal([]map[string]any{
		{"name": "siem", "url": to.URL + "/siem", "secrets": secrets},
		{"name": "rp", "url": to.URL + "/rp", "secrets": secrets[:1], "format": "caep"},
	})
	if err != nil {
		t.Fatal(err)
	}
	g := start(t, "ES256",
		"SESSIONGATE_NOTIFY_SECRET="+rand32(), "SESSIONGATE_NOTIFY_WEBHOOKS="+string(webhooks),
		"SESSIONGATE_NOTIFY_ALLOW_NETWORKS=127.0.0.0/8", "SESSIONGATE_NOTIFY_ALLOW_HTTP=true")
	sid := endSession(t, g)
	err = eventually(t.Context(), func(context.Context) error {
		if n, m := len(to.requests("/siem")), len(to.requests("/rp")); n != 1 || m != 1 {
			return fmt.Errorf("%d webhooks and %d security event tokens have arrived", n, m)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	verifyWithNode(t, to.requests("/siem"), secrets)
	verifySecurityEvent(t, g, to.requests("/rp")[0], sid)
}

// endSession opens a session and revokes it.
func endSession(t *testing.T, g *gateway) (sid string) {
	t.Helper()
	post := func(path, kind, body string) []byte {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(url.QueryEscape(shop.ID), url.QueryEscape(shop.Secret))
		req.Header.Set("Content-Type", kind)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode/100 != 2 {
			t.Fatalf("%s: %d %s %v", path, res.StatusCode, b, err)
		}
		return b
	}
	var opened struct {
		Token   string `json:"access_token"`
		Session struct{ ID string }
	}
	if err := json.Unmarshal(post("/sessions", "application/json", `{"user_id":"nora"}`), &opened); err != nil {
		t.Fatal(err)
	}
	post("/oauth2/revoke", "application/x-www-form-urlencoded", url.Values{"token": {opened.Token}}.Encode())
	return opened.Session.ID
}

func verifyWithNode(t *testing.T, requests []webhookRequest, secrets []string) {
	t.Helper()
	dir, err := nodeDir()
	if err != nil {
		t.Fatal(err)
	}
	input, err := json.Marshal(map[string]any{
		"requests": requests, "secrets": secrets, "other": whsec("somebody else's own secret"),
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "webhooks.js")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "FOREIGN="+string(input))
	out, err := cmd.CombinedOutput()
	t.Logf("\n%s", out)
	if err != nil {
		t.Errorf("webhooks.js: %v", err)
	}
}

func verifySecurityEvent(t *testing.T, g *gateway, got webhookRequest, sid string) {
	t.Helper()
	keys, err := jwk.Fetch(t.Context(), g.url+"/.well-known/jwks.json")
	if err != nil {
		t.Fatal(err)
	}
	payload, err := jws.Verify([]byte(got.Body), jws.WithKeySet(keys))
	if err != nil {
		t.Fatalf("jwx does not believe %s: %v", got.Body, err)
	}
	message, err := jws.Parse([]byte(got.Body))
	if err != nil {
		t.Fatal(err)
	}
	if typ, _ := message.Signatures()[0].ProtectedHeaders().Type(); typ != "secevent+jwt" {
		t.Errorf("typ is %q", typ)
	}
	var set struct {
		Issuer   string `json:"iss"`
		Audience string `json:"aud"`
		Subject  struct {
			Session struct{ ID string }
			User    struct{ Sub string }
		} `json:"sub_id"`
		Events map[string]any
	}
	if err := json.Unmarshal(payload, &set); err != nil {
		t.Fatal(err)
	}
	if set.Issuer != g.url || set.Audience != "rp" || set.Subject.Session.ID != sid || set.Subject.User.Sub != "nora" ||
		set.Events["https://schemas.openid.net/secevent/caep/event-type/session-revoked"] == nil {
		t.Errorf("the token says %s", payload)
	}
}
