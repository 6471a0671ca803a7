package handlers

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/sessiongate/sessiongate/session"
)

// outbox is the stores behind the links of messages: one event that was told of. It
// notes what is done, in order, and fails at what is named.
type outbox struct {
	failing
	event    session.Event
	reported bool
	fails    string
	steps    []string
}

func (o *outbox) step(what string) error {
	if what == o.fails {
		return session.ErrUnavailable
	}
	o.steps = append(o.steps, what)
	return nil
}

func (o *outbox) Event(token string, _ time.Time) (session.EventID, bool) {
	return o.event.ID, token == "ours"
}

func (o *outbox) NoticeEvent(_ context.Context, id session.EventID) (session.Event, bool, error) {
	if id != o.event.ID {
		return session.Event{}, false, session.ErrNotFound
	}
	return o.event, o.reported, o.step("find")
}

func (o *outbox) ReportEvent(context.Context, session.EventID, time.Time) (bool, error) {
	o.reported = true
	return true, o.step("report")
}

func (o *outbox) Revoke(_ context.Context, user string, sid session.ID, why session.EndReason, _ session.Event) (bool, error) {
	if user != o.event.UserID || sid != o.event.SessionID || why != session.EndReported {
		return false, errors.New("another session")
	}
	return true, o.step("session")
}

func (o *outbox) Grants(context.Context, string) ([]session.Grant, error) { return nil, nil }

func (o *outbox) EndGrant(_ context.Context, user string, id session.ID, why session.EndReason, _ session.Event) (bool, error) {
	if user != o.event.UserID || id != o.event.GrantID || why != session.EndReported {
		return false, errors.New("another device")
	}
	return true, o.step("device")
}

func newOutbox(t *testing.T) (*outbox, *gin.Engine) {
	t.Helper()
	o := &outbox{event: session.Event{
		ID: session.NewEventID(noon), CreatedAt: noon, UserID: "u1", SessionID: testToken.SessionID,
		GrantID: session.NewID(noon), Device: session.Device{Name: "<b>phone</b>"},
	}}
	origin := func(*http.Request) session.Origin { return session.Origin{IP: "203.0.113.7"} }
	now := func() time.Time { return noon }
	return o, engineOn(t, nil, func(a *API) {
		a.Notices = &Notices{Links: o, Events: o, Sessions: o, Devices: o, Origin: origin, Now: now, App: "Example"}
	})
}

func TestNotices(t *testing.T) {
	t.Parallel()
	page := func(t *testing.T, e *gin.Engine, method, token string, status int, text string) *httptest.ResponseRecorder {
		t.Helper()
		r := ask(e, method, "/notices/"+token, "")
		if r.Code != status || !strings.Contains(r.Body.String(), text) || strings.Contains(r.Body.String(), "<b>") {
			t.Errorf("%s: %d %s, want %d and %q", method, r.Code, r.Body, status, text)
		}
		if r.Header().Get("Cache-Control") != "no-store" || r.Header().Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("headers %v", r.Header())
		}
		return r
	}
	t.Run("GET shows and does nothing", func(t *testing.T) {
		t.Parallel()
		o, e := newOutbox(t)
		for range 3 {
			page(t, e, http.MethodGet, "ours", 200, "<form")
		}
		if slices.ContainsFunc(o.steps, func(s string) bool { return s != "find" }) {
			t.Errorf("it did %q", o.steps)
		}
	})
	t.Run("POST ends the session and its device, and then notes it, once", func(t *testing.T) {
		t.Parallel()
		o, e := newOutbox(t)
		page(t, e, http.MethodPost, "ours", 200, "The session has ended")
		page(t, e, http.MethodPost, "ours", 200, "Already done")
		page(t, e, http.MethodGet, "ours", 200, "Already done")
		if want := []string{"find", "session", "device", "report", "find", "find"}; !slices.Equal(o.steps, want) {
			t.Errorf("it did %q, want %q", o.steps, want)
		}
	})
	t.Run("a session of no remembered device has none to end", func(t *testing.T) {
		t.Parallel()
		o, e := newOutbox(t)
		o.event.GrantID = ""
		page(t, e, http.MethodPost, "ours", 200, "The session has ended")
		if want := []string{"find", "session", "report"}; !slices.Equal(o.steps, want) {
			t.Errorf("it did %q, want %q", o.steps, want)
		}
	})
	for _, fails := range []string{"find", "session", "device"} {
		t.Run("what did not happen is not said to have: "+fails, func(t *testing.T) {
			t.Parallel()
			o, e := newOutbox(t)
			o.fails = fails
			r := page(t, e, http.MethodPost, "ours", 503, "Nothing has been done")
			if r.Header().Get("Retry-After") == "" || o.reported {
				t.Errorf("Retry-After %q, noted: %t", r.Header().Get("Retry-After"), o.reported)
			}
			o.fails = ""
			page(t, e, http.MethodPost, "ours", 200, "The session has ended")
		})
	}
	t.Run("who is no guest of ours costs no store a question", func(t *testing.T) {
		t.Parallel()
		o, e := newOutbox(t)
		page(t, e, http.MethodGet, "forged", 404, "no longer good")
		page(t, e, http.MethodPost, "forged", 404, "no longer good")
		if len(o.steps) > 0 {
			t.Errorf("it did %q", o.steps)
		}
	})
	t.Run("one link is asked about only so often", func(t *testing.T) {
		t.Parallel()
		o, e := newOutbox(t)
		for range visitsEach {
			page(t, e, http.MethodGet, "ours", 200, "<form")
		}
		r := page(t, e, http.MethodPost, "ours", 429, "Too often")
		if n, err := strconv.Atoi(r.Header().Get("Retry-After")); err != nil || n < 1 || n > 60 || len(o.steps) != visitsEach {
			t.Errorf("Retry-After %q after %q", r.Header().Get("Retry-After"), o.steps)
		}
	})
}

// subscribers are people who can be told at once, or not.
type subscribers struct {
	failing
	refuses error
}

func (s subscribers) Add(context.Context, string, session.PushAddress, time.Time) (string, error) {
	return "s-1", s.refuses
}

func (s subscribers) ListPush(context.Context, string) ([]session.PushSubscription, error) {
	return nil, s.err
}

func (s subscribers) RemovePush(context.Context, string, string, time.Time) error { return s.err }

func TestPushSubscriptions(t *testing.T) {
	t.Parallel()
	const path, body = "/sessions/push-subscriptions", `{"fcm_token":"phone"}`
	tests := []struct {
		name               string
		push               func(*Push)
		method, path, body string
		status             int
		want               string
	}{
		{"nothing is there without push messages", func(p *Push) { p.Subscriber = nil }, "POST", path, body, 404, "not_found"},
		{"nor anything to list", func(p *Push) { p.Subscriber = nil }, "GET", path, "", 404, "not_found"},
		{"nor to remove", func(p *Push) { p.Subscriber = nil }, "DELETE", path + "/s-1", "", 404, "not_found"},
		{"an installation", nil, "POST", path, body, 201, `"id":"s-1"`},
		{
			"a field that is wrong is named", func(p *Push) {
				p.Subscriber = subscribers{refuses: &session.FieldError{Field: "endpoint", Reason: "must be https"}}
			},
			"POST", path, `{"endpoint":"http://x"}`, 400, "endpoint must be https",
		},
		{
			"there are only so many", func(p *Push) { p.Subscriber = subscribers{refuses: session.ErrTooMany} },
			"POST", path, body, 400, "remove one first",
		},
		{
			"a store that is away", func(p *Push) { p.Subscriber = subscribers{refuses: session.ErrUnavailable} },
			"POST", path, body, 503, "store_unavailable",
		},
		{"a member that nobody knows", nil, "POST", path, `{"fcm":"x"}`, 400, "invalid_request"},
		{"the list, empty, with the key", nil, "GET", path, "", 200, `{"subscriptions":[],"vapid_public_key":"BKey"}`},
		{"the list, the store away", func(p *Push) { p.List = subscribers{failing: failing{session.ErrUnavailable}} }, "GET", path, "", 503, ""},
		{"one of another user", func(p *Push) { p.List = subscribers{failing: failing{session.ErrNotFound}} }, "DELETE", path + "/s-2", "", 404, "not_found"},
		{"one of theirs", nil, "DELETE", path + "/s-1", "", 204, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := engineOn(t, nil, func(a *API) {
				a.Push = Push{Subscriber: subscribers{}, List: subscribers{}, VAPIDKey: "BKey", Now: func() time.Time { return noon }}
				if tt.push != nil {
					tt.push(&a.Push)
				}
			})
			if r := ask(e, tt.method, tt.path, tt.body); r.Code != tt.status || !strings.Contains(r.Body.String(), tt.want) {
				t.Errorf("%d %s, want %d with %q", r.Code, r.Body, tt.status, tt.want)
			}
		})
	}
}
