package real

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	sessiongate "github.com/sessiongate/sessiongate/clients/go"
)

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// forgetAccess leaves nothing in the store but the refresh token.
func forgetAccess(t *testing.T, store sessiongate.Store) {
	t.Helper()
	text, err := store.Load()
	var stored map[string]any
	if err != nil || json.Unmarshal([]byte(text), &stored) != nil || stored["refresh_token"] == nil {
		t.Fatalf("the store has no refresh token: %v", err)
	}
	delete(stored, "access_token")
	rest, _ := json.Marshal(stored)
	if err := store.Save(string(rest)); err != nil {
		t.Fatal(err)
	}
}

// kid says which key a token was signed with.
func kid(t *testing.T, token string) string {
	t.Helper()
	header, _, _ := strings.Cut(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(header)
	var h struct {
		KID string `json:"kid"`
	}
	if err != nil || json.Unmarshal(text, &h) != nil || h.KID == "" {
		t.Fatal("the token has no kid")
	}
	return h.KID
}

var readers = regexp.MustCompile(`(?m)^sessiongate_feed_readers (\d+)`)

// streaming waits until the gateway has at least so many streams open.
func (g *gateway) streaming(t *testing.T, n int) {
	t.Helper()
	until(t, "the streams", func() bool {
		res, err := http.Get(g.url + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		open := 0
		for _, m := range readers.FindAllStringSubmatch(string(text), -1) {
			k, _ := strconv.Atoi(m[1])
			open += k
		}
		return open >= n
	})
}
