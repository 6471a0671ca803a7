package e2e

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// web is what a browser sees of the world: an application at app.localhost with the
// gateway below /sessions, as behind a proxy, and others' pages. Browsers take
// *.localhost for this machine and for trustworthy, so Secure cookies work without
// TLS; app.localhost and evil.localhost are two sites, and what ends in
// .app.localhost is of the same site as app.localhost.
type web struct {
	server *httptest.Server
	port   string

	mu      sync.Mutex
	gateway *url.URL
	seen    []arrival
}

// arrival is a request that reached the gateway, and how it ended.
type arrival struct {
	what, site string // "POST /sessions/logout", Sec-Fetch-Site
	cookie     bool
	status     int
}

func newWeb(t *testing.T) *web {
	t.Helper()
	w := &web{}
	w.server = httptest.NewServer(w)
	t.Cleanup(w.server.Close)
	_, w.port, _ = net.SplitHostPort(w.server.Listener.Addr().String())
	return w
}

func (w *web) origin(host string) string { return "http://" + host + ":" + w.port }

func (w *web) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	host, _, _ := net.SplitHostPort(r.Host)
	ours := host == "app.localhost" || host == "localhost" || host == "127.0.0.1"
	if !ours || !strings.HasPrefix(r.URL.Path, "/sessions") {
		rw.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(rw, "<!doctype html><title>%s</title>", host)
		return
	}
	w.mu.Lock()
	target := w.gateway
	w.mu.Unlock()
	proxy := &httputil.ReverseProxy{
		FlushInterval: -1,
		Rewrite:       func(p *httputil.ProxyRequest) { p.SetURL(target); p.Out.Host = p.In.Host },
		ModifyResponse: func(resp *http.Response) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.seen = append(w.seen, arrival{
				r.Method + " " + r.URL.Path, r.Header.Get("Sec-Fetch-Site"),
				strings.Contains(r.Header.Get("Cookie"), sessionCookie), resp.StatusCode,
			})
			return nil
		},
	}
	proxy.ServeHTTP(rw, r)
}

// last returns the latest arrival of a kind, and how many there have been.
func (w *web) last(what string) (v arrival, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, seen := range w.seen {
		if seen.what == what {
			v, n = seen, n+1
		}
	}
	return v, n
}

// scene is a browser in that world, and the gateway that it meets.
type scene struct {
	*web
	browser *chromium
	gateway *gateway
}

func newScene(t *testing.T, more ...string) *scene {
	t.Helper()
	s := &scene{web: newWeb(t)}
	more = append(more, "SESSIONGATE_BROWSER_CORS_ORIGINS="+s.origin("spa.app.localhost"))
	s.gateway = newStack(t).start(t, more...)
	target, err := url.Parse(s.gateway.url)
	if err != nil {
		t.Fatal(err)
	}
	s.web.gateway = target
	s.browser = startChromium(t)
	return s
}

// signedIn returns a tab on the application's page, signed in.
func (s *scene) signedIn(t *testing.T, origin string) *tab {
	t.Helper()
	u := s.gateway.stack.user(t)
	p := s.browser.tab(t)
	p.open(origin + "/")
	got := p.eval(fmt.Sprintf(`fetch("/sessions/login", {method: "POST", headers: {"Content-Type": "application/json"},
		body: JSON.stringify({identifier: %q, password: %q, cookie: true})}).then(async r => r.status + " " + await r.text())`,
		u.identifier, password))
	if text, _ := got.(string); !strings.HasPrefix(text, "201 ") || strings.Contains(text, "eyJ") {
		t.Fatalf("the sign-in's answer is %v", got)
	}
	return p
}

const askStatus = `fetch("/sessions/status").then(r => r.status)`

func (p *tab) wantStatus(want int) {
	p.t.Helper()
	if got := p.eval(askStatus); got != float64(want) {
		p.t.Errorf("the session's status is %v, want %d", got, want)
	}
}

func TestE54CookiesInChromium(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	for _, host := range []string{"app.localhost", "localhost", "127.0.0.1"} {
		t.Run(host, func(t *testing.T) {
			p := s.signedIn(t, s.origin(host))
			p.wantStatus(http.StatusOK)
			jar := p.cookies()
			if len(jar) != 1 {
				t.Fatalf("the browser keeps %+v", jar)
			}
			c := jar[0]
			if c.Name != sessionCookie || !c.HTTPOnly || !c.Secure || c.SameSite != "Lax" || c.Path != "/" || c.Domain != host || c.Session {
				t.Errorf("the browser keeps %+v", c)
			}
			if got := p.eval(`document.cookie + JSON.stringify(localStorage)`); got != "{}" {
				t.Errorf("scripts see %v", got)
			}
			if got := p.eval(`fetch("/sessions/refresh", {method: "POST"}).then(r => r.status)`); got != 200.0 {
				t.Errorf("refresh: %v", got)
			}
			if after := p.cookies(); len(after) != 1 || after[0].Value == c.Value {
				t.Errorf("after a refresh the browser keeps %+v", after)
			}
			p.wantStatus(http.StatusOK)
			if got := p.eval(`fetch("/sessions/logout", {method: "POST"}).then(r => r.status)`); got != 204.0 || len(p.cookies()) > 0 {
				t.Errorf("logout: %v, the browser keeps %+v", got, p.cookies())
			}
			p.wantStatus(http.StatusUnauthorized)
		})
	}
}

func TestE55ForgedRequestsInChromium(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	app := s.origin("app.localhost")
	p := s.signedIn(t, app)
	attacker := s.gateway.stack.user(t)
	// Of another site, the cookie does not even come along. Of the same site it does,
	// and counts for nothing.
	for _, from := range []struct {
		host, site string
		cookie     bool
		logout     int
	}{
		{"evil.localhost", "cross-site", false, http.StatusUnauthorized},
		{"other.app.localhost", "same-site", true, http.StatusForbidden},
	} {
		p.open(s.origin(from.host) + "/")
		p.eval(fmt.Sprintf(`fetch(%q, {method: "POST", mode: "no-cors", credentials: "include"}).then(r => r.type)`, app+"/sessions/logout"))
		want := arrival{"POST /sessions/logout", from.site, from.cookie, from.logout}
		if got, _ := s.last(want.what); got != want {
			t.Errorf("a fetch of %s: %+v, want %+v", from.host, got, want)
		}
		// A form: to sign the visitor out, and to sign them in as somebody else. Its
		// field is made so that text/plain comes out as JSON.
		for what, field := range map[string]string{
			"POST /sessions/logout": "",
			"POST /sessions/login":  fmt.Sprintf(`{"identifier":%q,"password":%q,"cookie":true,"device_info":"`, attacker.identifier, password),
		} {
			_, before := s.last(what)
			p.open(s.origin(from.host) + "/")
			p.eval(fmt.Sprintf(`{
				const form = document.createElement("form"), input = document.createElement("input");
				Object.assign(form, {method: "POST", enctype: "text/plain", action: %q});
				Object.assign(input, {name: %q, value: '"}'});
				if (input.name) form.append(input);
				document.body.append(form);
				form.submit();
			}`, app+strings.TrimPrefix(what, "POST "), field))
			eventually(t, func() error {
				got, n := s.last(what)
				if n == before || got.site != from.site || got.status != http.StatusForbidden && got.status != http.StatusUnauthorized {
					return fmt.Errorf("a form of %s: %+v", from.host, got)
				}
				return nil
			})
		}
		p.open(app + "/")
		p.wantStatus(http.StatusOK)
	}
}

func TestE54SameSiteInChromium(t *testing.T) {
	t.Parallel()
	for sameSite, want := range map[string]arrival{
		"lax":    {"GET /sessions/status", "cross-site", true, http.StatusOK},
		"strict": {"GET /sessions/status", "cross-site", false, http.StatusUnauthorized},
	} {
		t.Run(sameSite, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, "SESSIONGATE_BROWSER_SAME_SITE="+sameSite)
			p := s.signedIn(t, s.origin("app.localhost"))
			p.wantStatus(http.StatusOK)
			p.open(s.origin("evil.localhost") + "/")
			p.eval(fmt.Sprintf(`{ location.href = %q; }`, s.origin("app.localhost")+"/sessions/status")) // as a link
			eventually(t, func() error {
				if got, _ := s.last(want.what); got != want {
					return fmt.Errorf("a link of another site: %+v, want %+v", got, want)
				}
				return nil
			})
			p.open(s.origin("app.localhost") + "/")
			p.wantStatus(http.StatusOK)
		})
	}
}

func TestE56CORSInChromium(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	app := s.origin("app.localhost")
	p := s.signedIn(t, app)
	read := fmt.Sprintf(`fetch(%q, {credentials: "include"}).then(async r => r.status + " " + (await r.json()).active)`, app+"/sessions/status")
	refresh := fmt.Sprintf(`fetch(%q, {method: "POST", credentials: "include", headers: {"Content-Type": "application/json"}, body: "{}"})
		.then(r => r.status + " " + r.headers.get("X-Request-Id").length)`, app+"/sessions/refresh")

	p.open(s.origin("spa.app.localhost") + "/")
	if got := p.eval(read); got != "200 true" {
		t.Errorf("an allowed origin reads %v", got)
	}
	before := p.cookies()
	if got := p.eval(refresh); got != "200 32" {
		t.Errorf("an allowed origin refreshes: %v", got)
	}
	if after := p.cookies(); len(after) != 1 || after[0].Value == before[0].Value {
		t.Errorf("after that the browser keeps %+v", after)
	}
	for _, host := range []string{"other.app.localhost", "evil.localhost"} {
		p.open(s.origin(host) + "/")
		for _, script := range []string{read, refresh} {
			if got, _ := p.eval(script).(string); !strings.Contains(got, "Failed to fetch") {
				t.Errorf("%s reads %v", host, got)
			}
		}
	}
	// Sandboxed pages of the allowed origin are of none: "null".
	p.open(s.origin("spa.app.localhost") + "/")
	got := p.eval(fmt.Sprintf(`new Promise(done => {
		addEventListener("message", e => done(e.data));
		const frame = document.createElement("iframe");
		frame.sandbox = "allow-scripts";
		frame.srcdoc = "<script>" + %q + ".then(x => parent.postMessage(x, '*'), e => parent.postMessage(String(e), '*'))</" + "script>";
		document.body.append(frame);
	})`, strings.ReplaceAll(read, `"`, `'`)))
	if text, _ := got.(string); !strings.Contains(text, "Failed to fetch") {
		t.Errorf("a sandboxed page reads %v", got)
	}
	p.open(app + "/")
	p.wantStatus(http.StatusOK)
}

// An EventSource hears of the end of its session, by the cookie alone.
func TestLiveSignOutInChromium(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	p := s.signedIn(t, s.origin("app.localhost"))
	p.eval(`{
		const source = new EventSource("/sessions/events");
		window.hello = new Promise(done => source.addEventListener("hello", e => done(JSON.parse(e.data).sid)));
		window.ended = new Promise(done => source.addEventListener("ended", e => { source.close(); done(JSON.parse(e.data).reason); }));
		"not the promise, or it would be waited for";
	}`)
	sid, _ := p.eval(`window.hello`).(string)
	s.gateway.stack.flushed(t) // reconcile goes by what Postgres knows
	userID := scalar[string](t, s.gateway.stack, "SELECT user_id FROM user_sessions WHERE id::text = $1", sid)
	must(t, s.gateway.stack.redis.Del(t.Context(), userKey(userID)))
	if got := p.eval(`window.ended`); got != "removed_in_redis" {
		t.Errorf("the page hears %v", got)
	}
	p.wantStatus(http.StatusUnauthorized)
	if jar := p.cookies(); len(jar) > 0 {
		t.Errorf("after a 401 the browser keeps %+v", jar)
	}
}
