package middleware

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"unsafe"

	"github.com/gin-gonic/gin"

	"github.com/sessiongate/sessiongate/internal/problem"
)

// A Client is another service that may call the gateway in its own name.
type Client struct {
	ID      string
	Secrets [][sha256.Size]byte // SHA-256 of each; several, so that one can be replaced
	Allow   []string            // what it may do; the guards ask for one of them
	Scopes  []string            // those it may see in answers; empty: all
	Passive bool                // its questions are no use of the session
}

// Clients are those in the configuration. Their secrets are long and random, so
// a fast hash guards them well; asking costs no round trip and never a query.
type Clients struct{ byID map[string]*Client }

// NewClients returns the given clients. It refuses two with the same id.
func NewClients(list []Client) (*Clients, error) {
	c := &Clients{byID: make(map[string]*Client, len(list))}
	for i := range list {
		if _, ok := c.byID[list[i].ID]; ok {
			return nil, fmt.Errorf("middleware: two clients have the id %q", list[i].ID)
		}
		c.byID[list[i].ID] = &list[i]
	}
	return c, nil
}

type clientKey struct{}

// ClientID returns the id of the client that authenticated this request; "" if
// none did.
func ClientID(ctx context.Context) string { return ClientFrom(ctx).ID }

// ClientFrom returns the client that authenticated this request; one without an
// id if none did. It must not be changed.
func ClientFrom(ctx context.Context) *Client {
	if client, ok := ctx.Value(clientKey{}).(*Client); ok {
		return client
	}
	return nobody
}

var nobody = &Client{}

// Basic lets through clients that may do what allow says and authenticate with
// HTTP Basic. Errors are problems.
func (c *Clients) Basic(allow string) gin.HandlerFunc {
	return func(g *gin.Context) {
		if err := c.basic(g, allow); err != nil {
			problem.Write(g, err)
		}
	}
}

// OAuthBasic is Basic with OAuth's errors, for a path whose body is no form.
func (c *Clients) OAuthBasic(allow string) gin.HandlerFunc {
	return func(g *gin.Context) {
		if err := c.basic(g, allow); err != nil {
			problem.WriteOAuth(g, err)
		}
	}
}

func (c *Clients) basic(g *gin.Context, allow string) error {
	id, secret, ok, err := basic(g.Request)
	if err == nil && !ok {
		err = problem.ErrInvalidClient
	}
	if err != nil {
		return err
	}
	return c.admit(g, id, secret, allow)
}

// OAuth lets through clients that may do what allow says and authenticate with
// HTTP Basic or in the form (RFC 6749 §2.3.1). It reads the form, which the
// handler finds in Request.PostForm; parameters in the query do not count.
// Errors are OAuth's.
func (c *Clients) OAuth(allow string) gin.HandlerFunc {
	return func(g *gin.Context) {
		if err := c.oauth(g, allow); err != nil {
			problem.WriteOAuth(g, err)
		}
	}
}

func (c *Clients) oauth(g *gin.Context, allow string) error {
	form, err := readForm(g.Request)
	if err != nil {
		return err
	}
	id, secret, ok, err := basic(g.Request)
	switch {
	case err != nil:
		return err
	case ok && (form.Get("client_secret") != "" || form.Get("client_id") != "" && form.Get("client_id") != id):
		// "The client MUST NOT use more than one authentication method" (§2.3); but
		// parameters "sent without a value MUST be treated as if they were omitted"
		// (§3.2), and zitadel/oidc does send an empty client_id.
		return &problem.Invalid{Field: "client_secret", Reason: "must not be sent beside HTTP Basic"}
	case !ok && g.Request.Header["Authorization"] != nil:
		return problem.ErrInvalidClient
	case !ok:
		id, secret = form.Get("client_id"), form.Get("client_secret")
	}
	return c.admit(g, id, secret, allow)
}

func (c *Clients) admit(g *gin.Context, id, secret, allow string) error {
	client := c.verify(id, secret)
	if client == nil {
		return problem.ErrInvalidClient
	}
	handOn(g, context.WithValue(g.Request.Context(), clientKey{}, client))
	if !slices.Contains(client.Allow, allow) {
		return problem.ErrForbidden
	}
	return nil
}

// decoy stands in for clients that do not exist, so that asking for one takes as
// long. Nothing has this digest: it is not one of SHA-256, all zero.
var decoy = &Client{Secrets: make([][sha256.Size]byte, 1)}

// verify returns the client, or nil. It compares in constant time, with every
// secret of the client.
func (c *Clients) verify(id, secret string) *Client {
	sum := sha256.Sum256([]byte(secret))
	client, known := c.byID[id]
	if !known {
		client = decoy
	}
	match := 0
	for i := range client.Secrets {
		match |= subtle.ConstantTimeCompare(sum[:], client.Secrets[i][:])
	}
	if !known || match == 0 || secret == "" {
		return nil
	}
	return client
}

// basic reads HTTP Basic credentials. Id and secret are form-encoded inside them
// (RFC 6749 §2.3.1). ok is false where there are none.
func basic(r *http.Request) (id, secret string, ok bool, err error) {
	if len(r.Header["Authorization"]) > 1 {
		return "", "", false, errTwoCredentials
	}
	id, secret, ok = r.BasicAuth()
	if !ok {
		return "", "", false, nil
	}
	id, errID := url.QueryUnescape(id)
	secret, errSecret := url.QueryUnescape(secret)
	if errID != nil || errSecret != nil {
		return "", "", false, problem.ErrInvalidClient
	}
	return id, secret, true, nil
}

const formType = "application/x-www-form-urlencoded"

// readForm reads the body as a form and leaves it in r.PostForm. A request
// without a body has an empty form, whatever its content type.
func readForm(r *http.Request) (url.Values, error) {
	if r.ContentLength == 0 {
		r.PostForm = url.Values{}
		return r.PostForm, nil
	}
	if t := r.Header.Get("Content-Type"); t != formType { // parameters are allowed, and rare
		if media, _, err := mime.ParseMediaType(t); err != nil || media != formType {
			return nil, &problem.MediaType{Want: formType}
		}
	}
	body, err := readBody(r)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(body)
	if err != nil {
		return nil, &problem.Invalid{Reason: "the form can't be decoded"}
	}
	for _, name := range []string{"token", "token_type_hint", "client_id", "client_secret"} {
		if len(form[name]) > 1 { // RFC 6749 §3.2
			return nil, &problem.Invalid{Field: name, Reason: "must be sent once"}
		}
	}
	r.PostForm = form
	return form, nil
}

func readBody(r *http.Request) (string, error) {
	// Read at once what was announced; io.ReadAll would grow its way there.
	if n := r.ContentLength; n > 0 {
		b := make([]byte, n)
		if _, err := io.ReadFull(r.Body, b); err != nil {
			return "", bodyError(err)
		}
		// Nobody else has b, so its text needs no copy.
		return unsafe.String(unsafe.SliceData(b), len(b)), nil
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return "", bodyError(err)
	}
	return string(b), nil
}

// bodyError words what went wrong while the client was sending.
func bodyError(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return err
	}
	return &problem.Invalid{Reason: "the body could not be read to its end"}
}
