package notify

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/sessiongate/sessiongate/session"
)

// pushStore keeps subscriptions, as store.Postgres does.
type pushStore interface {
	AddPush(ctx context.Context, s session.PushSubscription) (id string, err error)
	Push(ctx context.Context, id string) (session.PushSubscription, error)
	ForgetPush(ctx context.Context, id string) error
}

// Subscriptions are where users get push messages. What it takes to send one there
// is stored sealed.
type Subscriptions struct {
	db    pushStore
	hosts []string
	guard *Guard
	web   bool
	fcm   bool

	sealing cipher.AEAD
	naming  []byte
}

// SubscriptionOptions say what can be subscribed.
type SubscriptionOptions struct {
	DB     pushStore
	Secret []byte
	Hosts  []string // of push services: a name, or "*." and the end of one
	Guard  *Guard
	Web    bool // Web Push is set up
	FCM    bool // FCM is set up
}

// NewSubscriptions returns the subscriptions in a store.
func NewSubscriptions(o SubscriptionOptions) (*Subscriptions, error) {
	naming, errNaming := derive(o.Secret, "subscription name")
	key, errKey := derive(o.Secret, "subscription seal")
	if err := errors.Join(errNaming, errKey); err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("notify: %w", err)
	}
	sealing, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("notify: %w", err)
	}
	return &Subscriptions{
		db: o.DB, hosts: o.Hosts, guard: o.Guard, web: o.Web, fcm: o.FCM, sealing: sealing, naming: naming,
	}, nil
}

// Bounds of what a browser or an application sends.
const (
	maxEndpoint = 2048
	maxFCMToken = 4096
)

// Add subscribes an installation of the user's. What can't be one is a
// *session.FieldError.
func (s *Subscriptions) Add(ctx context.Context, userID string, a session.PushAddress, now time.Time) (id string, err error) {
	service, name := session.PushWeb, a.Endpoint
	if a.FCMToken != "" {
		service, name = session.PushFCM, a.FCMToken
		err = s.checkFCM(a)
	} else {
		err = s.checkWeb(a)
	}
	if err != nil {
		return "", err
	}
	mac := hmac.New(sha256.New, s.naming)
	mac.Write([]byte(service + "\x00" + name))
	digest := hex.EncodeToString(mac.Sum(nil))
	sealed, err := s.seal(digest, a)
	if err != nil {
		return "", err
	}
	return s.db.AddPush(ctx, session.PushSubscription{
		ID: uuid.NewString(), UserID: userID, Service: service, Digest: digest, Sealed: sealed, CreatedAt: now,
	})
}

func (s *Subscriptions) checkFCM(a session.PushAddress) error {
	switch {
	case !s.fcm:
		return &session.FieldError{Field: "fcm_token", Reason: "can't be used: FCM is not set up here"}
	case a.Endpoint != "":
		return &session.FieldError{Field: "fcm_token", Reason: "must not be there with endpoint"}
	case len(a.FCMToken) > maxFCMToken || strings.ContainsFunc(a.FCMToken, func(r rune) bool { return r <= ' ' || r > '~' }):
		return &session.FieldError{Field: "fcm_token", Reason: "must be a registration token"}
	}
	return nil
}

func (s *Subscriptions) checkWeb(a session.PushAddress) error {
	if a.Endpoint == "" {
		return &session.FieldError{Field: "endpoint", Reason: "must be there, or fcm_token"}
	}
	if !s.web {
		return &session.FieldError{Field: "endpoint", Reason: "can't be used: Web Push is not set up here"}
	}
	if len(a.Endpoint) > maxEndpoint {
		return &session.FieldError{Field: "endpoint", Reason: fmt.Sprintf("must be at most %d bytes", maxEndpoint)}
	}
	if err := s.guard.CheckURL(a.Endpoint); err != nil {
		return &session.FieldError{Field: "endpoint", Reason: err.Error()}
	}
	if !s.known(a.Endpoint) {
		return &session.FieldError{Field: "endpoint", Reason: "must be at a push service that is known here"}
	}
	if key, err := decodeKey(a.P256dh); err != nil || !isPoint(key) {
		return &session.FieldError{Field: "keys.p256dh", Reason: "must be a P-256 public key in base64url"}
	}
	if key, err := decodeKey(a.Auth); err != nil || len(key) != 16 {
		return &session.FieldError{Field: "keys.auth", Reason: "must be 16 bytes in base64url"}
	}
	return nil
}

// known says whether the URL is one of a push service that we send to.
func (s *Subscriptions) known(endpoint string) bool {
	u, err := url.Parse(endpoint)
	if err != nil {
		return false
	}
	for _, h := range s.hosts {
		suffix, wild := strings.CutPrefix(h, "*")
		if u.Host == h || wild && len(u.Host) > len(suffix) && strings.HasSuffix(u.Host, suffix) {
			return true
		}
	}
	return false
}

func decodeKey(s string) ([]byte, error) {
	return base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
}

func isPoint(b []byte) bool {
	_, err := ecdh.P256().NewPublicKey(b)
	return err == nil
}

// seal binds the address to its row: none can be put in the place of another.
func (s *Subscriptions) seal(digest string, a session.PushAddress) ([]byte, error) {
	text, err := json.Marshal(a)
	if err != nil {
		return nil, fmt.Errorf("notify: seal subscription: %w", err)
	}
	return s.sealing.Seal(nil, nil, text, []byte(digest)), nil
}

// address returns where a subscription is, or session.ErrNoticeGone.
func (s *Subscriptions) address(ctx context.Context, id string) (a session.PushAddress, service string, err error) {
	row, err := s.db.Push(ctx, id)
	if errors.Is(err, session.ErrNotFound) {
		err = fmt.Errorf("%w: the subscription is no more", session.ErrNoticeGone)
	}
	if err != nil {
		return a, "", err
	}
	text, err := s.sealing.Open(nil, nil, row.Sealed, []byte(row.Digest))
	if err == nil {
		err = json.Unmarshal(text, &a)
	}
	if err != nil {
		return a, "", errors.New("notify: the subscription can't be opened: it was sealed with another notify.secret")
	}
	return a, row.Service, nil
}
