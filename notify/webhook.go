package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sessiongate/sessiongate/session"
)

// A Webhook is a program that is told.
type Webhook struct {
	Name    string
	URL     string
	Secrets []string // whsec_ and base64; each makes a signature
	CAEP    bool     // security event tokens instead of JSON
}

// Signer signs what other programs have to believe, as tokens.Issuer does.
type Signer interface {
	// SignEvent returns the claims as a security event token (RFC 8417).
	SignEvent(claims any) (string, error)
}

// webhooks sends to programs (standardwebhooks.com, version 1.0.0).
type webhooks struct {
	client *http.Client
	hooks  map[string]*hook
	signer Signer
	issuer string
	now    func() time.Time
}

type hook struct {
	Webhook
	keys [][]byte
}

func newHook(w Webhook) (*hook, error) {
	h := &hook{Webhook: w}
	for _, s := range w.Secrets {
		key, err := WebhookKey(s)
		if err != nil {
			return nil, fmt.Errorf("notify: webhook %s: %w", w.Name, err)
		}
		h.keys = append(h.keys, key)
	}
	return h, nil
}

// WebhookKey returns the key in a secret: whsec_ and 24 to 64 bytes in base64.
func WebhookKey(secret string) ([]byte, error) {
	text, ok := strings.CutPrefix(secret, "whsec_")
	key, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(key) < 24 || len(key) > 64 {
		return nil, errors.New("a secret must be whsec_ and 24 to 64 bytes in base64")
	}
	return key, nil
}

func (w *webhooks) send(ctx context.Context, n *session.Notice) error {
	h := w.hooks[n.Target]
	if h == nil { // taken out of the configuration
		return fmt.Errorf("%w: there is no webhook %s", session.ErrNoticeGone, n.Target)
	}
	body, media, err := w.body(h, n)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%w: %w", session.ErrNoticeRefused, hideURL(err))
	}
	stamp := strconv.FormatInt(w.now().Unix(), 10)
	req.Header.Set("Content-Type", media)
	req.Header.Set("Webhook-Id", n.ID)
	req.Header.Set("Webhook-Timestamp", stamp)
	req.Header.Set("Webhook-Signature", h.signature(n.ID, stamp, body))
	status, _, err := do(w.client, req)
	switch {
	case err != nil:
		return fmt.Errorf("webhook %s: %w", h.Name, err)
	case status/100 == 2:
		return nil
	case status == http.StatusGone: // "the receiver does not want any more" (§ Delivery)
		return fmt.Errorf("webhook %s: %w: status 410", h.Name, session.ErrNoticeRefused)
	case status/100 == 3:
		return fmt.Errorf("webhook %s: status %d: redirects are not followed", h.Name, status)
	}
	return fmt.Errorf("webhook %s: status %d", h.Name, status)
}

// signature is one for each secret, the newest first, so that a receiver may
// change over at any time.
func (h *hook) signature(id, stamp string, body []byte) string {
	list := make([]string, len(h.keys))
	for i, key := range h.keys {
		mac := hmac.New(sha256.New, key)
		fmt.Fprintf(mac, "%s.%s.", id, stamp)
		mac.Write(body)
		list[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return strings.Join(list, " ")
}

func (w *webhooks) body(h *hook, n *session.Notice) (body []byte, media string, err error) {
	if h.CAEP {
		text, err := w.securityEvent(h, n)
		return []byte(text), "application/secevent+jwt", err
	}
	body, err = encode(webhookBody{typeOf(n), stampOf(n.Event.CreatedAt), dataOf(n)})
	return body, "application/json", err
}

type webhookBody struct {
	Type      string      `json:"type"`
	Timestamp string      `json:"timestamp"`
	Data      webhookData `json:"data"`
}

type webhookData struct {
	EventID   string   `json:"event_id"`
	Kind      string   `json:"kind"`
	UserID    string   `json:"user_id"`
	SessionID string   `json:"session_id,omitempty"`
	ClientID  string   `json:"client_id,omitempty"`
	Success   bool     `json:"success"`
	Reason    string   `json:"reason,omitempty"`
	RiskScore int      `json:"risk_score,omitempty"`
	Signals   []string `json:"signals,omitempty"`
	IP        string   `json:"ip_address,omitempty"`
	Country   string   `json:"country,omitempty"`
	UserAgent string   `json:"user_agent,omitempty"`
	Device    string   `json:"device_info,omitempty"`
	ExpiresAt string   `json:"expires_at,omitempty"` // nothing of the session is good beyond it
}

func typeOf(n *session.Notice) string {
	if n.Event.Ends != "" {
		return "session.ended"
	}
	return "login.flagged"
}

func dataOf(n *session.Notice) webhookData {
	e := &n.Event
	return webhookData{
		EventID: string(e.ID), Kind: string(n.Kind), UserID: e.UserID, SessionID: string(e.SessionID),
		ClientID: e.ClientID, Success: e.Success, Reason: e.Reason, RiskScore: e.Risk.Score, Signals: e.Risk.Signals,
		IP: e.Origin.IP, Country: e.Origin.Country, UserAgent: e.Origin.UserAgent, Device: e.Device.String(),
		ExpiresAt: stampOf(e.ExpiresAt),
	}
}

func stampOf(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z07:00")
}
