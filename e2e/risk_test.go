package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// Addresses in the two countries that the tests' files know.
const (
	inHanoi, inHanoiToo = "1.53.0.7", "1.53.9.9"
	inBerlin            = "80.128.1.1"
	ownApp, firefox     = "Dart/3.5 (dart:io)", "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0"
)

// writeGeo writes a file of countries and networks, in the layout of IPinfo.
func writeGeo(t testing.TB, path string, countries map[string]string) {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "ipinfo lite", RecordSize: 24})
	if err != nil {
		t.Fatal(err)
	}
	for network, country := range countries {
		_, n, err := net.ParseCIDR(network)
		if err != nil {
			t.Fatal(err)
		}
		asn := map[string]mmdbtype.String{"VN": "AS45899", "DE": "AS3320"}[country]
		if err := tree.Insert(n, mmdbtype.Map{"country_code": mmdbtype.String(country), "asn": asn}); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Create(path + ".new")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tree.WriteTo(f); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func geoFile(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "places.mmdb")
	writeGeo(t, path, map[string]string{"1.52.0.0/14": "VN", "80.128.0.0/11": "DE"})
	return path
}

// startWithGeo runs a gateway that knows the two countries and believes the tests
// about their address.
func startWithGeo(t testing.TB, s *stack, more ...string) *gateway {
	t.Helper()
	return s.start(t, append(more, "SESSIONGATE_HTTP_TRUSTED_PROXIES=127.0.0.1", "SESSIONGATE_GEO_FILES="+geoFile(t))...)
}

// from is the call as if it came from there.
func (c call) from(ip, agent string) call {
	c.header = http.Header{"X-Forwarded-For": {ip}, "User-Agent": {agent}}
	return c
}

// settle signs the user in often enough to be known at home.
func settle(t testing.TB, g *gateway, u user) (last grant) {
	t.Helper()
	for range 5 {
		last = decode[grant](t, g.do(t, loginCall(u.identifier, password).from(inHanoi, ownApp)), http.StatusCreated)
	}
	g.stack.flushed(t)
	return last
}

// signalsOf returns score and signals of the user's last event of an action.
func signalsOf(t testing.TB, s *stack, u user, action string) string {
	t.Helper()
	s.flushed(t)
	return scalar[string](t, s, `SELECT COALESCE(risk_score, 0) || ' ' || COALESCE(array_to_string(signals, ' '), '')
		FROM session_logs WHERE user_id = $1 AND action = $2 ORDER BY created_at DESC, id DESC LIMIT 1`, u.id, action)
}

// TestF65Places: every event says where it came from, and so do sessions.
func TestF65Places(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := startWithGeo(t, s)
	u := s.user(t)
	got := decode[grant](t, g.do(t, loginCall(u.identifier, password).from(inHanoi, ownApp)), http.StatusCreated)
	if got.Session.Country != "VN" {
		t.Errorf("the session is in %q", got.Session.Country)
	}
	if place := must(t, s.redis.HGet(t.Context(), sessionKey(got.Session.ID), "n")); place != inHanoi+"\tVN\t45899" {
		t.Errorf("in Redis it is at %q", place)
	}
	got = decode[grant](t, g.do(t, refreshCall(got.AccessToken).from(inBerlin, ownApp)), http.StatusOK)
	g.do(t, loginCall(u.identifier, wrongPassword).from(inBerlin, ownApp)).want(t, http.StatusUnauthorized)
	open := openCall(u.id)
	open.json.(object)["ip_address"] = inBerlin
	if second := decode[grant](t, g.do(t, open), http.StatusCreated); second.Session.Country != "DE" {
		t.Errorf("a backend's session is in %q", second.Session.Country)
	}
	g.do(t, loginCall(u.identifier, password).from("10.0.0.1", ownApp)).want(t, http.StatusCreated)
	s.flushed(t)

	var rows []string
	logs := decode[logPage](t, g.do(t, get("/sessions/my-session-logs", got.AccessToken)), http.StatusOK)
	for _, l := range logs.Logs {
		rows = append(rows, fmt.Sprintf("%s %v %s", l.Action, l.Success, l.Country))
	}
	want := "login true ; login true DE; login false DE; token_refresh true DE; login true VN"
	if got := strings.Join(rows, "; "); got != want {
		t.Errorf("the log is %s, want %s", got, want)
	}
	if asns := scalar[string](t, s, `SELECT string_agg(COALESCE(CAST(asn AS text), '-'), ' ' ORDER BY created_at) FROM session_logs WHERE user_id = $1`, u.id); asns != "45899 3320 3320 3320 -" {
		t.Errorf("the networks are %s", asns)
	}
	page := decode[sessionPage](t, g.do(t, get("/sessions/my-sessions", got.AccessToken)), http.StatusOK)
	if len(page.Sessions) != 3 {
		t.Fatalf("there are %d sessions", len(page.Sessions))
	}
	for _, one := range page.Sessions {
		if one.ID == got.Session.ID && one.Country != "VN" {
			t.Errorf("the session moved to %q: a session is where it began", one.Country)
		}
	}
	g.do(t, logoutCall(got.AccessToken)).want(t, http.StatusNoContent)
	s.flushed(t)
	if c := scalar[string](t, s, `SELECT country FROM user_sessions WHERE id = $1 AND NOT is_active`, got.Session.ID); c != "VN" {
		t.Errorf("its row is in %q", c)
	}
}

// TestF65Signals: what is unusual stands with the event; what is not, is not.
func TestF65Signals(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := startWithGeo(t, s)
	u := s.user(t)
	last := settle(t, g, u)
	login := func(ip, agent string) string {
		g.do(t, loginCall(u.identifier, password).from(ip, agent)).want(t, http.StatusCreated)
		return signalsOf(t, s, u, "login")
	}
	if got := login(inHanoiToo, ownApp); got != "0 " {
		t.Errorf("the same again: %s", got)
	}
	if got := login(inBerlin, firefox); got != "55 new_device new_country" {
		t.Errorf("abroad on a new device: %s", got)
	}
	if got := login(inBerlin, firefox); got != "0 " {
		t.Errorf("that again: %s", got)
	}
	if got := login(inHanoi, "curl/8.5.0"); got != "45 new_device automation" {
		t.Errorf("a script: %s", got)
	}
	next := decode[grant](t, g.do(t, refreshCall(last.AccessToken).from(inBerlin, firefox)), http.StatusOK)
	if got := signalsOf(t, s, u, "token_refresh"); got != "95 refresh_country refresh_network refresh_agent" {
		t.Errorf("a session that goes on abroad, in another program: %s", got)
	}
	g.alive(t, next.AccessToken) // a score ends nothing
	metrics := g.do(t, get("/metrics", "")).want(t, http.StatusOK).body
	for _, want := range []string{
		`sessiongate_risk_sign_ins_total{verdict="notified"} 1`, `sessiongate_risk_sign_ins_total{verdict="passed"} 8`,
		`sessiongate_risk_signals_total{signal="new_country"} 1`, `sessiongate_risk_unread_total 0`,
	} {
		if !strings.Contains(metrics, want+"\n") {
			t.Errorf("the metrics do not say %s:\n%s", want, grep(metrics, "sessiongate_risk"))
		}
	}
}

func grep(text, part string) string {
	var found []string
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			found = append(found, line)
		}
	}
	return strings.Join(found, "")
}

// TestF63FailuresBeforeSuccess: guessing is told of, and locks nobody out.
func TestF63FailuresBeforeSuccess(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := startWithGeo(t, s, "SESSIONGATE_RISK_FAILURE_COUNT=3")
	u := s.user(t)
	settle(t, g, u)
	for range 3 {
		g.do(t, loginCall(u.identifier, wrongPassword).from(inBerlin, firefox)).want(t, http.StatusUnauthorized)
	}
	s.flushed(t)
	g.do(t, loginCall(u.identifier, password).from(inHanoi, ownApp)).want(t, http.StatusCreated)
	if got := signalsOf(t, s, u, "login"); got != "30 failures_before" {
		t.Errorf("the user, after three guesses: %s", got)
	}
	g.do(t, loginCall(u.identifier, password).from(inBerlin, firefox)).want(t, http.StatusCreated)
	if got := signalsOf(t, s, u, "login"); got != "85 new_device failures_before new_country" {
		t.Errorf("the one who guessed: %s", got)
	}
}

// TestF63ManyLoginsFromOneAddress is the guide's rule: more than ten.
func TestF63ManyLoginsFromOneAddress(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := startWithGeo(t, s)
	for range 10 {
		g.do(t, func() call {
			c := openCall(newID())
			c.json.(object)["ip_address"], c.json.(object)["user_agent"] = inHanoi, ownApp
			return c
		}()).want(t, http.StatusCreated)
	}
	s.flushed(t)
	if n := scalar[int](t, s, `SELECT count(*) FROM session_logs WHERE 'ip_many_logins' = ANY (signals)`); n != 0 {
		t.Errorf("of ten sign-ins from one address %d were many", n)
	}
	u := s.user(t)
	g.do(t, loginCall(u.identifier, password).from(inHanoi, ownApp)).want(t, http.StatusCreated)
	if got := signalsOf(t, s, u, "login"); got != "15 ip_many_users ip_many_logins" {
		t.Errorf("the eleventh: %s", got)
	}
}

// TestF64RefusalTellsNothing: who has a stolen password is not told that it is right.
func TestF64RefusalTellsNothing(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := startWithGeo(t, s, "SESSIONGATE_RISK_MODE=block", "SESSIONGATE_RISK_BLOCK_AT=55", "SESSIONGATE_RISK_DENY_COUNTRIES=ZZ")
	u := s.user(t)
	settle(t, g, u)
	wrong := g.do(t, loginCall(u.identifier, wrongPassword).from(inBerlin, firefox))
	for what, c := range map[string]call{
		"too unusual":             loginCall(u.identifier, password).from(inBerlin, firefox),
		"from a denied place":     loginCall(u.identifier, password).from("10.0.0.1", ownApp),
		"of somebody not on file": loginCall("nobody-"+u.identifier, password).from(inBerlin, firefox),
	} {
		a := g.do(t, c)
		a.problem(t, http.StatusUnauthorized, "invalid_credentials", "")
		if blank(a) != blank(wrong) || fmt.Sprint(names(a.header)) != fmt.Sprint(names(wrong.header)) {
			t.Errorf("%s: answered %v %s, a wrong password %v %s", what, names(a.header), a.body, names(wrong.header), wrong.body)
		}
	}
	s.flushed(t)
	if n := scalar[int](t, s, `SELECT count(*) FROM session_logs WHERE user_id = $1 AND NOT success
		AND (error_message = 'suspicious' AND country = 'DE' AND risk_score = 55 OR error_message = 'country refused' AND country IS NULL)`, u.id); n != 2 {
		t.Errorf("logged are %d refusals, want 2", n)
	}
	// The victim is not locked out, and the next attempt is as new as the first.
	g.do(t, loginCall(u.identifier, password).from(inHanoi, ownApp)).want(t, http.StatusCreated)
	g.do(t, loginCall(u.identifier, password).from(inBerlin, firefox)).want(t, http.StatusUnauthorized)

	open := openCall(u.id)
	open.json.(object)["ip_address"], open.json.(object)["user_agent"] = inBerlin, firefox
	g.do(t, open).problem(t, http.StatusForbidden, "sign_in_refused", "")
}

// blank is the body without what is the request's own.
func blank(a answer) string {
	return strings.ReplaceAll(a.body, a.header.Get("X-Request-Id"), "")
}

func names(h http.Header) map[string]int {
	n := map[string]int{}
	for name, values := range h {
		n[name] = len(values)
	}
	return n
}

// TestGeoFiles: without files nothing is known; a broken one stops the start; a new
// one is taken up.
func TestGeoFiles(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	t.Run("none", func(t *testing.T) {
		g := s.start(t, "SESSIONGATE_HTTP_TRUSTED_PROXIES=127.0.0.1")
		u := s.user(t)
		got := decode[grant](t, g.do(t, loginCall(u.identifier, password).from(inHanoi, ownApp)), http.StatusCreated)
		if got.Session.Country != "" {
			t.Errorf("the session is in %q", got.Session.Country)
		}
		if !strings.Contains(g.output(), "geo.files is empty") {
			t.Error("the log does not say so")
		}
	})
	t.Run("broken", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "broken.mmdb")
		if err := os.WriteFile(path, []byte("<html>502 Bad Gateway</html>"), 0o600); err != nil {
			t.Fatal(err)
		}
		p := launch(t, s.settings("SESSIONGATE_GEO_FILES="+path), "serve")
		if code := p.exit(t); code == 0 || !strings.Contains(p.output(), "broken.mmdb is not a whole mmdb file") {
			t.Errorf("the gateway ended with %d:\n%s", code, p.tail())
		}
	})
	t.Run("replaced", func(t *testing.T) {
		path := geoFile(t)
		g := s.start(t, "SESSIONGATE_HTTP_TRUSTED_PROXIES=127.0.0.1", "SESSIONGATE_GEO_FILES="+path, "SESSIONGATE_GEO_RELOAD=1s")
		writeGeo(t, path, map[string]string{"1.52.0.0/14": "LA", "80.128.0.0/11": "DE", "81.0.0.0/16": "FR"})
		eventually(t, func() error {
			c := openCall(newID())
			c.json.(object)["ip_address"] = inHanoi
			a, err := g.send(t.Context(), c)
			if err == nil && !strings.Contains(a.body, `"country":"LA"`) {
				err = fmt.Errorf("still %s", a.body)
			}
			return err
		})
	})
}
