package handlers

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/sessiongate/sessiongate/internal/problem"
	"github.com/sessiongate/sessiongate/session"
	"github.com/sessiongate/sessiongate/tokens"
)

// manyValidator is sessionValidator for many tokens at once, as store.Redis is.
type manyValidator interface {
	// ValidateMany returns a session and an error for each token, in their order.
	ValidateMany(ctx context.Context, t []session.Token) ([]session.Session, []error)
}

// maxTokens is how many tokens one request may ask about.
const maxTokens = 100

// Larger are the routes whose bodies may be longer than others: a batch of tokens
// as long as tokens get, and what JSON puts around them.
var Larger = map[string]int64{"/oauth2/introspect/batch": maxTokens*(tokens.MaxBytes+8) + 1024}

// Batch serves POST /oauth2/introspect/batch: {"tokens":[…]}, answered with
// {"results":[…]} in the same order, each as Handle would have answered. Redis is
// asked once for all of them.
//
// A token of which Redis can't say anything has {"error":"temporarily_unavailable"}
// in its place and no "active"; where that goes for all that it was asked about, the
// answer is 503.
func (h *Introspect) Batch(c *gin.Context) {
	var raws []string
	there := false
	err := readJSON(c.Request, false, members{"tokens": func(v value) (err error) {
		there = true
		raws, err = v.texts(maxTokens)
		return err
	}})
	if err == nil && !there {
		err = &problem.Invalid{Field: "tokens", Reason: "is required"}
	}
	if err != nil {
		problem.WriteOAuth(c, err)
		return
	}
	found, err := h.judge(c.Request.Context(), raws)
	if err != nil {
		problem.WriteOAuth(c, err)
		return
	}
	who := h.Asker(c.Request.Context())
	e := newEncoder()
	e.open('{')
	e.key("results")
	e.open('[')
	for i := range found {
		if f := &found[i]; f.err == nil || isInactive(f.err) {
			h.answer(e, &f.token, &who, f.err == nil)
			continue
		}
		e.open('{')
		e.text("error", "temporarily_unavailable")
		e.close('}')
	}
	e.close(']')
	e.close('}')
	e.send(c, http.StatusOK)
}

// verdict is what became of one token of a batch.
type verdict struct {
	token session.Token
	err   error
}

// judge returns a verdict for each token, or an error when nothing could be found
// out.
func (h *Introspect) judge(ctx context.Context, raws []string) ([]verdict, error) {
	found := make([]verdict, len(raws))
	asked := make([]session.Token, 0, len(raws))
	at := make([]int, 0, len(raws))
	for i, raw := range raws {
		found[i].token, found[i].err = h.Tokens.Verify(raw)
		if found[i].err == nil {
			asked, at = append(asked, found[i].token), append(at, i)
		}
	}
	if len(asked) == 0 {
		return found, nil
	}
	_, errs := h.Many.ValidateMany(ctx, asked)
	known := false
	for n, err := range errs {
		found[at[n]].err = err
		known = known || err == nil || isInactive(err)
	}
	if !known {
		return nil, errs[0]
	}
	return found, nil
}
