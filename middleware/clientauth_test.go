package middleware

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
)

func testClients(t *testing.T) *Clients {
	t.Helper()
	c, err := NewClients([]Client{
		{
			ID: "gateway", Allow: []string{"introspect"},
			Secrets: [][sha256.Size]byte{sha256.Sum256([]byte("old secret")), sha256.Sum256([]byte("p%40 s:s+w/d€"))},
		},
		{ID: "a b:c", Allow: []string{"introspect"}, Secrets: [][sha256.Size]byte{sha256.Sum256([]byte("s"))}},
		{ID: "backend", Allow: []string{"sessions"}, Secrets: [][sha256.Size]byte{sha256.Sum256([]byte("s"))}},
		{ID: "empty", Allow: []string{"introspect"}, Secrets: [][sha256.Size]byte{sha256.Sum256(nil), {}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func credentials(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
}

func askAsClient(guard gin.HandlerFunc, r *http.Request) (*httptest.ResponseRecorder, string) {
	var id string
	engine := gin.New()
	engine.POST("/x", guard, func(c *gin.Context) {
		id = ClientID(c.Request.Context())
		c.String(http.StatusOK, c.Request.PostForm.Get("token"))
	})
	rec := httptest.NewRecorder()
	engine.ServeHTTP(rec, r)
	return rec, id
}

func TestClientsOAuth(t *testing.T) {
	raw := func(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }
	form := func(pairs ...string) string {
		v := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			v.Add(pairs[i], pairs[i+1])
		}
		return v.Encode()
	}
	tests := []struct {
		name   string
		header string
		body   string
		want   int
		client string
	}{
		{"basic", credentials("gateway", "old secret"), "token=t", 200, "gateway"},
		{"the second secret, with characters to encode", credentials("gateway", "p%40 s:s+w/d€"), "token=t", 200, "gateway"},
		{"an id to encode", credentials("a b:c", "s"), "token=t", 200, "a b:c"},
		{"scheme in another case", "bASIC " + credentials("gateway", "old secret")[6:], "token=t", 200, "gateway"},
		{"post", "", form("token", "t", "client_id", "gateway", "client_secret", "p%40 s:s+w/d€"), 200, "gateway"},
		{"basic, with its own id in the form", credentials("gateway", "old secret"), "token=t&client_id=gateway", 200, "gateway"},
		{"basic, with nothing in the form", credentials("gateway", "old secret"), "token=t&client_id=&client_secret=", 200, "gateway"},
		{"unknown parameters", credentials("gateway", "old secret"), "token=t&x=1&x=2", 200, "gateway"},
		{"none", "", "token=t", 401, ""},
		{"none, no body", "", "", 401, ""},
		{"wrong secret", credentials("gateway", "old secret "), "token=t", 401, ""},
		{"no secret", credentials("gateway", ""), "token=t", 401, ""},
		{"no secret where the empty one is configured", credentials("empty", ""), "token=t", 401, ""},
		{"unknown client", credentials("nobody", "s"), "token=t", 401, ""},
		{"another client's secret", credentials("gateway", "s"), "token=t", 401, ""},
		{"id without a secret in the form", "", "token=t&client_id=gateway", 401, ""},
		{"bad percent-encoding", raw("gateway:%zz"), "token=t", 401, ""},
		{"no colon", raw("gateway"), "token=t", 401, ""},
		{"not base64", "Basic ***", "token=t", 401, ""},
		{"bearer", "Bearer x", form("token", "t", "client_id", "gateway", "client_secret", "old secret"), 401, ""},
		{"both methods", credentials("gateway", "old secret"), form("token", "t", "client_id", "gateway", "client_secret", "old secret"), 400, ""},
		{"two ids", credentials("gateway", "old secret"), "token=t&client_id=backend", 400, ""},
		{"token twice", credentials("gateway", "old secret"), "token=t&token=u", 400, ""},
		{"broken form", credentials("gateway", "old secret"), "token=%zz", 400, ""},
		{"known, but not for this", credentials("backend", "s"), "token=t", 403, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/x?client_id=gateway&client_secret=old+secret", strings.NewReader(tt.body))
			r.Header.Set("Content-Type", formType)
			if tt.header != "" {
				r.Header.Set("Authorization", tt.header)
			}
			rec, client := askAsClient(testClients(t).OAuth("introspect"), r)
			if rec.Code != tt.want || client != tt.client {
				t.Fatalf("%d %s as %q, want %d as %q", rec.Code, rec.Body, client, tt.want, tt.client)
			}
			if tt.want == 200 && rec.Body.String() != "t" {
				t.Errorf("the handler finds token %q", rec.Body)
			}
			if challenge := rec.Header().Get("WWW-Authenticate"); strings.HasPrefix(challenge, "Basic ") != (tt.want == 401) {
				t.Errorf("WWW-Authenticate %q", challenge)
			}
			if tt.want != 200 && !strings.HasPrefix(rec.Body.String(), `{"error":"`) {
				t.Errorf("body %s", rec.Body)
			}
		})
	}
}

func TestClientsOAuthContentType(t *testing.T) {
	tests := []struct {
		name, contentType, body string
		chunked                 bool
		want                    int
	}{
		{"form", formType, "token=t", false, 200},
		{"with a charset", formType + "; charset=UTF-8", "token=t", false, 200},
		{"in capitals", "Application/X-WWW-Form-Urlencoded", "token=t", false, 200},
		{"chunked", formType, "token=t", true, 200},
		{"JSON", "application/json", `{"token":"t"}`, false, 415},
		{"none", "", "token=t", false, 415},
		{"garbage", ";;", "token=t", false, 415},
		{"none, and no body", "", "", false, 200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/x", strings.NewReader(tt.body))
			r.Header.Set("Authorization", credentials("gateway", "old secret"))
			r.Header.Set("Content-Type", tt.contentType)
			if tt.chunked {
				r.ContentLength = -1
			}
			if rec, _ := askAsClient(testClients(t).OAuth("introspect"), r); rec.Code != tt.want {
				t.Errorf("%d %s, want %d", rec.Code, rec.Body, tt.want)
			}
		})
	}
}

func TestClientsOAuthShortBody(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/x", strings.NewReader("token=t"))
	r.ContentLength = 100
	r.Header.Set("Content-Type", formType)
	if rec, _ := askAsClient(testClients(t).OAuth("introspect"), r); rec.Code != http.StatusBadRequest {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

func TestClientsBasic(t *testing.T) {
	tests := []struct {
		name   string
		header []string
		want   int
	}{
		{"good", []string{credentials("backend", "s")}, 200},
		{"none", nil, 401},
		{"wrong", []string{credentials("backend", "t")}, 401},
		{"bearer", []string{"Bearer x"}, 401},
		{"not for this", []string{credentials("gateway", "old secret")}, 403},
		{"two", []string{credentials("backend", "s"), credentials("backend", "s")}, 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/x", strings.NewReader("client_id=backend&client_secret=s"))
			r.Header.Set("Content-Type", formType)
			r.Header["Authorization"] = tt.header
			rec, client := askAsClient(testClients(t).Basic("sessions"), r)
			if rec.Code != tt.want || (client == "backend") != (tt.want == 200) {
				t.Errorf("%d %s as %q, want %d", rec.Code, rec.Body, client, tt.want)
			}
			if challenge := rec.Header().Get("WWW-Authenticate"); strings.HasPrefix(challenge, "Basic ") != (tt.want == 401) {
				t.Errorf("WWW-Authenticate %q", challenge)
			}
		})
	}
}

func TestNewClientsRefusesTwins(t *testing.T) {
	if _, err := NewClients([]Client{{ID: "a"}, {ID: "a"}}); err == nil {
		t.Error("two clients with one id")
	}
}

func TestClientsOAuthBasic(t *testing.T) {
	guard := testClients(t).OAuthBasic("introspect")
	for header, want := range map[string]int{
		credentials("gateway", "old secret"): 200, credentials("gateway", "x"): 401, credentials("backend", "s"): 403, "Bearer x": 401, "": 401,
	} {
		r := httptest.NewRequest(http.MethodPost, "/x", strings.NewReader(`{"client_id":"gateway"}`))
		if header != "" {
			r.Header.Set("Authorization", header)
		}
		rec, _ := askAsClient(guard, r)
		if rec.Code != want || want >= 400 && !strings.HasPrefix(rec.Body.String(), `{"error":`) {
			t.Errorf("%q: %d %s, want %d", header, rec.Code, rec.Body, want)
		}
	}
}

func TestClientFrom(t *testing.T) {
	if c := ClientFrom(t.Context()); c.ID != "" || ClientID(t.Context()) != "" {
		t.Errorf("nobody is %+v", c)
	}
}
