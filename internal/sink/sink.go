// Package sink receives for tests what a gateway sends to people and programs: a
// mail server, a push service with the browser behind it, Firebase Cloud Messaging,
// and a webhook. Each listens on loopback, with TLS, and keeps what it gets.
package sink

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"
)

// An Authority is who vouches for the sinks' certificates.
type Authority struct {
	PEM   []byte // of its own certificate
	Roots *x509.CertPool
	leaf  tls.Certificate
}

// NewAuthority returns one whose certificate is good for 127.0.0.1, for a day.
func NewAuthority() (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sink"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	a := &Authority{
		PEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), Roots: x509.NewCertPool(),
		leaf: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
	}
	a.Roots.AddCert(cert)
	return a, nil
}

func (a *Authority) config() *tls.Config { return &tls.Config{Certificates: []tls.Certificate{a.leaf}} }

// Request is what an HTTP sink got.
type Request struct {
	Path   string
	Header http.Header
	Body   []byte
}

// HTTP is a sink for requests.
type HTTP struct {
	URL string

	server *httptest.Server
	mu     sync.Mutex
	got    []Request
	answer func(Request) int // nil: 204 for all
}

// NewHTTP starts a sink. answer, which may be nil, says with which status a request
// is answered, and may wait.
func (a *Authority) NewHTTP(answer func(Request) int) *HTTP {
	h := &HTTP{answer: answer}
	h.server = httptest.NewUnstartedServer(http.HandlerFunc(h.serve))
	h.server.TLS = a.config()
	h.server.StartTLS()
	h.URL = h.server.URL
	return h
}

// Close ends it.
func (h *HTTP) Close() { h.server.Close() }

// maxBody is far more than any message has.
const maxBody = 1 << 20

func (h *HTTP) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return // cut off
	}
	got := Request{r.URL.Path, r.Header.Clone(), body}
	h.mu.Lock()
	h.got = append(h.got, got)
	h.mu.Unlock()
	status := http.StatusNoContent
	if h.answer != nil {
		status = h.answer(got)
	}
	if status/100 == 3 {
		w.Header().Set("Location", h.URL+"/elsewhere")
	}
	w.WriteHeader(status)
}

// Requests returns what it got.
func (h *HTTP) Requests() []Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]Request(nil), h.got...)
}

var errFormat = errors.New("sink: not what was expected")
