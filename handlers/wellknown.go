package handlers

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"
)

// WellKnown serves what resource servers fetch once: the keys.
type WellKnown struct{ jwks []byte }

// NewWellKnown returns a WellKnown that serves the given key set, which must hold
// public members only.
func NewWellKnown(keys any) (WellKnown, error) {
	b, err := json.Marshal(keys)
	if err != nil {
		return WellKnown{}, fmt.Errorf("handlers: encode key set: %w", err)
	}
	return WellKnown{jwks: b}, nil
}

// JWKS serves GET /.well-known/jwks.json (RFC 7517 §5). Where tokens are signed
// with a shared secret the set is empty.
func (h *WellKnown) JWKS(c *gin.Context) {
	c.Data(http.StatusOK, "application/json", h.jwks)
}
