package notify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	webpush "github.com/SherClockHolmes/webpush-go"

	"github.com/sessiongate/sessiongate/session"
)

// A pushService takes push messages for one kind of subscription. Its error wraps
// session.ErrNoticeGone if the subscription is none any more.
type pushService interface {
	push(ctx context.Context, a session.PushAddress, d pushData) error
}

// pusher sends push messages.
type pusher struct {
	subscriptions *Subscriptions
	services      map[string]pushService
	words         *writer
}

func (p *pusher) send(ctx context.Context, n *session.Notice) error {
	address, service, err := p.subscriptions.address(ctx, n.Target)
	if err != nil {
		return err
	}
	to := p.services[service]
	if to == nil {
		return fmt.Errorf("%w: %s is not set up any more", session.ErrNoticeRefused, service)
	}
	data, err := p.words.push(n)
	if err != nil {
		return err
	}
	err = to.push(ctx, address, data)
	if errors.Is(err, session.ErrNoticeGone) {
		err = errors.Join(err, p.subscriptions.db.ForgetPush(ctx, n.Target))
	}
	return err
}

// How long a push service keeps a message for a device that is away, in seconds.
const pushTTL = 24 * 60 * 60

// WebPushOptions are what push services know us by (RFC 8292, VAPID).
type WebPushOptions struct {
	PrivateKey string // base64url of 32 bytes
	Subject    string // mailto: or https:, for whoever runs the service
}

// webPush sends to browsers (RFC 8030, RFC 8291).
type webPush struct {
	client  *http.Client
	options webpush.Options
}

func newWebPush(o WebPushOptions, client *http.Client) (*webPush, error) {
	public, err := VAPIDPublicKey(o.PrivateKey)
	if err != nil {
		return nil, err
	}
	return &webPush{client: client, options: webpush.Options{
		Subscriber: strings.TrimPrefix(o.Subject, "mailto:"), VAPIDPublicKey: public, VAPIDPrivateKey: o.PrivateKey,
		TTL: pushTTL, Urgency: webpush.UrgencyHigh, HTTPClient: client,
	}}, nil
}

// maxTopic is how long a topic may be (RFC 8030 §5.4).
const maxTopic = 32

func (w *webPush) push(ctx context.Context, a session.PushAddress, d pushData) error {
	body, err := encode(d)
	if err != nil {
		return err
	}
	options := w.options
	// The service replaces a message that waits by another one of the topic: sent
	// again, it is shown once.
	options.Topic = strings.TrimPrefix(d.ID, "ntc_")
	options.Topic = options.Topic[:min(len(options.Topic), maxTopic)]
	to := &webpush.Subscription{Endpoint: a.Endpoint, Keys: webpush.Keys{Auth: a.Auth, P256dh: a.P256dh}}
	res, err := webpush.SendNotificationWithContext(ctx, body, to, &options)
	if err != nil {
		return fmt.Errorf("web push: %w", hideURL(err))
	}
	status, _, err := answerOf(res)
	switch {
	case status/100 == 2:
		return nil
	case status == http.StatusNotFound, status == http.StatusGone: // RFC 8030 §7.3
		return fmt.Errorf("web push: %w: status %d", session.ErrNoticeGone, status)
	case status == http.StatusBadRequest, status == http.StatusRequestEntityTooLarge:
		return fmt.Errorf("web push: %w: status %d", session.ErrNoticeRefused, status)
	}
	return errors.Join(fmt.Errorf("web push: status %d", status), err)
}
