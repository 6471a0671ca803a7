package handlers

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/sessiongate/sessiongate/login"
	"github.com/sessiongate/sessiongate/session"
)

// sceptic refuses every sign-in and notes it.
type sceptic struct{ asked []login.SignIn }

func (s *sceptic) Assess(_ context.Context, in login.SignIn) (session.Risk, string) {
	s.asked = append(s.asked, in)
	return session.Risk{Score: 120, Signals: []string{"new_country"}}, login.Suspicious
}

// scroll notes what is appended, and creates nothing.
type scroll struct {
	failing
	events []session.Event
}

func (s *scroll) Append(_ context.Context, e session.Event) error {
	s.events = append(s.events, e)
	return s.err
}

func TestBackendIsToldThatASignInIsRefused(t *testing.T) {
	t.Parallel()
	const body = `{"user_id":"u1","ip_address":"1.53.0.1","user_agent":"curl/8","device_info":{"name":"x"}}`
	who, log := &sceptic{}, &scroll{failing: failing{errors.New("nothing may be created")}}
	log.err = nil
	engine := engineOn(t, errors.New("nothing may be created"), func(a *API) {
		a.Backend.Assessor, a.Backend.Sessions = who, log
	})
	answer := ask(engine, http.MethodPost, "/sessions", body)
	if answer.Code != http.StatusForbidden || !strings.Contains(answer.Body.String(), `"code":"sign_in_refused"`) {
		t.Errorf("answered %d %s", answer.Code, answer.Body)
	}
	if text := answer.Body.String(); strings.Contains(text, "new_country") || strings.Contains(text, "120") {
		t.Errorf("the answer says what was unusual: %s", text)
	}
	want := session.Origin{IP: "1.53.0.1", UserAgent: "curl/8", Country: "VN", ASN: 45899}
	if len(who.asked) != 1 || who.asked[0].UserID != "u1" || who.asked[0].Origin != want {
		t.Errorf("assessed was %+v", who.asked)
	}
	if len(log.events) != 1 {
		t.Fatalf("logged were %d events", len(log.events))
	}
	e := log.events[0]
	if e.Success || e.Error != "suspicious" || e.UserID != "u1" || e.SessionID != "" || e.Risk.Score != 120 || e.Action != session.ActionLogin {
		t.Errorf("logged was %+v", e)
	}
	log.err = session.ErrUnavailable
	if answer := ask(engine, http.MethodPost, "/sessions", body); answer.Code != http.StatusServiceUnavailable {
		t.Errorf("without an audit log it is answered %d", answer.Code)
	}
}
