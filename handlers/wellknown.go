package handlers

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/sessiongate/sessiongate/internal/problem"
	"github.com/sessiongate/sessiongate/tokens"
)

// keySet is the keys that tokens are checked with, as tokens.Keyring has them.
type keySet interface {
	// JWKS returns those that are public at the given moment, and nothing of them
	// that is not.
	JWKS(now time.Time) tokens.JWKS
}

// WellKnown serves what resource servers fetch now and then: the keys, and where
// everything is.
type WellKnown struct {
	Keys     keySet
	Now      func() time.Time
	MaxAge   time.Duration // how long an answer may be kept; less than a key is published before it signs
	Metadata Metadata
}

// JWKS serves GET /.well-known/jwks.json (RFC 7517 §5). Where tokens are signed
// with a shared secret the set is empty.
func (h *WellKnown) JWKS(c *gin.Context) { h.send(c, h.Keys.JWKS(h.Now())) }

// Describe serves the metadata at both of its addresses: half of the libraries
// look only at the one, half only at the other.
func (h *WellKnown) Describe(c *gin.Context) { h.send(c, h.Metadata) }

func (h *WellKnown) send(c *gin.Context, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		problem.Write(c, fmt.Errorf("handlers: encode: %w", err))
		return
	}
	header := c.Writer.Header()
	header.Set("Cache-Control", "public, max-age="+strconv.Itoa(int(h.MaxAge.Seconds())))
	delete(header, "Pragma")
	c.Data(http.StatusOK, "application/json", b)
}

// Metadata is an authorization server's description of itself (RFC 8414 §2).
//
// We have no authorization endpoint, so there are no response types. RFC 8414
// requires the member and forbids an empty one; those who wrote it say to leave it
// out then (OpenID4VCI §12.2.2 does, too).
type Metadata struct {
	Issuer                   string   `json:"issuer"`
	JWKSURI                  string   `json:"jwks_uri"`
	IntrospectionEndpoint    string   `json:"introspection_endpoint"`
	IntrospectionAuthMethods []string `json:"introspection_endpoint_auth_methods_supported"`
	IntrospectionSigningAlgs []string `json:"introspection_signing_alg_values_supported,omitempty"` // RFC 9701 §7
	RevocationEndpoint       string   `json:"revocation_endpoint"`
	RevocationAuthMethods    []string `json:"revocation_endpoint_auth_methods_supported"`

	// Our own.
	SessionStatusEndpoint  string `json:"session_status_endpoint"`
	SessionRefreshEndpoint string `json:"session_refresh_endpoint"`
	RevocationFeedEndpoint string `json:"revocation_feed_endpoint"`
}

// NewMetadata describes a gateway whose tokens have the given issuer, exactly so,
// and are signed with the given algorithm, and that clients reach at base.
func NewMetadata(issuer, base, algorithm string) Metadata {
	methods := []string{"client_secret_basic", "client_secret_post"}
	m := Metadata{
		Issuer:                   issuer,
		JWKSURI:                  base + "/.well-known/jwks.json",
		IntrospectionEndpoint:    base + "/oauth2/introspect",
		IntrospectionAuthMethods: methods,
		RevocationEndpoint:       base + "/oauth2/revoke",
		RevocationAuthMethods:    methods,
		SessionStatusEndpoint:    base + "/sessions/status",
		SessionRefreshEndpoint:   base + "/sessions/refresh",
		RevocationFeedEndpoint:   base + "/revocations",
	}
	if algorithm != tokens.HS256 {
		m.IntrospectionSigningAlgs = []string{algorithm}
	}
	return m
}
