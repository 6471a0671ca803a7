package tokens

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sessiongate/sessiongate/session"
)

// VaultSealer seals with the transit engine of HashiCorp Vault or OpenBao: the key
// that seals never leaves that server. The key there has to be of a type that takes
// associated data, such as aes256-gcm96, its default.
type VaultSealer struct {
	base, key string
	token     string
	client    *http.Client
}

// How long a call may take, and how much an answer may be.
const (
	vaultTimeout  = 2 * time.Second
	maxVaultBytes = 64 << 10
)

// ErrSealerRefused says that the key management service does not do what it is
// asked to: the token may not, there is no such key, or it is not of the right type.
var ErrSealerRefused = errors.New("the key management service refused")

// NewVaultSealer returns a sealer for the transit engine at an address, such as
// https://vault.example.com:8200/v1/transit, the name of a key in it, and a token
// that may encrypt and decrypt with that.
func NewVaultSealer(address, key, token string) (*VaultSealer, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("tokens: the address of the key management service is no URL as https://host:8200/v1/transit")
	}
	if key == "" || url.PathEscape(key) != key || strings.Trim(key, ".") == "" {
		return nil, errors.New("tokens: the key's name is empty, or has characters that no name has")
	}
	if token == "" {
		return nil, errors.New("tokens: there is no token for the key management service")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns, transport.MaxConnsPerHost = 2, 4
	return &VaultSealer{
		base: strings.TrimSuffix(address, "/"), key: key, token: token,
		client: &http.Client{
			Timeout: vaultTimeout, Transport: transport,
			// The token is for this address and for no other.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// vaultQuestion is the body of encrypt and of decrypt.
type vaultQuestion struct {
	Plaintext  []byte `json:"plaintext,omitempty"` // encoding/json makes base64 of it, as Vault wants
	Ciphertext string `json:"ciphertext,omitempty"`
	Associated []byte `json:"associated_data"`
}

type vaultAnswer struct {
	Data struct {
		Plaintext  string `json:"plaintext"`
		Ciphertext string `json:"ciphertext"`
	} `json:"data"`
}

// vaultPrefix begins everything that the transit engine has sealed, before the
// version of its key. AESSealer's begins with sealVersion.
const vaultPrefix = "vault:v"

// Seal asks the server.
func (s *VaultSealer) Seal(ctx context.Context, plaintext, additional []byte) ([]byte, error) {
	answer, err := s.call(ctx, "encrypt", vaultQuestion{Plaintext: plaintext, Associated: additional})
	if err != nil {
		return nil, fmt.Errorf("tokens: seal: %w", err)
	}
	if !strings.HasPrefix(answer.Data.Ciphertext, vaultPrefix) {
		return nil, fmt.Errorf("tokens: seal: %w: its answer has no ciphertext", ErrSealerRefused)
	}
	return []byte(answer.Data.Ciphertext), nil
}

// Open asks the server.
func (s *VaultSealer) Open(ctx context.Context, sealed, additional []byte) ([]byte, error) {
	if !bytes.HasPrefix(sealed, []byte(vaultPrefix)) {
		return nil, ErrSealed
	}
	answer, err := s.call(ctx, "decrypt", vaultQuestion{Ciphertext: string(sealed), Associated: additional})
	if err != nil {
		return nil, fmt.Errorf("tokens: open: %w", err)
	}
	plaintext, err := base64.StdEncoding.DecodeString(answer.Data.Plaintext)
	if err != nil || len(plaintext) == 0 {
		return nil, fmt.Errorf("tokens: open: %w: its answer has no plaintext", ErrSealerRefused)
	}
	return plaintext, nil
}

// call makes a call. Errors hold nothing of what was sent and nothing of the answer.
func (s *VaultSealer) call(ctx context.Context, operation string, q vaultQuestion) (a vaultAnswer, err error) {
	body, err := json.Marshal(q)
	if err != nil {
		return a, errors.New("the question can't be written")
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.base+"/"+operation+"/"+s.key, bytes.NewReader(body))
	if err != nil {
		return a, errors.New("the address is no URL")
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Vault-Token", s.token)
	r.Header.Set("X-Vault-Request", "true")
	resp, err := s.client.Do(r)
	if err != nil {
		return a, fmt.Errorf("%w: ask the key management service: %w", session.ErrUnavailable, err)
	}
	defer resp.Body.Close()
	if err := vaultStatus(resp.StatusCode, operation); err != nil {
		return a, err
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxVaultBytes))
	if err != nil {
		return a, fmt.Errorf("%w: read the key management service's answer: %w", session.ErrUnavailable, err)
	}
	if json.Unmarshal(text, &a) != nil {
		return a, fmt.Errorf("%w: its answer is not JSON", ErrSealerRefused)
	}
	return a, nil
}

// vaultStatus says what a status means. Vault answers 400 where a ciphertext or its
// associated data is not what was sealed.
func vaultStatus(status int, operation string) error {
	switch {
	case status == http.StatusOK:
		return nil
	case status == http.StatusBadRequest && operation == "decrypt":
		return ErrSealed
	case status == http.StatusForbidden:
		return fmt.Errorf("%w: the token may not %s (403)", ErrSealerRefused, operation)
	case status == http.StatusNotFound:
		return fmt.Errorf("%w: there is no such engine or key (404)", ErrSealerRefused)
	case status == http.StatusTooManyRequests, status >= http.StatusInternalServerError:
		return fmt.Errorf("%w: the key management service answers %d", session.ErrUnavailable, status)
	default:
		return fmt.Errorf("%w: it answers %d", ErrSealerRefused, status)
	}
}

// String keeps the token from being printed.
func (*VaultSealer) String() string { return "Vault transit sealer" }

// GoString keeps the token from being printed with %#v.
func (s *VaultSealer) GoString() string { return s.String() }
