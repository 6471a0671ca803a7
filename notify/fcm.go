package notify

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/sessiongate/sessiongate/session"
)

// FCMOptions say how to reach Firebase Cloud Messaging (HTTP v1).
type FCMOptions struct {
	ServiceAccount string // the JSON file of a service account's key
	URL            string // https://fcm.googleapis.com
}

// fcm sends to applications on phones.
type fcm struct {
	client  *http.Client
	account serviceAccount
	key     *rsa.PrivateKey
	send    string // URL
	now     func() time.Time

	mu    sync.Mutex
	token string
	until time.Time
}

// serviceAccount is what is used of Google's file.
type serviceAccount struct {
	Project    string `json:"project_id"`
	KeyID      string `json:"private_key_id"`
	PrivateKey string `json:"private_key"`
	Email      string `json:"client_email"`
	TokenURL   string `json:"token_uri"`
}

// fcmScope is what a service account asks for.
const fcmScope = "https://www.googleapis.com/auth/firebase.messaging"

var errServiceAccount = errors.New("notify: the FCM service account is not a key file as Google makes it")

func newFCM(o FCMOptions, client *http.Client, now func() time.Time) (*fcm, error) {
	f := &fcm{client: client, now: now}
	if json.Unmarshal([]byte(o.ServiceAccount), &f.account) != nil {
		return nil, errServiceAccount
	}
	block, _ := pem.Decode([]byte(f.account.PrivateKey))
	if block == nil || f.account.Project == "" || f.account.Email == "" || f.account.TokenURL == "" {
		return nil, errServiceAccount
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	private, ok := key.(*rsa.PrivateKey)
	if err != nil || !ok {
		return nil, errServiceAccount
	}
	f.key, f.send = private, o.URL+"/v1/projects/"+url.PathEscape(f.account.Project)+"/messages:send"
	return f, nil
}

type fcmMessage struct {
	Message struct {
		Token        string            `json:"token"`
		Notification map[string]string `json:"notification"`
		Data         map[string]string `json:"data"`
		Android      map[string]any    `json:"android"`
		APNS         map[string]any    `json:"apns"`
	} `json:"message"`
}

func (f *fcm) push(ctx context.Context, a session.PushAddress, d pushData) error {
	token, err := f.accessToken(ctx)
	if err != nil {
		return err
	}
	var m fcmMessage
	m.Message.Token = a.FCMToken
	m.Message.Notification = map[string]string{"title": d.Title, "body": d.Body}
	m.Message.Data = map[string]string{"id": d.ID, "kind": d.Kind, "at": d.At, "url": d.URL}
	// Sent again, it replaces the first on the device.
	m.Message.Android = map[string]any{
		"priority": "high", "ttl": fmt.Sprintf("%ds", pushTTL), "notification": map[string]string{"tag": d.ID},
	}
	m.Message.APNS = map[string]any{"headers": map[string]string{"apns-collapse-id": d.ID, "apns-priority": "10"}}
	body, err := encode(m)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.send, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("fcm: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	status, answer, err := do(f.client, req)
	if err != nil {
		return fmt.Errorf("fcm: %w", err)
	}
	return f.judge(status, answer)
}

// judge reads an answer of FCM: google.rpc.Status, with FCM's own code among the
// details.
func (f *fcm) judge(status int, answer []byte) error {
	if status/100 == 2 {
		return nil
	}
	var body struct {
		Error struct {
			Status  string `json:"status"`
			Details []struct {
				Code string `json:"errorCode"`
			} `json:"details"`
		} `json:"error"`
	}
	_ = json.Unmarshal(answer, &body) // without it there is still the status
	code := body.Error.Status
	for _, d := range body.Error.Details {
		if d.Code != "" {
			code = d.Code
		}
	}
	code = session.CleanText(code, 64)
	switch {
	case code == "UNREGISTERED": // a 404, as other things are that are our fault
		return fmt.Errorf("fcm: %w: %s", session.ErrNoticeGone, code)
	case code == "INVALID_ARGUMENT", code == "SENDER_ID_MISMATCH":
		return fmt.Errorf("fcm: %w: %s", session.ErrNoticeRefused, code)
	case status == http.StatusUnauthorized:
		f.forget() // withdrawn before its time
	}
	return fmt.Errorf("fcm: status %d %s", status, code)
}

func (f *fcm) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.until = time.Time{}
}

// tokenMargin is how long before its time a token is replaced.
const tokenMargin = time.Minute

// accessToken returns a token of the service account's, a new one if need be
// (RFC 7523). Who comes while one is being fetched waits for it.
func (f *fcm) accessToken(ctx context.Context) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	if now.Before(f.until) {
		return f.token, nil
	}
	assertion, err := f.assertion(now)
	if err != nil {
		return "", err
	}
	form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.account.TokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return "", fmt.Errorf("fcm: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	status, answer, err := do(f.client, req)
	if err != nil {
		return "", fmt.Errorf("fcm: get a token: %w", err)
	}
	var body struct {
		Token     string `json:"access_token"`
		ExpiresIn int    `json:"expires_in"`
	}
	if status != http.StatusOK || json.Unmarshal(answer, &body) != nil || body.Token == "" {
		return "", fmt.Errorf("fcm: get a token: status %d", status)
	}
	f.token, f.until = body.Token, now.Add(time.Duration(body.ExpiresIn)*time.Second-tokenMargin)
	return f.token, nil
}

func (f *fcm) assertion(now time.Time) (string, error) {
	header, errHeader := encode(map[string]string{"alg": "RS256", "typ": "JWT", "kid": f.account.KeyID})
	claims, errClaims := encode(map[string]any{
		"iss": f.account.Email, "scope": fcmScope, "aud": f.account.TokenURL,
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	})
	if err := errors.Join(errHeader, errClaims); err != nil {
		return "", err
	}
	text := base64.RawURLEncoding.EncodeToString
	signed := text(header) + "." + text(claims)
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, f.key, crypto.SHA256, digest[:])
	if err != nil {
		return "", fmt.Errorf("fcm: sign: %w", err)
	}
	return signed + "." + text(signature), nil
}
