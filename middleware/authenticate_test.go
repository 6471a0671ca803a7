package middleware

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/sessiongate/sessiongate/internal/browser"
	"github.com/sessiongate/sessiongate/session"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// sessions answers with err, and counts.
type sessions struct {
	err  error
	seen []session.Token
}

func (s *sessions) Validate(_ context.Context, t session.Token) (session.Session, error) {
	return session.Session{ID: t.SessionID, UserID: t.UserID}, s.err
}

func (s *sessions) Seen(t session.Token, _ time.Time) { s.seen = append(s.seen, t) }

// verifier knows the tokens "good", which has an hour left, and "late", whose
// time was up a moment ago, within the leeway.
type verifier struct{}

func (verifier) Verify(raw string) (session.Token, error) {
	t := session.Token{SessionID: "s1", UserID: "u1", ExpiresAt: noon.Add(time.Hour)}
	switch raw {
	case "good":
		return t, nil
	case "late":
		t.ExpiresAt = noon
		return t, nil
	case "expired":
		return t, fmt.Errorf("tokens: %w", session.ErrTokenExpired)
	}
	return session.Token{}, fmt.Errorf("tokens: %w: %s", session.ErrInvalidToken, "why")
}

func authenticate(store *sessions, signed bool, values ...string) (*httptest.ResponseRecorder, *session.Caller) {
	return present(store, signed, http.Header{"Authorization": values})
}

// present makes a request with this header to an endpoint behind the guard.
func present(store *sessions, signed bool, header http.Header) (*httptest.ResponseRecorder, *session.Caller) {
	origins, err := browser.NewOrigins(nil, "")
	if err != nil {
		panic(err)
	}
	a := &Authenticator{
		Tokens: verifier{}, Sessions: store, Activity: store, Now: func() time.Time { return noon }, Origins: origins,
	}
	guard := a.Live()
	if signed {
		guard = a.Signed()
	}
	var caller *session.Caller
	engine := gin.New()
	engine.POST("/x", guard, func(c *gin.Context) {
		if got, ok := session.FromContext(c.Request.Context()); ok {
			caller = &got
		}
		ok(c)
	})
	r := httptest.NewRequest(http.MethodPost, "/x?access_token=good", strings.NewReader("access_token=good"))
	maps.Copy(r.Header, header)
	r.Header.Set("Content-Type", formType)
	rec := httptest.NewRecorder()
	engine.ServeHTTP(rec, r)
	return rec, caller
}

func TestAuthenticator(t *testing.T) {
	plain, coded := `Bearer realm="sessiongate"`, `error="invalid_token"`
	tests := []struct {
		name      string
		header    []string
		store     error
		live      int // status of Live
		signed    int // status of Signed
		reason    string
		challenge string
	}{
		{"good", []string{"Bearer good"}, nil, 200, 200, "", ""},
		{"scheme in another case", []string{"bEARER good"}, nil, 200, 200, "", ""},
		{"more than one space", []string{"Bearer   good"}, nil, 200, 200, "", ""},
		{"none", nil, nil, 401, 401, "", plain},
		{"another scheme", []string{"Basic dTpw"}, nil, 401, 401, "", plain},
		{"scheme alone", []string{"Bearer"}, nil, 401, 401, "", plain},
		{"no scheme", []string{"good"}, nil, 401, 401, "", plain},
		{"two", []string{"Bearer good", "Bearer good"}, nil, 400, 400, "", ""},
		{"two in one", []string{"Bearer good, Bearer good"}, nil, 401, 401, "invalid", coded},
		{"garbage", []string{"Bearer x.y.z"}, nil, 401, 401, "invalid", coded},
		{"expired", []string{"Bearer expired"}, nil, 401, 401, "expired", coded},
		{"ended", []string{"Bearer good"}, session.ErrEnded, 401, 200, "logged_out_or_revoked", coded},
		{"ended because its time was up", []string{"Bearer late"}, session.ErrEnded, 401, 200, "expired", coded},
		{"superseded", []string{"Bearer good"}, session.ErrSuperseded, 401, 200, "superseded", coded},
		{"Redis can't say", []string{"Bearer good"}, session.ErrUnavailable, 503, 200, "", ""},
		{"Redis can't say of a late one", []string{"Bearer late"}, session.ErrUnavailable, 503, 200, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			store := &sessions{err: tt.store}
			rec, caller := authenticate(store, false, tt.header...)
			if rec.Code != tt.live {
				t.Fatalf("live: %d %s, want %d", rec.Code, rec.Body, tt.live)
			}
			if got := rec.Header().Get("WWW-Authenticate"); !strings.Contains(got, tt.challenge) || (got == "") != (rec.Code != 401) {
				t.Errorf("WWW-Authenticate %q, want %q", got, tt.challenge)
			}
			if tt.challenge == plain && strings.Contains(rec.Header().Get("WWW-Authenticate"), "error=") {
				t.Error("an error code, although nothing was presented")
			}
			if want := fmt.Sprintf("%q", tt.reason); tt.reason != "" && !strings.Contains(rec.Body.String(), `"reason":`+want) {
				t.Errorf("body %s, want reason %s", rec.Body, want)
			}
			accepted := tt.live == 200
			if accepted != (caller != nil) || accepted != (len(store.seen) == 1) {
				t.Errorf("caller %v, seen %v", caller, store.seen)
			}
			if accepted && (caller.Session.ID != "s1" || caller.Token.UserID != "u1") {
				t.Errorf("caller %+v", caller)
			}

			store.seen = nil
			if rec, _ := authenticate(store, true, tt.header...); rec.Code != tt.signed || len(store.seen) > 0 {
				t.Errorf("signed: %d, want %d; seen %v", rec.Code, tt.signed, store.seen)
			}
		})
	}
}

func TestAuthenticatorCookie(t *testing.T) {
	const cookie = browser.SessionCookie + "="
	foreign := http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.example"}}
	tests := []struct {
		name     string
		cookies  []string
		header   http.Header
		store    error
		live     int
		signed   int
		byCookie bool
		cleared  bool // by Live
	}{
		{"good", []string{cookie + "good"}, nil, nil, 200, 200, true, false},
		{"empty", []string{cookie}, nil, nil, 401, 401, false, false},
		{"garbage", []string{cookie + "x"}, nil, nil, 401, 401, false, true},
		{"expired", []string{cookie + "expired"}, nil, nil, 401, 401, false, true},
		{"ended", []string{cookie + "good"}, nil, session.ErrEnded, 401, 200, true, true},
		{"superseded: the browser may have the successor", []string{cookie + "good"}, nil, session.ErrSuperseded, 401, 200, true, false},
		{"Redis can't say", []string{cookie + "good"}, nil, session.ErrUnavailable, 503, 200, true, false},
		{"twice", []string{cookie + "good", cookie + "good"}, nil, nil, 400, 400, false, false},
		{"of another page", []string{cookie + "good"}, foreign, nil, 403, 403, false, false},
		{"garbage of another page", []string{cookie + "x"}, foreign, nil, 403, 403, false, false},
		{"beside a good header", []string{cookie + "x"}, http.Header{"Authorization": {"Bearer good"}}, nil, 200, 200, false, false},
		{"beside a good header, of another page", []string{cookie + "x"}, http.Header{
			"Authorization": {"Bearer good"}, "Origin": {"https://evil.example"},
		}, nil, 200, 200, false, false},
		{"beside a bad header", []string{cookie + "good"}, http.Header{"Authorization": {"Bearer x"}}, nil, 401, 401, false, false},
		{"beside a malformed header", []string{cookie + "good"}, http.Header{"Authorization": {"Bearer"}}, nil, 401, 401, false, false},
		{"beside an empty header", []string{cookie + "good"}, http.Header{"Authorization": {""}}, nil, 401, 401, false, false},
		{"beside another scheme", []string{cookie + "good"}, http.Header{"Authorization": {"Basic dTpw"}}, nil, 401, 401, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			header := http.Header{"Cookie": tt.cookies}
			maps.Copy(header, tt.header)
			for signed, want := range map[bool]int{false: tt.live, true: tt.signed} {
				rec, caller := present(&sessions{err: tt.store}, signed, header)
				if rec.Code != want {
					t.Fatalf("signed %v: %d %s, want %d", signed, rec.Code, rec.Body, want)
				}
				if caller != nil && caller.ByCookie != tt.byCookie {
					t.Errorf("signed %v: caller %+v", signed, caller)
				}
				cleared := strings.HasPrefix(rec.Header().Get("Set-Cookie"), cookie+"; ")
				if cleared != (tt.cleared && rec.Code == http.StatusUnauthorized) {
					t.Errorf("signed %v: Set-Cookie %q", signed, rec.Header()["Set-Cookie"])
				}
			}
		})
	}
}
