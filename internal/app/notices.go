package app

import (
	"fmt"
	"net/netip"

	"github.com/sessiongate/sessiongate/handlers"
	"github.com/sessiongate/sessiongate/internal/config"
	"github.com/sessiongate/sessiongate/middleware"
	"github.com/sessiongate/sessiongate/notify"
	"github.com/sessiongate/sessiongate/risk"
	"github.com/sessiongate/sessiongate/session"
	"github.com/sessiongate/sessiongate/store"
)

// notices are the parts that tell people and programs; all nil where nobody is told
// anything.
type notices struct {
	links         *notify.Links
	subscriptions *notify.Subscriptions // nil without push messages
	notifier      *notify.Notifier
}

// noticeRules returns nil where nobody is told anything.
func noticeRules(n config.Notify, unusual risk.Rules) store.NoticeRules {
	if !n.On() {
		return nil
	}
	rules := &notify.Rules{RiskAt: unusual.NotifyFrom()}
	if n.SMTPURL != "" {
		rules.Email = kindsOf(n.Email)
	}
	if n.VAPIDKey != "" || n.FCMAccount != "" {
		rules.Push = kindsOf(n.Push)
	}
	for _, w := range n.Webhooks {
		rules.Webhooks = append(rules.Webhooks, notify.WebhookRule{
			Name: w.Name, Kinds: kindsOf(w.Kinds), Endings: w.Format == config.FormatCAEP,
		})
	}
	return rules
}

func kindsOf(list []string) []session.NoticeKind {
	kinds := make([]session.NoticeKind, len(list))
	for i, s := range list {
		kinds[i] = session.NoticeKind(s)
	}
	return kinds
}

func (g *gateway) buildNotices() (err error) {
	n := g.cfg.Notify
	if !n.On() {
		return nil
	}
	guard, err := guardOf(n)
	if err != nil {
		return err
	}
	secret := []byte(n.Secret)
	base := g.cfg.NoticeURL()
	if base == "" {
		base = g.baseURL()
	}
	if g.notices.links, err = notify.NewLinks(base, secret, n.LinkLifetime); err != nil {
		return err
	}
	if n.VAPIDKey != "" || n.FCMAccount != "" {
		g.notices.subscriptions, err = notify.NewSubscriptions(notify.SubscriptionOptions{
			DB: g.postgres, Secret: secret, Hosts: n.PushHosts, Guard: guard, Web: n.VAPIDKey != "", FCM: n.FCMAccount != "",
		})
		if err != nil {
			return err
		}
	}
	g.notices.notifier, err = notify.New(g.notifyOptions(guard))
	return err
}

func (g *gateway) notifyOptions(guard *notify.Guard) notify.Options {
	n := g.cfg.Notify
	o := notify.Options{
		App: n.AppName, Links: g.notices.links, Signer: laterSigner{g}, Issuer: g.cfg.Tokens.Issuer,
		Subscriptions: g.notices.subscriptions, Guard: guard, Timeout: n.Timeout, Now: g.redis.Clock,
	}
	for _, w := range n.Webhooks {
		o.Webhooks = append(o.Webhooks, notify.Webhook{
			Name: w.Name, URL: w.URL, Secrets: w.Secrets, CAEP: w.Format == config.FormatCAEP,
		})
	}
	if n.SMTPURL != "" {
		o.Mail = &notify.MailOptions{URL: string(n.SMTPURL), From: n.SMTPFrom}
	}
	if n.VAPIDKey != "" {
		o.WebPush = &notify.WebPushOptions{PrivateKey: string(n.VAPIDKey), Subject: n.VAPIDSubject}
	}
	if n.FCMAccount != "" {
		o.FCM = &notify.FCMOptions{ServiceAccount: string(n.FCMAccount), URL: n.FCMURL}
	}
	return o
}

// laterSigner signs with the issuer, which comes after the jobs: managed keys need
// the tables.
type laterSigner struct{ g *gateway }

func (s laterSigner) SignEvent(claims any) (string, error) {
	issuer := s.g.eventIssuer.Load()
	if issuer == nil {
		return "", fmt.Errorf("app: sign security event: %w", session.ErrUnavailable)
	}
	return issuer.SignEvent(claims)
}

func guardOf(n config.Notify) (*notify.Guard, error) {
	guard := &notify.Guard{HTTP: n.AllowHTTP}
	for _, s := range n.AllowNetworks {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("notify.allow_networks: %w", err)
		}
		guard.Networks = append(guard.Networks, p)
	}
	return guard, nil
}

func (g *gateway) pushHandler() handlers.Push {
	h := handlers.Push{List: g.postgres, Now: g.redis.Clock}
	if g.notices.subscriptions == nil {
		return h
	}
	h.Subscriber = g.notices.subscriptions
	if key := g.cfg.Notify.VAPIDKey; key != "" {
		h.VAPIDKey, _ = notify.VAPIDPublicKey(string(key)) // notify.New has been over it
	}
	return h
}

func (g *gateway) noticesHandler(from *middleware.Addresses) *handlers.Notices {
	h := &handlers.Notices{
		Events: g.postgres, Sessions: g.redis, Devices: g.redis, Origin: from.Origin, Now: g.redis.Clock, App: g.cfg.Notify.AppName,
	}
	if g.notices.links != nil {
		h.Links = g.notices.links
	}
	return h
}
