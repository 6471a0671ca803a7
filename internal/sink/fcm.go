package sink

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"
)

// FCM is Firebase Cloud Messaging, HTTP v1, as far as Google's documentation shows
// its requests and answers: the token endpoint and messages:send.
type FCM struct {
	URL     string
	Account string // the key file of a service account

	server *httptest.Server
	key    *rsa.PrivateKey
	mu     sync.Mutex
	got    []map[string]any
	tokens int
	gone   map[string]bool
}

// project is the only one there is.
const project = "demo-project"

// NewFCM starts one.
func (a *Authority) NewFCM() (*FCM, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	f := &FCM{key: key, gone: make(map[string]bool)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", f.token)
	mux.HandleFunc("POST /v1/projects/"+project+"/{method}", f.send)
	f.server = httptest.NewUnstartedServer(mux)
	f.server.TLS = a.config()
	f.server.StartTLS()
	f.URL = f.server.URL
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	account, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": project, "private_key_id": "k1", "token_uri": f.URL + "/token",
		"private_key":  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"client_email": "gateway@" + project + ".iam.gserviceaccount.com",
	})
	f.Account = string(account)
	return f, err
}

// Close ends it.
func (f *FCM) Close() { f.server.Close() }

// Uninstall has messages to the registration token answered with UNREGISTERED.
func (f *FCM) Uninstall(token string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gone[token] = true
}

// Messages returns what was accepted, and how many access tokens were handed out.
func (f *FCM) Messages() (list []map[string]any, tokens int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]map[string]any(nil), f.got...), f.tokens
}

func (f *FCM) token(w http.ResponseWriter, r *http.Request) {
	if r.FormValue("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" || f.check(r.FormValue("assertion")) != nil {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"error":"invalid_grant","error_description":"Invalid JWT Signature."}`)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tokens++
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	fmt.Fprintf(w, `{"access_token":"ya29.%d","expires_in":3599,"token_type":"Bearer"}`, f.tokens)
}

func (f *FCM) check(assertion string) error {
	parts := strings.Split(assertion, ".")
	if len(parts) != 3 {
		return errFormat
	}
	signature, errSignature := b64.DecodeString(parts[2])
	payload, errPayload := b64.DecodeString(parts[1])
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if errSignature != nil || errPayload != nil ||
		rsa.VerifyPKCS1v15(&f.key.PublicKey, crypto.SHA256, digest[:], signature) != nil {
		return errFormat
	}
	var claims struct {
		Issuer   string `json:"iss"`
		Audience string `json:"aud"`
		Scope    string `json:"scope"`
		IssuedAt int64  `json:"iat"`
		Expires  int64  `json:"exp"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		return err
	}
	now := time.Now().Unix()
	if claims.Audience != f.URL+"/token" || !strings.HasSuffix(claims.Issuer, ".iam.gserviceaccount.com") ||
		!strings.HasSuffix(claims.Scope, "/auth/firebase.messaging") || claims.Expires < now || claims.Expires > claims.IssuedAt+3600 {
		return errFormat
	}
	return nil
}

func (f *FCM) send(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	var request struct {
		Message map[string]any `json:"message"`
	}
	switch {
	case r.PathValue("method") != "messages:send":
		w.WriteHeader(http.StatusNotFound)
	case r.Header.Get("Authorization") != fmt.Sprintf("Bearer ya29.%d", f.tokens):
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"error":{"code":401,"message":"Request had invalid authentication credentials.","status":"UNAUTHENTICATED"}}`)
	case err != nil || json.Unmarshal(body, &request) != nil || request.Message["token"] == nil:
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"error":{"code":400,"status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"INVALID_ARGUMENT"}]}}`)
	case f.gone[fmt.Sprint(request.Message["token"])]:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"error":{"code":404,"message":"Requested entity was not found.","status":"NOT_FOUND","details":[{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"UNREGISTERED"}]}}`)
	default:
		f.got = append(f.got, request.Message)
		fmt.Fprintf(w, `{"name":"projects/%s/messages/%d"}`, project, len(f.got))
	}
}
