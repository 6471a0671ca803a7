package e2e

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime/quotedprintable"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/internal/sink"
)

// channels is everything that a gateway can tell somebody by, here.
type channels struct {
	hook     *sink.HTTP
	push     *sink.HTTP
	mail     *sink.SMTP
	google   *sink.FCM
	browser  *sink.Browser
	settings []string
}

// noticeSecret signs the links.
var noticeSecret = "links-e2e-" + rand.Text() + rand.Text()

const mailPassword = "for-the-relay"

// newChannels starts the sinks. answer, which may be nil, is the webhook's.
func newChannels(t testing.TB, answer func(sink.Request) int) *channels {
	t.Helper()
	a, err := sink.NewAuthority()
	fail := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	fail(err)
	c := &channels{hook: a.NewHTTP(answer), push: a.NewHTTP(func(sink.Request) int { return http.StatusCreated })}
	c.mail, err = a.NewSMTP(mailPassword, true)
	fail(err)
	c.google, err = a.NewFCM()
	fail(err)
	c.browser, err = sink.NewBrowser()
	fail(err)
	t.Cleanup(func() {
		c.hook.Close()
		c.push.Close()
		c.google.Close()
		_ = c.mail.Close()
	})
	roots := filepath.Join(t.TempDir(), "roots.pem")
	fail(os.WriteFile(roots, a.PEM, 0o600))
	key := "whsec_" + base64.StdEncoding.EncodeToString([]byte(rand.Text()))
	webhooks, err := json.Marshal([]object{{"name": "siem", "url": c.hook.URL + "/hook", "secrets": []string{key}}})
	fail(err)
	c.settings = []string{
		"SSL_CERT_FILE=" + roots,
		"SESSIONGATE_NOTIFY_SECRET=" + noticeSecret,
		"SESSIONGATE_NOTIFY_APP_NAME=Example",
		"SESSIONGATE_NOTIFY_PUBLIC_URL=https://login.example.com",
		"SESSIONGATE_NOTIFY_ALLOW_NETWORKS=127.0.0.0/8",
		"SESSIONGATE_NOTIFY_SMTP_URL=smtp://gateway:" + mailPassword + "@" + c.mail.Addr,
		"SESSIONGATE_NOTIFY_SMTP_FROM=no-reply@example.com",
		"SESSIONGATE_NOTIFY_WEBHOOKS=" + string(webhooks),
		"SESSIONGATE_NOTIFY_VAPID_KEY=" + base64.RawURLEncoding.EncodeToString([]byte("0Jk3u7Qw9Zr5Tx1Vb8Nm2Lp6Hd4Gs0Fa")),
		"SESSIONGATE_NOTIFY_VAPID_SUBJECT=mailto:ops@example.com",
		"SESSIONGATE_NOTIFY_PUSH_HOSTS=" + strings.TrimPrefix(c.push.URL, "https://"),
		"SESSIONGATE_NOTIFY_FCM_SERVICE_ACCOUNT=" + c.google.Account,
		"SESSIONGATE_NOTIFY_FCM_URL=" + c.google.URL,
		"SESSIONGATE_NOTIFY_TIMEOUT=2s",
	}
	return c
}

// subscribe registers a browser and a phone of the user's.
func (c *channels) subscribe(t testing.TB, g *gateway, token string) (ids []string) {
	t.Helper()
	for _, body := range []object{c.browser.Subscription(c.push.URL + "/p/1"), {"fcm_token": "phone-1"}} {
		a := g.do(t, call{path: "/sessions/push-subscriptions", token: token, json: body})
		ids = append(ids, decode[struct{ ID string }](t, a, http.StatusCreated).ID)
	}
	return ids
}

// abroad is a sign-in of the user's in another country, on a phone of that id.
func abroad(u user, agent string) call {
	c := loginCall(u.identifier, password).from(inBerlin, agent)
	c.json.(object)["device_info"] = object{"name": "A phone", "platform": "android", "id": "d-2"}
	return c
}

// suspect signs the user in at home until home is known, and then abroad.
func suspect(t testing.TB, g *gateway, u user, agent string) (home, away grant) {
	t.Helper()
	home = settle(t, g, u)
	return home, decode[grant](t, g.do(t, abroad(u, agent)), http.StatusCreated)
}

// addressed gives the user an address.
func (s *stack) addressed(t testing.TB) user {
	t.Helper()
	u := s.user(t)
	s.exec(t, "UPDATE users SET email = $2 WHERE id = $1", u.id, u.identifier)
	return u
}

var linkInMail = regexp.MustCompile(`https://login\.example\.com(/notices/[-_0-9A-Za-z]+)`)

// mailText is a mail with its lines put together again.
func mailText(t testing.TB, m sink.Mail) string {
	t.Helper()
	b, err := io.ReadAll(quotedprintable.NewReader(strings.NewReader(string(m.Raw))))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// mailTo waits for the user's n-th mail.
func (c *channels) mailTo(t testing.TB, u user, n int) string {
	t.Helper()
	text := ""
	eventually(t, func() error {
		var all []sink.Mail
		for _, m := range c.mail.Mails() {
			if m.To == u.identifier {
				all = append(all, m)
			}
		}
		if len(all) < n {
			return fmt.Errorf("%s has %d mails, want %d", u.identifier, len(all), n)
		}
		text = mailText(t, all[n-1])
		return nil
	})
	return text
}

// TestAlerts: a user signs in from one country and, soon after, from another, and
// is told of the second by mail and by push message, and a program by webhook. The
// mail's link ends that session and no other. `scripts/demo-alerts` shows it.
func TestAlerts(t *testing.T) {
	t.Parallel()
	s, c := newStack(t), newChannels(t, nil)
	g := startWithGeo(t, s, c.settings...)
	u := s.addressed(t)
	home := settle(t, g, u)
	subscriptions := c.subscribe(t, g, home.AccessToken)
	away := decode[grant](t, g.do(t, abroad(u, "Mozilla/5.0 (X11) <b>http://evil.example</b>")), http.StatusCreated)

	text := c.mailTo(t, u, 1)
	t.Logf("mail\n%s", text)
	for _, want := range []string{"DE (estimated), network 80.128.1.x", "A phone", "UTC"} {
		if !strings.Contains(text, want) {
			t.Errorf("the mail does not say %q", want)
		}
	}
	eventually(t, func() error {
		if messages, _ := c.google.Messages(); len(messages) != 1 || len(c.push.Requests()) != 1 || len(c.hook.Requests()) == 0 {
			return fmt.Errorf("FCM has %d, Web Push %d, the webhook %d", len(messages), len(c.push.Requests()), len(c.hook.Requests()))
		}
		return nil
	})
	message, err := c.browser.Read(c.push.Requests()[0].Body)
	if err != nil || !strings.Contains(string(message), "Unusual sign-in to your Example account") {
		t.Errorf("the browser reads %s, %v", message, err)
	}
	messages, _ := c.google.Messages()
	t.Logf("Web Push\n%s\nFCM\n%v\nwebhook\n%s", message, messages[0]["notification"], c.hook.Requests()[0].Body)

	path := linkInMail.FindStringSubmatch(text)[1]
	show := call{method: "GET", path: path}
	for range 3 { // as programs that check mail do
		page := g.do(t, show).want(t, http.StatusOK)
		if !strings.Contains(page.body, "<form method=\"post\">") || strings.Contains(page.body, "<b>") {
			t.Errorf("the page is\n%s", page.body)
		}
		if csp := page.header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'; style-src 'sha256-") ||
			page.header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("headers %v", page.header)
		}
	}
	g.do(t, call{method: "HEAD", path: path}).want(t, http.StatusOK)
	g.alive(t, away.AccessToken)
	if page := g.do(t, call{path: path}).want(t, http.StatusOK); !strings.Contains(page.body, "The session has ended") {
		t.Errorf("the page is\n%s", page.body)
	}
	g.over(t, away.AccessToken, "logged_out_or_revoked")
	g.alive(t, home.AccessToken)
	for _, method := range []string{"POST", "GET"} {
		if page := g.do(t, call{method: method, path: path}).want(t, http.StatusOK); !strings.Contains(page.body, "Already done") {
			t.Errorf("the second time %s shows\n%s", method, page.body)
		}
	}
	s.flushed(t)
	if n := scalar[int](t, s, `SELECT count(*) FROM session_logs WHERE session_id = $1 AND action = 'logout' AND reason = 'user_reported'`, away.Session.ID); n != 1 {
		t.Errorf("the log has %d rows of the ending", n)
	}
	list := decode[struct {
		Subscriptions []struct {
			ID, Service string
			CreatedAt   stamp `json:"created_at"`
		}
		Key string `json:"vapid_public_key"`
	}](t, g.do(t, get("/sessions/push-subscriptions", home.AccessToken)), http.StatusOK)
	if len(list.Subscriptions) != 2 || list.Subscriptions[0].ID != subscriptions[0] || list.Subscriptions[1].Service != "fcm" || list.Key == "" {
		t.Errorf("the subscriptions are %+v", list)
	}
	other := g.open(t, newID()).AccessToken
	remove := call{method: "DELETE", path: "/sessions/push-subscriptions/" + subscriptions[0], token: other}
	g.do(t, remove).problem(t, http.StatusNotFound, "not_found", "")
	remove.token = home.AccessToken
	g.do(t, remove).want(t, http.StatusNoContent)
	g.do(t, remove).problem(t, http.StatusNotFound, "not_found", "")
}

// TestNoticeLinksOfOthers: a link that we did not sign, or that has ended, does
// nothing, and is asked of no store.
func TestNoticeLinksOfOthers(t *testing.T) {
	t.Parallel()
	s, c := newStack(t), newChannels(t, nil)
	g := s.start(t, append(c.settings, "SESSIONGATE_NOTIFY_LINK_LIFETIME=1m")...)
	for _, token := range []string{"x", strings.Repeat("A", 76), "AQ" + strings.Repeat("B", 74)} {
		for _, method := range []string{"GET", "POST"} {
			a := g.do(t, call{method: method, path: "/notices/" + token}).want(t, http.StatusNotFound)
			if !strings.Contains(a.body, "no longer good") {
				t.Errorf("%s shows\n%s", a.call, a.body)
			}
		}
	}
	plain := s.start(t) // nobody is told anything
	plain.do(t, call{method: "GET", path: "/notices/x"}).want(t, http.StatusNotFound)
	plain.do(t, get("/sessions/push-subscriptions", plain.open(t, newID()).AccessToken)).
		problem(t, http.StatusNotFound, "not_found", "")
}

// TestNoticeLinkIsAskedOnlySoOften: who has a link can't keep Postgres busy with it.
func TestNoticeLinkIsAskedOnlySoOften(t *testing.T) {
	t.Parallel()
	s, c := newStack(t), newChannels(t, nil)
	g := startWithGeo(t, s, c.settings...)
	u := s.addressed(t)
	suspect(t, g, u, firefox)
	path := linkInMail.FindStringSubmatch(c.mailTo(t, u, 1))[1]
	refused := 0
	for range 60 {
		if a := g.do(t, call{method: "GET", path: path}); a.status != http.StatusOK {
			a.want(t, http.StatusTooManyRequests)
			if n, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || n < 1 || n > 60 || !strings.Contains(a.body, "Too often") {
				t.Fatalf("%s: Retry-After %q\n%s", a.call, a.header.Get("Retry-After"), a.body)
			}
			refused++
		}
	}
	if refused < 20 { // a minute may have begun in between
		t.Errorf("%d of 60 were refused", refused)
	}
}

// TestF65AStolenTokenIsTold: SECURITY F 65 and C 37: reuse is logged, ends its
// session, and its user hears of it, once though it happens again.
func TestF65AStolenTokenIsTold(t *testing.T) {
	t.Parallel()
	s, c := newStack(t), newChannels(t, nil)
	g := s.start(t, append(c.settings, "SESSIONGATE_SESSIONS_GRACE=0s")...)
	u := s.addressed(t)
	for range 2 {
		first := g.login(t, u).AccessToken
		second := g.refresh(t, first).AccessToken
		third := g.refresh(t, second).AccessToken
		g.do(t, refreshCall(first)).problem(t, http.StatusUnauthorized, "unauthenticated", "refresh_reused")
		g.over(t, third, "logged_out_or_revoked")
	}
	text := c.mailTo(t, u, 1)
	if !strings.Contains(text, "somebody may have a copy of it") || linkInMail.MatchString(text) {
		t.Errorf("the mail is\n%s", text)
	}
	eventually(t, func() error {
		if n := strings.Count(c.hooked(), `"kind":"refresh_reused"`); n != 2 {
			return fmt.Errorf("the webhook was told %d times", n)
		}
		return nil
	})
	s.flushed(t)
	if n := scalar[int](t, s, `SELECT count(*) FROM notices WHERE channel = 'email'`); n != 1 {
		t.Errorf("%d mails in a day about the same device", n)
	}
}

// TestF65AMovedSessionIsTold: a session that goes on in another country, with another
// program and through another network, is one that somebody may have stolen. The
// link ends it, and has the device that held it forgotten, also when its time is over.
func TestF65AMovedSessionIsTold(t *testing.T) {
	t.Parallel()
	s, c := newStack(t), newChannels(t, nil)
	g := startWithGeo(t, s, c.settings...)
	u := s.addressed(t)
	login := loginCall(u.identifier, password).from(inHanoi, ownApp)
	login.json.(object)["remember"] = true
	stolen := decode[remembered](t, g.do(t, login), http.StatusCreated)
	other := g.remember(t, u)
	s.flushed(t)
	moved := decode[grant](t, g.do(t, refreshCall(stolen.AccessToken).from(inBerlin, firefox)), http.StatusOK)
	text := c.mailTo(t, u, 1)
	if !strings.Contains(text, "somebody may have taken it") || !strings.Contains(text, "DE (estimated)") {
		t.Errorf("the mail is\n%s", text)
	}
	g.alive(t, moved.AccessToken) // a score ends nothing
	s.runOut(t, stolen)
	g.do(t, call{path: linkInMail.FindStringSubmatch(text)[1]}).want(t, http.StatusOK)
	g.over(t, moved.AccessToken, "logged_out_or_revoked")
	g.forgotten(t, stolen.RefreshToken)
	g.alive(t, other.AccessToken)
	g.resume(t, other.RefreshToken)
}

// hooked is all that the webhook got.
func (c *channels) hooked() string {
	var b strings.Builder
	for _, r := range c.hook.Requests() {
		b.Write(r.Body)
		b.WriteByte('\n')
	}
	return b.String()
}

// TestF66MessagesCarryNothingOfStrangers: SECURITY F 66, for what is sent: no line,
// no header, no element and no link comes from a user agent or a device's name.
func TestF66MessagesCarryNothingOfStrangers(t *testing.T) {
	t.Parallel()
	s, c := newStack(t), newChannels(t, nil)
	g := startWithGeo(t, s, c.settings...)
	u := s.addressed(t)
	settle(t, g, u)
	const evil = "a\r\nBcc: all@example.com\r\n\r\n<script>x</script>\x1b[31m =cmd() https://evil.example www.evil.example"
	foreign := openCall(u.id) // a header could not carry it
	maps.Copy(foreign.json.(object), object{"ip_address": inBerlin, "user_agent": evil, "device_info": evil})
	g.do(t, foreign).want(t, http.StatusCreated)
	text := c.mailTo(t, u, 1)
	if _, page, ok := strings.Cut(text, "text/html"); !ok || strings.Contains(page, "<script") {
		t.Errorf("the page has an element of theirs in it:\n%s", text)
	}
	for _, bad := range []string{"\nBcc:", "\x1b", "evil.example", inBerlin} {
		if strings.Contains(text, bad) {
			t.Errorf("the mail has %q in it:\n%s", bad, text)
		}
	}
	if m := c.mail.Mails(); len(m) != 1 || m[0].Message.Header.Get("Bcc") != "" {
		t.Errorf("%d mails, %v", len(m), m[0].Message.Header)
	}
}

// counted is how often each notice arrived.
func (c *channels) counted() map[string]int {
	ids := map[string]int{}
	for _, r := range c.hook.Requests() {
		ids[r.Header.Get("Webhook-Id")]++
	}
	return ids
}

// TestKillWhileNoticesAreSent: gateways are killed in mid-delivery, again and again,
// and none is lost. What arrives twice has the same id.
func TestKillWhileNoticesAreSent(t *testing.T) {
	t.Parallel()
	const logouts = 60
	var slow atomic.Bool
	slow.Store(true)
	s, c := newStack(t), newChannels(t, func(sink.Request) int {
		if slow.Load() {
			<-time.After(150 * time.Millisecond)
		}
		return http.StatusNoContent
	})
	settings := append(c.settings, "SESSIONGATE_NOTIFY_TIMEOUT=500ms")
	g := s.start(t, settings...)
	ended := map[string]bool{}
	for range logouts {
		in := g.open(t, newID())
		g.do(t, logoutCall(in.AccessToken)).want(t, http.StatusNoContent)
		ended[in.Session.ID] = true
	}
	for round := range 4 {
		before := len(c.hook.Requests())
		eventually(t, func() error {
			if n := len(c.hook.Requests()); n < min(before+3, logouts) {
				return fmt.Errorf("%d notices have arrived, want some more than %d", n, before)
			}
			return nil
		})
		g.kill(t)
		slow.Store(round < 2)
		g = s.start(t, settings...)
	}
	eventually(t, func() error {
		return errors.Join(s.allSent(t, logouts), missing(logouts, len(c.counted())))
	})
	twice := 0
	for _, n := range c.counted() {
		if n > 1 {
			twice++
		}
	}
	t.Logf("%d of %d arrived more than once", twice, logouts)
	told := c.hooked()
	for sid := range ended {
		if !strings.Contains(told, sid) {
			t.Errorf("nobody was told of %s", sid)
		}
	}
}

func missing(want, got int) error {
	if got != want {
		return fmt.Errorf("%d ids have arrived, want %d", got, want)
	}
	return nil
}

// allSent returns nil once so many notices are sent and none is pending.
func (s *stack) allSent(t testing.TB, sent int) error {
	t.Helper()
	n := scalar[int](t, s, `SELECT count(*) FILTER (WHERE state = 'sent') FROM notices`)
	all := scalar[int](t, s, `SELECT count(*) FROM notices`)
	if n != sent || all != sent {
		return fmt.Errorf("%d of %d notices are sent, want %d", n, all, sent)
	}
	return nil
}

// TestNoticesThroughAnOutageOfPostgres: what happens while it is away is told when
// it is back, and nothing twice.
func TestNoticesThroughAnOutageOfPostgres(t *testing.T) {
	t.Parallel()
	s, db := ownPostgres(t)
	c := newChannels(t, nil)
	g := s.start(t, c.settings...)
	open := make([]grant, 10)
	for i := range open {
		open[i] = g.open(t, newID())
	}
	s.flushed(t)
	if err := db.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, in := range open {
		g.do(t, logoutCall(in.AccessToken)).want(t, http.StatusNoContent)
	}
	if err := db.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { return missing(len(open), len(c.counted())) })
	s.flushed(t)
	for id, n := range c.counted() {
		if n != 1 {
			t.Errorf("%s arrived %d times", id, n)
		}
	}
}

// TestAReceiverThatComesBack: until then its notices wait, and operators see them.
func TestAReceiverThatComesBack(t *testing.T) {
	t.Parallel()
	var status atomic.Int64
	status.Store(http.StatusInternalServerError)
	s, c := newStack(t), newChannels(t, func(sink.Request) int { return int(status.Load()) })
	g := s.start(t, append(c.settings, "SESSIONGATE_NOTIFY_MAX_ATTEMPTS=2", "SESSIONGATE_NOTIFY_TIMEOUT=20s")...)
	g.do(t, logoutCall(g.open(t, newID()).AccessToken)).want(t, http.StatusNoContent)
	eventually(t, func() error {
		if out := s.cli(t, "notices", "list", "--state", "parked"); !strings.Contains(out, "webhook:siem  logout") ||
			!strings.Contains(out, "status 500") {
			return fmt.Errorf("parked are\n%s", out)
		}
		return nil
	})
	status.Store(http.StatusNoContent)
	if out := s.cli(t, "notices", "retry", "--all"); !strings.Contains(out, "after all: 1.") {
		t.Errorf("retry says %s", out)
	}
	eventually(t, func() error { return s.allSent(t, 1) })
	if n := len(c.counted()); n != 1 || len(c.hook.Requests()) != 3 {
		t.Errorf("%d ids in %d requests, want 1 in 3", n, len(c.hook.Requests()))
	}
	metrics := g.do(t, call{method: "GET", path: "/metrics"}).body
	for _, want := range []string{
		`sessiongate_notices_attempts_total{channel="webhook",result="sent"} 1`,
		`sessiongate_notices_attempts_total{channel="webhook",result="retry"} 1`,
		`sessiongate_notices_attempts_total{channel="webhook",result="parked"} 1`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics do not say %s", want)
		}
	}
}

// cli runs a command on the stack and returns its output.
func (s *stack) cli(t testing.TB, args ...string) string {
	t.Helper()
	p := launch(t, s.settings(), args...)
	if code := p.exit(t); code != 0 {
		t.Fatalf("%v ends with %d: %s", args, code, p.output())
	}
	return p.output()
}
