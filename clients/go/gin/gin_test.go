package sessiongategin

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gin-gonic/gin"

	sessiongate "github.com/sessiongate/sessiongate/clients/go"
)

type verifier func(token string) (*sessiongate.Session, error)

func (v verifier) Verify(_ context.Context, token string) (*sessiongate.Session, error) {
	return v(token)
}

func TestRequire(t *testing.T) {
	gin.SetMode(gin.TestMode)
	e := gin.New()
	down := errors.New("no route")
	var noted []error
	e.Use(func(c *gin.Context) {
		c.Next()
		for _, err := range c.Errors {
			noted = append(noted, err.Err)
		}
	})
	e.Use(Require(verifier(func(token string) (*sessiongate.Session, error) {
		switch token {
		case "good":
			return &sessiongate.Session{Subject: "42", Scopes: []string{"read"}}, nil
		case "doubt":
			return nil, down
		}
		return nil, sessiongate.ErrInactive
	}), "read"))
	e.GET("/", func(c *gin.Context) { c.String(http.StatusOK, FromContext(c).Subject) })
	for header, want := range map[string]int{"Bearer good": 200, "Bearer bad": 401, "": 401, "Bearer doubt": 503} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Authorization", header)
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		if w.Code != want || (want == 200) != (w.Body.String() == "42") {
			t.Errorf("%q is answered %d %q, want %d", header, w.Code, w.Body, want)
		}
	}
	if len(noted) != 1 || !errors.Is(noted[0], down) {
		t.Errorf("noted %v, want why it was in doubt", noted)
	}
}
