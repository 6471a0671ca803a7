package e2e

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func testBackend(t *testing.T, g *gateway) {
	id := newID()
	c := openCall(id)
	c.json = object{
		"user_id": id, "device_info": object{"name": "Pixel", "platform": "android"}, "ip_address": "2001:DB8::1",
		"user_agent": "shop/3 (Pixel)", "scope": "orders:read profile", "amr": []string{"pwd", "otp"},
	}
	c.header = http.Header{"User-Agent": {"the backend's own"}}
	got := decode[grant](t, g.do(t, c), http.StatusCreated)
	s := got.Session
	if s.UserID != id || s.ClientID != backend.id || s.IPAddress != "2001:db8::1" || s.UserAgent != "shop/3 (Pixel)" ||
		s.DeviceInfo != "Pixel (android)" || s.Scope != "orders:read profile" || !slices.Equal(s.AMR, []string{"pwd", "otp"}) {
		t.Errorf("session is %+v", s)
	}
	checkGrant(t, got)
	checkLoginRow(t, g.stack, got, "shop/3 (Pixel)")
	in := decode[introspection](t, g.do(t, introspectCall(got.AccessToken)), http.StatusOK)
	if !in.Active || in.Subject != id || in.ClientID != backend.id || in.Scope != s.Scope || !slices.Equal(in.AMR, s.AMR) {
		t.Errorf("introspection is %+v", in)
	}
	// The application's own user needs no row; a stub comes by itself, and nobody
	// can sign in as it.
	const stub = "SELECT identifier IS NULL AND password_hash IS NULL FROM users WHERE id = $1"
	if !scalar[bool](t, g.stack, stub, id) {
		t.Error("the stub can sign in")
	}
	g.do(t, loginCall(id, password)).problem(t, http.StatusUnauthorized, "invalid_credentials", "")
}

func testBackendClients(t *testing.T, g *gateway) {
	id := newID()
	body := object{"user_id": id}
	basic := func(s string) http.Header {
		return http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(s))}}
	}
	for name, c := range map[string]call{
		"none":           {json: body},
		"a wrong secret": {json: body, client: &client{backend.id, "nonsense"}},
		"another's":      {json: body, client: &client{backend.id, awkward.secret}},
		"unknown":        {json: body, client: &client{"nobody", backend.secret}},
		"empty":          {json: body, client: &client{"", ""}},
		"no secret":      {json: body, client: &client{backend.id, ""}},
		"no colon":       {json: body, header: basic(backend.id)},
		"no base64":      {json: body, header: http.Header{"Authorization": {"Basic !!!"}}},
		"a bearer":       {json: body, token: g.open(t, newID()).AccessToken},
	} {
		c.path = "/sessions"
		a := g.do(t, c)
		a.problem(t, http.StatusUnauthorized, "invalid_client", "")
		if challenge := a.header.Get("WWW-Authenticate"); !strings.HasPrefix(challenge, "Basic ") {
			t.Errorf("%s: WWW-Authenticate is %q", name, challenge)
		}
	}
	c := openCall(id)
	c.client = &introspector
	g.do(t, c).problem(t, http.StatusForbidden, "forbidden", "")
	if rows := g.stack.rows(t, "user_id = $1", id); len(rows) > 0 {
		t.Errorf("rows of requests without the right: %s", listed(texts(rows)))
	}
	c.client = &awkward
	if got := decode[grant](t, g.do(t, c), http.StatusCreated).Session; got.ClientID != awkward.id {
		t.Errorf("client_id is %q, want %q", got.ClientID, awkward.id)
	}
}

func testUserIDs(t *testing.T, g *gateway) {
	unique := newID()
	for _, id := range []string{
		unique + "@example.com", "{" + unique + "}", unique + " b", "用户" + unique, unique + ":b*c?[x]", `"` + unique + `'\`,
		unique + strings.Repeat("x", 255-len(unique)), "%2e%2e/" + unique, "İ" + unique, "İ" + strings.ToUpper(unique),
	} {
		got := g.open(t, id)
		if got.Session.UserID != id {
			t.Errorf("user_id is %q, want %q", got.Session.UserID, id)
		}
		g.alive(t, got.AccessToken)
		if n := must(t, g.stack.redis.ZCard(t.Context(), userKey(id))); n != 1 {
			t.Errorf("%q has %d sessions in Redis, want 1", id, n)
		}
		if in := decode[introspection](t, g.do(t, introspectCall(got.AccessToken)), http.StatusOK); in.Subject != id {
			t.Errorf("sub is %q, want %q", in.Subject, id)
		}
		g.stack.logged(t, id, "login")
	}
	for _, member := range []string{
		`""`, `"` + strings.Repeat("x", 256) + `"`, `" 42"`, `"42 "`, `"42\u00a0"`, `"4\u00002"`, `"4\n2"`, `"4\u007f2"`,
		`"\ud800"`, "\"\xff\"", `42`, `null`, `["42"]`,
	} {
		c := call{
			path: "/sessions", client: &backend, body: `{"user_id":` + member + `}`,
			header: http.Header{"Content-Type": {"application/json"}},
		}
		if a := g.do(t, c); a.checkProblem(http.StatusBadRequest, "invalid_request", "") != nil {
			t.Errorf("user_id %.40s: %s, want 400", member, a)
		}
	}
	for _, member := range []string{
		`"ip_address":"nowhere"`, `"ip_address":"1.2.3"`, `"scope":"a  b"`, `"scope":"a\"b"`, `"amr":"pwd"`, `"amr":[""]`,
		`"amr":[1]`, `"unknown":1`, `"user_id":"twice"`,
	} {
		c := call{
			path: "/sessions", client: &backend, body: `{"user_id":"` + newID() + `",` + member + `}`,
			header: http.Header{"Content-Type": {"application/json"}},
		}
		g.do(t, c).problem(t, http.StatusBadRequest, "invalid_request", "")
	}
}

// maxPerUser is the default of sessions.max_per_user.
const maxPerUser = 100

// testCap: however many open sessions at once, a user has no more than the cap,
// and it is the oldest that go, each with its row.
func testCap(t *testing.T, g *gateway) {
	id := newID()
	first := g.open(t, id)
	const more, evicted = maxPerUser + 4, 5
	var failed atomic.Int64
	var wg sync.WaitGroup
	for range more {
		wg.Go(func() {
			if a, err := g.send(t.Context(), openCall(id)); err != nil || a.status != http.StatusCreated {
				failed.Add(1)
			}
		})
	}
	wg.Wait()
	if n := failed.Load(); n > 0 {
		t.Fatalf("%d of %d sessions were not opened", n, more)
	}
	g.over(t, first.AccessToken, "logged_out_or_revoked")
	live := must(t, g.stack.redis.ZRange(t.Context(), userKey(id), 0, -1))
	if len(live) != maxPerUser {
		t.Errorf("%d sessions are listed, want %d", len(live), maxPerUser)
	}
	rows := g.stack.logged(t, id, slices.Concat(
		slices.Repeat([]string{"login"}, 1+more), slices.Repeat([]string{"logout (evicted)"}, evicted))...)
	oldestLive := slices.Min(live)
	for _, r := range rows {
		if r.action == "logout" && r.sid > oldestLive {
			t.Errorf("%s was evicted, which is younger than %s", r.sid, oldestLive)
		}
	}
	const states = "SELECT count(*) FILTER (WHERE is_active) || ' ' || count(*) FILTER (WHERE end_reason = 'evicted') FROM user_sessions WHERE user_id = $1"
	if got, want := scalar[string](t, g.stack, states, id), fmt.Sprintf("%d %d", maxPerUser, evicted); got != want {
		t.Errorf("user_sessions has %s active and evicted, want %s", got, want)
	}
}
