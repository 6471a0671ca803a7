package notify

import (
	"context"
	"crypto/tls"
	"fmt"
	"time"

	"github.com/sessiongate/sessiongate/session"
)

// Options are the channels. One that is nil or empty is not there.
type Options struct {
	App   string // what the application is called in messages
	Links *Links

	Webhooks []Webhook
	Signer   Signer // of security event tokens
	Issuer   string // of security event tokens

	Mail *MailOptions

	Subscriptions *Subscriptions
	WebPush       *WebPushOptions
	FCM           *FCMOptions

	Guard   *Guard
	TLS     *tls.Config // nil: the system's roots
	Timeout time.Duration
	Now     func() time.Time
}

type channel interface {
	send(ctx context.Context, n *session.Notice) error
}

// Notifier sends notices. It is safe for concurrent use.
type Notifier struct {
	channels map[session.Channel]channel
}

// New returns a notifier. What is wrong with the options is known here, and not
// with the first notice.
func New(o Options) (*Notifier, error) {
	client := o.Guard.client(o.Timeout, o.TLS)
	words := &writer{app: o.App, links: o.Links}
	hooks := &webhooks{client: client, hooks: make(map[string]*hook), signer: o.Signer, issuer: o.Issuer, now: o.Now}
	for _, w := range o.Webhooks {
		h, err := newHook(w)
		if err != nil {
			return nil, err
		}
		hooks.hooks[w.Name] = h
	}
	n := &Notifier{channels: map[session.Channel]channel{session.ChannelWebhook: hooks}}
	if o.Mail != nil {
		m, err := newMailer(*o.Mail, words, o.Timeout)
		if err != nil {
			return nil, err
		}
		n.channels[session.ChannelEmail] = m
	}
	push := &pusher{subscriptions: o.Subscriptions, services: make(map[string]pushService), words: words}
	if o.WebPush != nil {
		w, err := newWebPush(*o.WebPush, client)
		if err != nil {
			return nil, err
		}
		push.services[session.PushWeb] = w
	}
	if o.FCM != nil {
		f, err := newFCM(*o.FCM, client, o.Now)
		if err != nil {
			return nil, err
		}
		push.services[session.PushFCM] = f
	}
	if len(push.services) > 0 {
		n.channels[session.ChannelPush] = push
	}
	return n, nil
}

// Send sends a notice. Its error wraps session.ErrNoticeRefused or
// session.ErrNoticeGone where nothing is gained by another attempt.
func (n *Notifier) Send(ctx context.Context, notice *session.Notice) error {
	c := n.channels[notice.Channel]
	if c == nil {
		return fmt.Errorf("%w: the channel %s is not set up", session.ErrNoticeRefused, notice.Channel)
	}
	return c.send(ctx, notice)
}
