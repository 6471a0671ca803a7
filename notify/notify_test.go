package notify

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/internal/sink"
	"github.com/sessiongate/sessiongate/session"
)

func TestRules(t *testing.T) {
	t.Parallel()
	rules := &Rules{
		RiskAt: 50, Email: []session.NoticeKind{session.NoticeSuspicious, "refresh_reused"},
		Push: []session.NoticeKind{session.NoticeNewDevice},
		Webhooks: []WebhookRule{
			{Name: "all"}, {Name: "caep", Endings: true}, {Name: "reuse", Kinds: []session.NoticeKind{"refresh_reused"}},
		},
	}
	login := func(ok bool, score int, signals ...string) session.Event {
		e := risky()
		e.Success, e.Risk = ok, session.Risk{Score: score, Signals: signals}
		return e
	}
	ending := func(why session.EndReason) session.Event {
		e := reused()
		e.Ends = why
		return e
	}
	nobody := login(true, 80, "new_country")
	nobody.UserID = ""
	refresh := login(true, 80, "new_country")
	refresh.Action = session.ActionRefresh
	calm, stale := refresh, refresh
	calm.Risk.Score, stale.Success = 49, false
	tests := []struct {
		name  string
		event session.Event
		want  string // kind, webhooks, email, push; "" for nobody
	}{
		{"a sign-in with nothing about it", login(true, 0), ""},
		{"a sign-in below the score", login(true, 49, "new_country"), ""},
		{"a new device", login(true, 50, "new_device"), "new_device [all] false true"},
		{"a new device in a new country", login(true, 80, "new_device", "new_country"), "suspicious_login [all] true false"},
		{"a sign-in that was refused for it", login(false, 80, "new_device"), "suspicious_login [all] true false"},
		{"nobody's sign-in", nobody, ""},
		{"a session that goes on unlike its user", refresh, "suspicious_login [all] true false"},
		{"a refresh below the score", calm, ""},
		{"a refresh that was refused: its ending is told of", stale, ""},
		{"a token that was reused", ending(session.EndReused), "refresh_reused [all caep reuse] true false"},
		{"a logout", ending(session.EndLogout), "logout [all caep] false false"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			plan, ok := rules.Plan(&tt.event)
			got := ""
			if ok {
				got = strings.Join([]string{
					string(plan.Kind), "[" + strings.Join(plan.Webhooks, " ") + "]", yes(plan.Email), yes(plan.Push),
				}, " ")
			}
			if got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
	one, two := ending("password_changed"), ending("password_changed")
	two.Device.ID = "another"
	first, _ := rules.Plan(&one)
	second, _ := rules.Plan(&two)
	if first.Once != second.Once {
		t.Error("a changed password is told of once for each device")
	}
}

func yes(b bool) string {
	if b {
		return "true"
	}
	return "false"
}

func TestLinks(t *testing.T) {
	t.Parallel()
	links, err := NewLinks("https://x.example", []byte(secret), 72*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	e := risky()
	at := func(u string) string { return strings.TrimPrefix(u, "https://x.example/notices/") }
	link, err := links.URL(&e)
	if again, _ := links.URL(&e); err != nil || again != link {
		t.Fatalf("%v; the link is another the second time: %t", err, again != link)
	}
	token := at(link)
	if id, ok := links.Event(token, noon.Add(72*time.Hour-time.Second)); !ok || id != e.ID {
		t.Errorf("the event is %s, %t", id, ok)
	}
	if _, ok := links.Event(token, noon.Add(72*time.Hour)); ok {
		t.Error("it is good after its time")
	}
	raw, _ := base64.RawURLEncoding.DecodeString(token)
	for i := range raw {
		for _, bit := range []byte{1, 0x80} {
			bad := append([]byte(nil), raw...)
			bad[i] ^= bit
			if _, ok := links.Event(base64.RawURLEncoding.EncodeToString(bad), noon); ok {
				t.Errorf("it is good with byte %d changed", i)
			}
		}
	}
	for _, bad := range []string{"", "x", token + "A", token[:len(token)-1], strings.ToLower(token), token + "="} {
		if _, ok := links.Event(bad, noon); ok {
			t.Errorf("%q is good", bad)
		}
	}
	others, _ := NewLinks("https://x.example", []byte("another secret of at least 32 bytes"), 72*time.Hour)
	if _, ok := others.Event(token, noon); ok {
		t.Error("it is good under another secret")
	}
	if strings.Contains(string(raw), string(e.SessionID)) || strings.Contains(token, string(e.SessionID)) {
		t.Error("the session's id is in it")
	}
}

func TestGuard(t *testing.T) {
	t.Parallel()
	open, inside := &Guard{}, &Guard{Networks: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, HTTP: true}
	for addr, want := range map[string]bool{
		"8.8.8.8": true, "2606:4700::1111": true, "::ffff:8.8.8.8": true,
		"127.0.0.1": false, "::1": false, "10.1.2.3": false, "172.16.0.1": false, "192.168.1.1": false,
		"169.254.169.254": false, "fe80::1": false, "fd00::1": false, "100.64.0.1": false, "0.0.0.0": false, "0.1.2.3": false,
		"::": false, "224.0.0.1": false, "255.255.255.255": false, "::ffff:127.0.0.1": false, "64:ff9b::7f00:1": false,
		"2002:7f00:1::": false, "198.18.0.1": false, "::ffff:169.254.169.254": false, "ff02::1": false,
	} {
		if got := open.allows(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s is allowed: %t, want %t", addr, got, want)
		}
	}
	if !inside.allows(netip.MustParseAddr("10.1.2.3")) || inside.allows(netip.MustParseAddr("10.2.0.1")) {
		t.Error("a network that is allowed is not, or one that is not is")
	}
	for url, want := range map[string]string{
		"https://example.com/x": "", "http://example.com": "must begin with https://", "https://u:p@example.com": "must not hold credentials",
		"https://127.0.0.1": "must not be a private address", "https://[::1]:8443/": "must not be a private address",
		"file:///etc/passwd": "must be a URL", "gopher://example.com": "must begin with https://", "https:example.com": "must be a URL", "": "must be a URL",
	} {
		err := open.CheckURL(url)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", url, err, want)
		}
	}
	if err := inside.CheckURL("http://10.1.2.3/"); err != nil {
		t.Error(err)
	}
}

func TestWebhook(t *testing.T) {
	t.Parallel()
	a := authority(t)
	status := 204
	to := a.NewHTTP(func(sink.Request) int { return status })
	defer to.Close()
	o := options(t, a)
	o.Webhooks = []Webhook{{Name: "siem", URL: to.URL + "/hook", Secrets: []string{whsec("a new key, 24 bytes long"), whsec("an old key, 24 bytes long")}}}
	n := newNotifier(t, o)
	e := risky()
	if err := n.Send(t.Context(), notice(session.ChannelWebhook, "siem", e)); err != nil {
		t.Fatal(err)
	}
	got := to.Requests()[0]
	var body map[string]any
	if err := json.Unmarshal(got.Body, &body); err != nil {
		t.Fatal(err)
	}
	data := body["data"].(map[string]any)
	if body["type"] != "login.flagged" || data["user_id"] != "42" || data["session_id"] != string(e.SessionID) ||
		data["user_agent"] != e.Origin.UserAgent || data["risk_score"] != 80.0 || got.Path != "/hook" {
		t.Errorf("the body is %s", got.Body)
	}
	if signatures := strings.Fields(got.Header.Get("Webhook-Signature")); len(signatures) != 2 || signatures[0] == signatures[1] {
		t.Errorf("signatures %q", signatures)
	}
	for _, tt := range []struct {
		status int
		want   error // nil: tried again
	}{{500, nil}, {429, nil}, {404, nil}, {301, nil}, {307, nil}, {410, session.ErrNoticeRefused}} {
		status = tt.status
		err := n.Send(t.Context(), notice(session.ChannelWebhook, "siem", e))
		if err == nil || errors.Is(err, session.ErrNoticeRefused) != (tt.want != nil) {
			t.Errorf("status %d: %v, want %v", tt.status, err, tt.want)
		}
	}
	for _, r := range to.Requests() {
		if r.Path != "/hook" {
			t.Errorf("it followed a redirect to %s", r.Path)
		}
	}
	if err := n.Send(t.Context(), notice(session.ChannelWebhook, "removed", e)); !errors.Is(err, session.ErrNoticeGone) {
		t.Errorf("of a webhook that is no more: %v", err)
	}
	o.Guard = &Guard{}
	before := len(to.Requests())
	err := newNotifier(t, o).Send(t.Context(), notice(session.ChannelWebhook, "siem", e))
	if !errors.Is(err, errForbidden) || len(to.Requests()) != before || strings.Contains(err.Error(), to.URL) {
		t.Errorf("a private address: %v", err)
	}
}

// recorder takes the claims that were to be signed.
type recorder struct{ claims any }

func (r *recorder) SignEvent(claims any) (string, error) {
	r.claims = claims
	return "a.b.c", nil
}

func TestSecurityEvent(t *testing.T) {
	t.Parallel()
	a := authority(t)
	to := a.NewHTTP(nil)
	defer to.Close()
	o, signer := options(t, a), &recorder{}
	o.Signer, o.Now = signer, func() time.Time { return noon.Add(time.Minute) }
	o.Webhooks = []Webhook{{Name: "rp", URL: to.URL, Secrets: []string{whsec("a key of at least 24 bytes")}, CAEP: true}}
	e := reused()
	if err := newNotifier(t, o).Send(t.Context(), notice(session.ChannelWebhook, "rp", e)); err != nil {
		t.Fatal(err)
	}
	if got := to.Requests()[0]; string(got.Body) != "a.b.c" || got.Header.Get("Content-Type") != "application/secevent+jwt" {
		t.Errorf("sent %q as %s", got.Body, got.Header.Get("Content-Type"))
	}
	text, err := json.Marshal(signer.claims)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"iss":"https://login.example.com","jti":"ntc_0123456789abcdef0123456789abcdef01234567","iat":1773144060,"aud":"rp",` +
		`"sub_id":{"format":"complex","user":{"format":"iss_sub","iss":"https://login.example.com","sub":"42"},` +
		`"session":{"format":"opaque","id":"` + string(e.SessionID) + `"}},"events":{` +
		`"https://schemas.openid.net/secevent/caep/event-type/session-revoked":{"event_timestamp":1773144000,` +
		`"initiating_entity":"policy","reason_admin":{"en":"refresh_reused"}}}}`
	if string(text) != want {
		t.Errorf("claims\n%s, want\n%s", text, want)
	}
}

// parts are the texts of a mail by media type.
func parts(t *testing.T, m sink.Mail) map[string]string {
	t.Helper()
	_, params, err := mime.ParseMediaType(m.Message.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	texts := make(map[string]string)
	for r := multipart.NewReader(m.Message.Body, params["boundary"]); ; {
		p, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return texts
		}
		if err != nil {
			t.Fatal(err)
		}
		media, _, _ := mime.ParseMediaType(p.Header.Get("Content-Type"))
		b, err := io.ReadAll(quotedprintable.NewReader(p))
		if err != nil {
			t.Fatal(err)
		}
		texts[media] = string(b)
	}
}

func TestMail(t *testing.T) {
	t.Parallel()
	a := authority(t)
	server, err := a.NewSMTP("p@ss:word", true)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	o := options(t, a)
	mailURL := "smtp://gateway:" + url.QueryEscape("p@ss:word") + "@" + server.Addr
	o.Mail = &MailOptions{URL: mailURL, From: "no-reply@example.com", TLS: o.TLS}
	n := newNotifier(t, o)
	e := risky()
	if err := n.Send(t.Context(), notice(session.ChannelEmail, "ana@example.com", e)); err != nil {
		t.Fatal(err)
	}
	m := server.Mails()[0]
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Message.Header.Get("Subject"))
	if err != nil || m.To != "ana@example.com" || m.From != "no-reply@example.com" || subject != "Unusual sign-in to your Example account" ||
		m.Message.Header.Get("Message-Id") != "<ntc_0123456789abcdef0123456789abcdef01234567@example.com>" {
		t.Errorf("the mail is\n%s", m.Raw)
	}
	link, _ := o.Links.URL(&e)
	texts := parts(t, m)
	for media, text := range texts {
		for _, want := range []string{"Tuesday, 10 March 2026, 12:00 UTC", "VN (estimated), network 8.8.4.x", "phone", "Mozilla/5.0", link} {
			if !strings.Contains(text, want) {
				t.Errorf("%s does not say %q:\n%s", media, want, text)
			}
		}
		for _, bad := range []string{"evil.example", "https://evil", "me@evil", "8.8.4.77", string(e.SessionID), "<img"} {
			if strings.Contains(text, bad) && (bad != "<img" || media == "text/html") {
				t.Errorf("%s has %q in it:\n%s", media, bad, text)
			}
		}
	}
	if len(texts) != 2 || strings.Count(texts["text/html"], "<a href") != 1 {
		t.Errorf("the parts are %v", texts)
	}

	end := reused()
	if err := n.Send(t.Context(), notice(session.ChannelEmail, "ana@example.com", end)); err != nil {
		t.Fatal(err)
	}
	if text := parts(t, server.Mails()[1])["text/plain"]; strings.Contains(text, "/notices/") || !strings.Contains(text, "We ended your session") {
		t.Errorf("of an ending it says\n%s", text)
	}

	server.Refuse("gone@example.com", 550)
	server.Refuse("busy@example.com", 451)
	for to, want := range map[string]error{"gone@example.com": session.ErrNoticeRefused, "no address": session.ErrNoticeRefused, "busy@example.com": nil} {
		err := n.Send(t.Context(), notice(session.ChannelEmail, to, e))
		if err == nil || errors.Is(err, session.ErrNoticeRefused) != (want != nil) || strings.Contains(err.Error(), to) {
			t.Errorf("mail to %s: %v, want %v", to, err, want)
		}
	}
	o.Mail.URL = "smtp://gateway:wrong@" + server.Addr
	if err := newNotifier(t, o).Send(t.Context(), notice(session.ChannelEmail, "ana@example.com", e)); err == nil || errors.Is(err, session.ErrNoticeRefused) {
		t.Errorf("a wrong password of ours is the mail's fault: %v", err)
	}
}

// TestMailNeedsTLS: a server, or somebody in between, that offers no TLS gets
// neither the password nor the mail.
func TestMailNeedsTLS(t *testing.T) {
	t.Parallel()
	a := authority(t)
	server, err := a.NewSMTP("pw", false)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	o := options(t, a)
	for scheme, from := range map[string]string{"smtp": "no-reply@example.com", "smtps": "no-reply@example.com"} {
		o.Mail = &MailOptions{URL: scheme + "://gateway:pw@" + server.Addr, From: from, TLS: o.TLS}
		if err := newNotifier(t, o).Send(t.Context(), notice(session.ChannelEmail, "ana@example.com", risky())); err == nil {
			t.Errorf("%s sends without TLS", scheme)
		}
	}
	if len(server.Mails()) != 0 {
		t.Error("the mail was sent without TLS")
	}
	for _, bad := range []MailOptions{{URL: "http://h", From: "a@b"}, {URL: "smtp://", From: "a@b"}, {URL: "smtp://h", From: "nobody"}} {
		o.Mail = &bad
		if _, err := New(o); err == nil {
			t.Errorf("%+v is good enough", bad)
		}
	}
}

func TestPush(t *testing.T) {
	t.Parallel()
	a := authority(t)
	status := 201
	service := a.NewHTTP(func(sink.Request) int { return status })
	defer service.Close()
	google, err := a.NewFCM()
	if err != nil {
		t.Fatal(err)
	}
	defer google.Close()
	browser, err := sink.NewBrowser()
	if err != nil {
		t.Fatal(err)
	}
	rows := &shelf{}
	o := options(t, a)
	vapid := base64.RawURLEncoding.EncodeToString([]byte(secret))
	o.WebPush = &WebPushOptions{PrivateKey: vapid, Subject: "mailto:ops@example.com"}
	o.FCM = &FCMOptions{ServiceAccount: google.Account, URL: google.URL}
	if o.Subscriptions, err = NewSubscriptions(SubscriptionOptions{
		DB: rows, Secret: []byte(secret), Hosts: []string{strings.TrimPrefix(service.URL, "https://")}, Guard: loopback, Web: true, FCM: true,
	}); err != nil {
		t.Fatal(err)
	}
	n := newNotifier(t, o)
	keys := browser.Subscription("")["keys"].(map[string]any)
	web := session.PushAddress{Endpoint: service.URL + "/p/secret", P256dh: keys["p256dh"].(string), Auth: keys["auth"].(string)}
	add := func(p session.PushAddress) string {
		t.Helper()
		id, err := o.Subscriptions.Add(t.Context(), "42", p, noon)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	send := func(id string) error { return n.Send(t.Context(), notice(session.ChannelPush, id, risky())) }
	id, phone := add(web), add(session.PushAddress{FCMToken: "phone-1"})
	for _, row := range rows.rows {
		if strings.Contains(string(row.Sealed), "secret") || strings.Contains(string(row.Sealed), "phone-1") {
			t.Error("the address is stored as it is")
		}
	}
	if err := errors.Join(send(id), send(phone), send(phone)); err != nil {
		t.Fatal(err)
	}

	got := service.Requests()[0]
	text, err := browser.Read(got.Body)
	var data map[string]string
	if err != nil || json.Unmarshal(text, &data) != nil {
		t.Fatalf("the browser reads %q, %v", text, err)
	}
	e := risky()
	if data["title"] != "Unusual sign-in to your Example account" || !strings.Contains(data["url"], "/notices/") ||
		!strings.Contains(data["body"], "8.8.4.x") || strings.Contains(string(text), string(e.SessionID)) {
		t.Errorf("the message is %s", text)
	}
	public, claims, err := sink.VAPID(got.Header.Get("Authorization"))
	want, _ := VAPIDPublicKey(vapid)
	if err != nil || public != want || claims["sub"] != "mailto:ops@example.com" || claims["aud"] != service.URL {
		t.Errorf("VAPID %s %v, %v", public, claims, err)
	}
	if got.Header.Get("Topic") != "0123456789abcdef0123456789abcdef" || got.Header.Get("Ttl") != "86400" {
		t.Errorf("headers %v", got.Header)
	}
	messages, tokens := google.Messages()
	if len(messages) != 2 || tokens != 1 || messages[0]["token"] != "phone-1" ||
		messages[0]["data"].(map[string]any)["kind"] != "suspicious_login" {
		t.Errorf("FCM got %v with %d tokens", messages, tokens)
	}

	status = 500
	if err := send(id); err == nil || errors.Is(err, session.ErrNoticeGone) {
		t.Errorf("status 500: %v", err)
	}
	status = 410
	google.Uninstall("phone-1")
	for _, target := range []string{id, phone} {
		if err := send(target); !errors.Is(err, session.ErrNoticeGone) {
			t.Errorf("a subscription that is no more: %v", err)
		}
		if _, err := rows.Push(t.Context(), target); !errors.Is(err, session.ErrNotFound) {
			t.Error("a subscription that is no more is still there")
		}
	}
	if err := send(id); !errors.Is(err, session.ErrNoticeGone) {
		t.Errorf("one that was removed: %v", err)
	}
}

func TestSubscriptionsTakeOnlyWhatCanBeOne(t *testing.T) {
	t.Parallel()
	s, err := NewSubscriptions(SubscriptionOptions{
		DB: &shelf{}, Secret: []byte(secret), Hosts: []string{"push.example.com", "*.push.example.org"}, Guard: &Guard{}, Web: true, FCM: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	browser, err := sink.NewBrowser()
	if err != nil {
		t.Fatal(err)
	}
	keys := browser.Subscription("")["keys"].(map[string]any)
	p256dh, auth := keys["p256dh"].(string), keys["auth"].(string)
	tests := []struct {
		name    string
		address session.PushAddress
		field   string // "" if it can be one
	}{
		{"a browser's", session.PushAddress{Endpoint: "https://push.example.com/x", P256dh: p256dh, Auth: auth}, ""},
		{"a browser's, below a host", session.PushAddress{Endpoint: "https://eu.push.example.org/x", P256dh: p256dh + "=", Auth: auth}, ""},
		{"a phone's", session.PushAddress{FCMToken: "abc:DEF_1"}, ""},
		{"nothing", session.PushAddress{}, "endpoint"},
		{"another host", session.PushAddress{Endpoint: "https://evil.example/x", P256dh: p256dh, Auth: auth}, "endpoint"},
		{"a host that ends the same", session.PushAddress{Endpoint: "https://evilpush.example.com/x", P256dh: p256dh, Auth: auth}, "endpoint"},
		{"the end of a name alone", session.PushAddress{Endpoint: "https://push.example.org/x", P256dh: p256dh, Auth: auth}, "endpoint"},
		{"another port", session.PushAddress{Endpoint: "https://push.example.com:22/x", P256dh: p256dh, Auth: auth}, "endpoint"},
		{"a private address", session.PushAddress{Endpoint: "https://169.254.169.254/x", P256dh: p256dh, Auth: auth}, "endpoint"},
		{"no TLS", session.PushAddress{Endpoint: "http://push.example.com/x", P256dh: p256dh, Auth: auth}, "endpoint"},
		{"no point", session.PushAddress{Endpoint: "https://push.example.com/x", P256dh: "BAAA", Auth: auth}, "keys.p256dh"},
		{"a short secret", session.PushAddress{Endpoint: "https://push.example.com/x", P256dh: p256dh, Auth: "AAAA"}, "keys.auth"},
		{"both", session.PushAddress{Endpoint: "https://push.example.com/x", FCMToken: "x"}, "fcm_token"},
		{"a token with a line in it", session.PushAddress{FCMToken: "a\nb"}, "fcm_token"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := s.Add(t.Context(), "42", tt.address, noon)
			field, bad := errors.AsType[*session.FieldError](err)
			if tt.field == "" && err != nil || tt.field != "" && (!bad || field.Field != tt.field) {
				t.Errorf("error %v, want one about %q", err, tt.field)
			}
		})
	}
}

func TestPlain(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"Ana's iPhone (ios)":           "Ana's iPhone (ios)",
		"Mozilla/5.0 Chrome/120.0.0.1": "Mozilla/5.0 Chrome/120.0.0.1",
		"go to evil.com.":              "go to evil com.",
		"1.evil.com 1.2":               "1 evil com 1.2",
		"https://a.b":                  "https //a b",
		"a@b":                          "a b",
		"evil。com":                     "evil com",
		strings.Repeat("x", 500):       strings.Repeat("x", maxShown),
		"\x1b[31mred\r\nBcc: all@example.com\u202e": "[31mredBcc all example com",
	} {
		if got := plain(s); got != want {
			t.Errorf("%q is shown as %q, want %q", s, got, want)
		}
	}
}

func TestWhere(t *testing.T) {
	t.Parallel()
	got := map[string]string{}
	for _, ip := range []string{"8.8.4.77", "::ffff:8.8.4.77", "2606:4700:10:20::1", "2606::1", "", "x"} {
		got[ip] = whereText(session.Origin{IP: ip})
	}
	want := map[string]string{
		"8.8.4.77": "network 8.8.4.x", "::ffff:8.8.4.77": "network 8.8.4.x", "2606:4700:10:20::1": "network 2606:4700:10:…",
		"2606::1": "network 2606:…", "": "unknown", "x": "unknown",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
