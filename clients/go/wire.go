package sessiongate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// ErrNoAnswer is what a Client's calls fail with, wrapped, when the gateway could
// not be reached or did not answer in time.
var ErrNoAnswer = errors.New("sessiongate: the gateway did not answer")

// ErrNotOurs is what they fail with when what answers is not a gateway: the page
// of a network that wants to be paid first, say.
var ErrNotOurs = errors.New("sessiongate: the answer is not one of the gateway's")

// patience is how long an answer may take.
const patience = 15 * time.Second

// wire speaks with the gateway, for a Client.
type wire struct {
	base   string
	client *http.Client
	clock  Clock
	device *Device
}

// call is a request; token and body may be empty.
type call struct {
	method, path, token string
	body                any
}

// reply is what became of a call: a body, or an error. refused is the gateway's
// definite word that the credential is no good, and why.
type reply struct {
	body    []byte
	err     error
	refused string
}

// retryAfter is how long the gateway asks to be left alone; 0 if it does not.
func (r reply) retryAfter() time.Duration {
	var e *Error
	if errors.As(r.err, &e) {
		return e.RetryAfter
	}
	return 0
}

// final returns the code of a refusal that the gateway would repeat; "" if it is none.
func (r reply) final() string {
	var e *Error
	if errors.As(r.err, &e) && e.Status >= 400 && e.Status < 500 && !e.Temporary() {
		return e.Code
	}
	return ""
}

func (w *wire) request(ctx context.Context, c call) (*http.Response, error) {
	var body io.Reader
	if c.body != nil {
		text, err := json.Marshal(c.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, c.method, w.base+c.path, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	return w.client.Do(req)
}

// send makes a request and reads its answer, within the time that it may take.
func (w *wire) send(ctx context.Context, c call) reply {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer w.clock.AfterFunc(patience, cancel)()
	res, err := w.request(ctx, c)
	if err != nil {
		return reply{err: fmt.Errorf("%w: %w", ErrNoAnswer, err)}
	}
	defer func() { _ = res.Body.Close() }()
	return conclude(res)
}

// conclude reads an answer to its end and says what it means.
func conclude(res *http.Response) reply {
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return reply{err: fmt.Errorf("%w: %w", ErrNoAnswer, err)}
	}
	if res.StatusCode >= 200 && res.StatusCode < 300 {
		return reply{body: body}
	}
	var p struct {
		Code      string `json:"code"`
		Reason    string `json:"reason"`
		Detail    string `json:"detail"`
		RequestID string `json:"request_id"`
	}
	if json.Unmarshal(body, &p) != nil {
		p.Code, p.Reason, p.Detail, p.RequestID = "", "", "", ""
	}
	e := &Error{
		Status: res.StatusCode, Code: p.Code, Reason: p.Reason, Detail: p.Detail, RequestID: p.RequestID,
		RetryAfter: told(res.Header),
	}
	out := reply{err: e}
	if e.Status == http.StatusUnauthorized && e.Code == "unauthenticated" {
		out.refused = e.Reason
	}
	return out
}

// told reads the seconds of a Retry-After, all of them: a Client has time. A date
// is somebody else's, and compared with no clock.
func told(h http.Header) time.Duration {
	n, err := strconv.ParseUint(h.Get("Retry-After"), 10, 20)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}

// terms is what an answer says of the session's time, from its moment on.
type terms struct {
	good, due time.Duration
	idle      bool // idle time counts
	session   *DeviceSession
	held      held // of a grant
}

// readTerms reads the answer of a sign-in, a refresh or, if grant is false, of
// status. It is false for whatever is not the gateway's.
func readTerms(body []byte, grant bool) (terms, bool) {
	var a struct {
		Access  string          `json:"access_token"`
		Refresh string          `json:"refresh_token"`
		Good    *float64        `json:"expires_in"`
		Due     *float64        `json:"refresh_after"`
		Idle    *float64        `json:"idle_expires_in"`
		Session json.RawMessage `json:"session"`
	}
	var texts struct {
		ID        string `json:"id"`
		ExpiresAt string `json:"expires_at"`
	}
	session := new(DeviceSession)
	if json.Unmarshal(body, &a) != nil || !seconds(a.Good) || !seconds(a.Due) || grant && a.Access == "" ||
		json.Unmarshal(a.Session, &texts) != nil || texts.ID == "" || texts.ExpiresAt == "" ||
		json.Unmarshal(a.Session, session) != nil {
		return terms{}, false
	}
	return terms{
		good: duration(*a.Good), due: duration(*a.Due), idle: a.Idle != nil, session: session,
		held: held{access: a.Access, refresh: a.Refresh, sid: texts.ID, expiresAt: texts.ExpiresAt},
	}, true
}

// seconds says whether it is a length of time, of less than a century.
func seconds(v *float64) bool { return v != nil && *v >= 0 && *v < 3e9 }

func duration(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }
