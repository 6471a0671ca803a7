//go:build go1.25

package sessiongate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"

	sessiongate "github.com/sessiongate/sessiongate/clients/go"
)

// step is one of a vector: exactly one of its kinds is there.
type step struct {
	Do     string         `json:"do"`
	Client string         `json:"client"`
	As     string         `json:"as"`
	Times  int            `json:"times"`
	With   map[string]any `json:"with"`

	Call      *wantedCall     `json:"call"`
	AnswerTo  string          `json:"answer_to"`
	Answer    string          `json:"answer"`
	NoCalls   bool            `json:"no_calls"`
	Advance   *float64        `json:"advance"`
	Answering string          `json:"answering"`
	Wall      *float64        `json:"wall"`
	Kill      string          `json:"kill"`
	Hold      *bool           `json:"hold_writes"`
	Store     json.RawMessage `json:"store"`
	Event     string          `json:"event"`
	On        string          `json:"on"`
	Data      json.RawMessage `json:"data"`
	Heartbeat string          `json:"heartbeat"`
	Close     string          `json:"close"`
	Closed    string          `json:"closed"`
	Expect    *expectation    `json:"expect"`
}

type wantedCall struct {
	Client string          `json:"client"`
	Method string          `json:"method"`
	Path   string          `json:"path"`
	Token  *string         `json:"token"`
	Body   json.RawMessage `json:"body"`
	As     string          `json:"as"`
}

type expectation struct {
	Client  string          `json:"client"`
	State   *string         `json:"state"`
	Reason  *string         `json:"reason"`
	Session *string         `json:"session"`
	Stored  json.RawMessage `json:"stored"`
	Result  *struct {
		Of      string          `json:"of"`
		Is      json.RawMessage `json:"is"`
		Error   string          `json:"error"`
		Pending bool            `json:"pending"`
		Done    bool            `json:"done"`
	} `json:"result"`
}

func (w *world) step(text json.RawMessage) error {
	var s step
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return fmt.Errorf("the runner does not know this step: %w", err)
	}
	err := w.take(s)
	w.settle()
	return err
}

func (w *world) take(s step) error {
	switch {
	case s.Do != "":
		return w.do(s)
	case s.Call != nil:
		return w.call(s.Call, s.Answer)
	case s.AnswerTo != "":
		return w.answer(w.named[s.AnswerTo], s.Answer)
	case s.NoCalls:
		return w.noCalls()
	case s.Advance != nil:
		w.advance(seconds(*s.Advance), s.Answering)
	case s.Wall != nil:
		w.wall = w.wall.Add(seconds(*s.Wall))
	case s.Kill != "":
		w.kill(s.Kill)
	case s.Hold != nil:
		w.holdWrites(*s.Hold)
	case s.Store != nil:
		w.store(s.Store)
	case s.Event != "":
		w.named[s.On].stream.pieces <- fmt.Sprintf("event: %s\ndata: %s\n\n", s.Event, s.Data)
	case s.Heartbeat != "":
		w.named[s.Heartbeat].stream.pieces <- ": heartbeat\n\n"
	case s.Close != "":
		close(w.named[s.Close].stream.pieces)
	case s.Closed != "":
		select {
		case <-w.named[s.Closed].stream.closed:
		default:
			return errors.New("the stream is open")
		}
	case s.Expect != nil:
		return w.expect(s.Expect)
	default:
		return errors.New("the runner does not know this step")
	}
	return nil
}

// result is what became of a call of the client.
type result struct {
	done  bool
	value any
	err   error
}

func (w *world) do(s step) error {
	i := w.instance(s.Client)
	run, err := operation(i, s, w.canned)
	if err != nil {
		return err
	}
	var results []*result
	for range max(s.Times, 1) {
		r := &result{}
		results = append(results, r)
		go func() {
			value, err := run(context.Background())
			w.mu.Lock()
			defer w.mu.Unlock()
			*r = result{true, value, err}
		}()
	}
	if s.As != "" {
		w.results[s.As] = results
	}
	return nil
}

func operation(i *instance, s step, canned map[string]cannedAnswer) (func(context.Context) (any, error), error) {
	text := func(name string) string {
		v, _ := s.With[name].(string)
		return v
	}
	is := func(name string) bool { return s.With[name] == true }
	nothing := func(f func()) func(context.Context) (any, error) {
		return func(context.Context) (any, error) { f(); return nil, nil }
	}
	token := func(f func(context.Context) (string, error)) func(context.Context) (any, error) {
		return func(ctx context.Context) (any, error) {
			t, err := f(ctx)
			if t == "" {
				return nil, err
			}
			return t, err
		}
	}
	all := map[string]func(context.Context) (any, error){
		"start": func(ctx context.Context) (any, error) {
			s, err := i.Start(ctx)
			return string(s.State), err
		},
		"stop": nothing(i.Stop), "resume": nothing(i.Resume), "online": nothing(i.Online), "touch": nothing(i.Touch),
		"token": token(i.Token), "refresh": token(i.Refresh),
		"login": func(ctx context.Context) (any, error) {
			return nil, i.Login(ctx, sessiongate.Credentials{
				Identifier: text("identifier"), Password: text("password"), Remember: is("remember"),
			})
		},
		"accept": func(ctx context.Context) (any, error) { return nil, i.Accept(ctx, canned[text("grant")].Body) },
		"logout": func(ctx context.Context) (any, error) { return nil, i.Logout(ctx) },
		"logout_all": func(ctx context.Context) (any, error) {
			if is("except_current") {
				return i.LogoutOthers(ctx)
			}
			return i.LogoutAll(ctx)
		},
		"request": func(ctx context.Context) (any, error) {
			target := text("url")
			if target == "" {
				target = base + text("path")
			}
			return send(ctx, i, text("method"), target)
		},
	}
	if all[s.Do] == nil {
		return nil, fmt.Errorf("the runner can't do %q", s.Do)
	}
	return all[s.Do], nil
}

func send(ctx context.Context, i *instance, method, target string) (any, error) {
	req, err := http.NewRequestWithContext(ctx, method, target, nil)
	if err != nil {
		return nil, err
	}
	res, err := (&http.Client{Transport: i.Transport(i)}).Do(req)
	if err != nil {
		return nil, err
	}
	return res.StatusCode, res.Body.Close()
}

func (w *world) call(want *wantedCall, answer string) error {
	at := slices.IndexFunc(w.calls, func(c *request) bool {
		return c.of.name == want.Client && c.method == want.Method && c.path == want.Path && reflect.DeepEqual(c.token, want.Token)
	})
	if at < 0 {
		return fmt.Errorf("no such request; there are %s", w.open())
	}
	c := w.calls[at]
	w.calls = slices.Delete(w.calls, at, at+1)
	if want.Body != nil || want.Path == "/sessions/refresh" {
		if err := same("body", c.body, want.Body); err != nil {
			return err
		}
	}
	if want.As != "" {
		w.named[want.As] = c
	}
	if answer == "" {
		return nil
	}
	return w.answer(c, answer)
}

func (w *world) answer(c *request, name string) error {
	a, known := w.canned[name]
	if c == nil || !known {
		return fmt.Errorf("there is no such request, or no answer %q", name)
	}
	c.give(a)
	return nil
}

func (w *world) open() (list []string) {
	for _, c := range w.calls {
		token := "no token"
		if c.token != nil {
			token = *c.token
		}
		list = append(list, fmt.Sprintf("%s: %s %s %s %s", c.of.name, c.method, c.path, token, c.body))
	}
	return list
}

func (w *world) noCalls() error {
	if len(w.calls) > 0 {
		return fmt.Errorf("there are requests: %q", w.open())
	}
	return nil
}

func (w *world) expect(want *expectation) error {
	s := w.instance(want.Client).Snapshot()
	session := ""
	if s.Session != nil {
		session = s.Session.ID
	}
	for _, c := range []struct {
		what, got string
		want      *string
	}{{"state", string(s.State), want.State}, {"reason", s.Reason, want.Reason}, {"session", session, want.Session}} {
		if c.want != nil && c.got != *c.want {
			return fmt.Errorf("%s is %q, want %q", c.what, c.got, *c.want)
		}
	}
	if want.Stored != nil {
		if err := same("stored", w.stored(), want.Stored); err != nil {
			return err
		}
	}
	if want.Result == nil {
		return nil
	}
	results := w.results[want.Result.Of]
	if len(results) == 0 {
		return fmt.Errorf("there is no result %q", want.Result.Of)
	}
	for _, r := range results {
		if err := want.result(r); err != nil {
			return err
		}
	}
	return nil
}

func (want *expectation) result(r *result) error {
	of := want.Result.Of
	switch {
	case want.Result.Pending && r.done:
		return fmt.Errorf("%s has come to its end: %v, %v", of, r.value, r.err)
	case want.Result.Pending:
		return nil
	case !r.done:
		return fmt.Errorf("%s is still pending", of)
	case want.Result.Error != "":
		if got := code(r.err); got != want.Result.Error {
			return fmt.Errorf("the error is %q (%v), want %q", got, r.err, want.Result.Error)
		}
		return nil
	case r.err != nil:
		return r.err
	case want.Result.Is != nil:
		got, _ := json.Marshal(r.value)
		return same(of, got, want.Result.Is)
	}
	return nil
}

// code is the contract's name for an error.
func code(err error) string {
	var e *sessiongate.Error
	if errors.As(err, &e) {
		return e.Code
	}
	if errors.Is(err, sessiongate.ErrNoAnswer) {
		return "network"
	}
	return fmt.Sprint(err)
}

// stored is what there is of the two tokens; null: neither.
func (w *world) stored() []byte {
	kept := map[string]any{}
	var all map[string]any
	if json.Unmarshal([]byte(w.text), &all) == nil {
		for _, name := range []string{"access_token", "refresh_token"} {
			if v, has := all[name]; has {
				kept[name] = v
			}
		}
	}
	if len(kept) == 0 {
		return []byte("null")
	}
	text, _ := json.Marshal(kept)
	return text
}

// same compares JSON; nothing is only the same as nothing.
func same(what string, got, want []byte) error {
	var a, b any
	if len(got) > 0 && json.Unmarshal(got, &a) != nil || len(want) > 0 && json.Unmarshal(want, &b) != nil ||
		(len(got) == 0) != (len(want) == 0) || !reflect.DeepEqual(a, b) {
		return fmt.Errorf("%s is %s, want %s", what, got, want)
	}
	return nil
}
