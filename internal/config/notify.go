package config

import (
	"encoding/base64"
	"fmt"
	"net/mail"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// noticeKinds are what can be told: sign-ins, and sessions that ended, by reason.
var noticeKinds = []string{
	"new_device", "suspicious_login",
	"refresh_reused", "suspicious", "password_changed", "user_disabled", "user_erased", "user_reported",
	"logout", "logout_all", "revoked", "evicted", "expired", "idle_timeout", "absolute_timeout",
}

// On says whether anybody can be told anything.
func (n Notify) On() bool { return n.Secret != "" }

// NoticeURL returns what the links in messages begin with, "" where nobody knows.
func (c Config) NoticeURL() string {
	if c.Notify.PublicURL != "" {
		return c.Notify.PublicURL
	}
	return c.BaseURL()
}

func (v *validator) notify(c Config) {
	n := c.Notify
	channels := n.SMTPURL != "" || n.VAPIDKey != "" || n.FCMAccount != "" || len(n.Webhooks) > 0
	if n.On() || channels {
		v.secret("notify.secret", n.Secret, c.Tokens.Secret)
	}
	v.text("notify.app_name", n.AppName)
	v.check(n.PublicURL == "" || isBaseURL(n.PublicURL), "notify.public_url", n.PublicURL,
		"nothing, or https://host without a slash at its end, a query or a fragment")
	if n.SMTPURL != "" || n.VAPIDKey != "" || n.FCMAccount != "" {
		v.check(c.NoticeURL() != "" || v.dev, "notify.public_url", n.PublicURL,
			"https://host, which messages link to: http.public_url is not set either")
	}
	v.kinds("notify.email", n.Email)
	v.kinds("notify.push", n.Push)
	v.duration("notify.repeat_after", n.RepeatAfter, 0, 30*24*time.Hour)
	v.duration("notify.link_lifetime", n.LinkLifetime, time.Minute, 30*24*time.Hour)
	v.duration("notify.timeout", n.Timeout, 100*time.Millisecond, time.Minute)
	v.count("notify.max_attempts", n.MaxAttempts, 1, 100)
	v.check(n.Keep >= n.LinkLifetime && n.Keep <= 10*365*24*time.Hour, "notify.keep", n.Keep,
		"at least notify.link_lifetime (%s): a link is of use as long as its notice is kept", durationText(n.LinkLifetime))
	for _, s := range n.AllowNetworks {
		_, err := netip.ParsePrefix(s)
		v.check(err == nil, "notify.allow_networks", s, "networks, such as 10.1.0.0/16")
	}
	v.mailing(n)
	v.pushing(n)
	v.webhooks(c)
}

func (v *validator) kinds(key string, kinds []string) {
	for _, k := range kinds {
		v.check(slices.Contains(noticeKinds, k), key, k, "%s", strings.Join(noticeKinds, " or "))
	}
}

func (v *validator) mailing(n Notify) {
	if n.SMTPURL == "" {
		return
	}
	v.url("notify.smtp_url", n.SMTPURL, "smtp://user:password@mail.example.com:587", "smtp", "smtps", "smtp+plain")
	a, err := mail.ParseAddress(n.SMTPFrom)
	v.check(err == nil && a.Address == n.SMTPFrom, "notify.smtp_from", n.SMTPFrom, "the address that mail comes from")
}

// pushHost is a host, or all below one.
var pushHost = regexp.MustCompile(`^(\*\.)?[-.0-9a-z]+(:[0-9]+)?$`)

func (v *validator) pushing(n Notify) {
	for _, h := range n.PushHosts {
		v.check(pushHost.MatchString(h), "notify.push_hosts", h, "hosts, such as push.example.com or *.push.example.com")
	}
	if n.VAPIDKey != "" {
		raw, err := base64.RawURLEncoding.DecodeString(string(n.VAPIDKey))
		v.checkHidden(err == nil && len(raw) == 32, "notify.vapid_key",
			"32 bytes in base64url, as `sessiongate notices vapid` makes them")
		u, err := url.Parse(n.VAPIDSubject)
		v.check(err == nil && (u.Scheme == "mailto" || u.Scheme == "https"), "notify.vapid_subject", n.VAPIDSubject,
			"mailto:… or https://…, where those who run push services can reach you (RFC 8292 §2.1)")
	}
	if n.FCMAccount != "" {
		v.checkHidden(strings.HasPrefix(strings.TrimSpace(string(n.FCMAccount)), "{"), "notify.fcm_service_account",
			"the JSON of a service account's key file; SESSIONGATE_NOTIFY_FCM_SERVICE_ACCOUNT_FILE names the file")
		v.check(isBaseURL(n.FCMURL), "notify.fcm_url", n.FCMURL, "https://fcm.googleapis.com")
	}
}

func (v *validator) webhooks(c Config) {
	seen := map[string]bool{}
	for _, w := range c.Notify.Webhooks {
		key := "notify.webhooks[" + clip(w.Name) + "]"
		v.check(policyName.MatchString(w.Name), "notify.webhooks", w.Name,
			"a name of 1 to 64 letters, digits, '-', '_' and '.'")
		v.check(!seen[w.Name], "notify.webhooks", w.Name, "every name once")
		seen[w.Name] = true
		u, err := url.Parse(w.URL)
		ok := err == nil && u.Host != "" && u.User == nil && (u.Scheme == "https" || u.Scheme == "http" && c.Notify.AllowHTTP)
		v.checkHidden(ok, key+".url", "a URL such as https://example.com/hook (http:// needs notify.allow_http)")
		v.checkHidden(len(w.Secrets) > 0, key+".secrets", "at least one")
		for _, s := range w.Secrets {
			text, prefixed := strings.CutPrefix(s, "whsec_")
			raw, err := base64.StdEncoding.DecodeString(text)
			v.checkHidden(prefixed && err == nil && len(raw) >= 24 && len(raw) <= 64, key+".secrets",
				"whsec_ and 24 to 64 bytes in base64, as from `echo whsec_$(openssl rand -base64 32)`")
		}
		v.kinds(key+".kinds", w.Kinds)
		v.oneOf(key+".format", w.Format, FormatStandard, FormatCAEP)
		v.check(w.Format != FormatCAEP || c.Tokens.Algorithm != HS256, key+".format", w.Format,
			"%s, or tokens.algorithm other than %s: the receiver checks signatures with the JWKS", FormatStandard, HS256)
	}
}

func decodeWebhook(m map[string]any) (w Webhook, wrong string) {
	w.Format = FormatStandard
	for key, raw := range m {
		var ok bool
		switch key {
		case "name":
			w.Name, ok = raw.(string)
		case "url":
			w.URL, ok = raw.(string)
		case "secrets":
			w.Secrets, ok = texts(raw)
		case "kinds":
			w.Kinds, ok = texts(raw)
		case "format":
			w.Format, ok = raw.(string)
		default:
			return w, fmt.Sprintf("has no setting %q", key)
		}
		if !ok {
			return w, key + " is of another type"
		}
	}
	return w, ""
}

// showWebhooks hides the secrets, and the URL, which often is one.
func showWebhooks(webhooks []Webhook) string {
	if len(webhooks) == 0 {
		return "[]"
	}
	var b strings.Builder
	for _, w := range webhooks {
		host := "(hidden)"
		if u, err := url.Parse(w.URL); err == nil {
			host = u.Scheme + "://" + u.Host + "/(hidden)"
		}
		fmt.Fprintf(&b, "\n  - {name: %q, url: %q, secrets: [", w.Name, host)
		b.WriteString(strings.TrimSuffix(strings.Repeat(`"(hidden)", `, len(w.Secrets)), ", "))
		fmt.Fprintf(&b, "], kinds: [%s], format: %s}", quoteAll(w.Kinds), w.Format)
	}
	return b.String()
}
