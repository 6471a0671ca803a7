package handlers

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/sessiongate/sessiongate/internal/problem"
	"github.com/sessiongate/sessiongate/session"
)

// noticeLinks reads the links in messages, as notify.Links does.
type noticeLinks interface {
	// Event returns the event that a link disowns; ok is false for what is no link of
	// ours, or is one no more. It asks nobody.
	Event(token string, now time.Time) (id session.EventID, ok bool)
}

// noticeEvents knows what people were told of, as store.Postgres does.
type noticeEvents interface {
	// NoticeEvent returns the event, and whether its user has disowned it.
	NoticeEvent(ctx context.Context, id session.EventID) (e session.Event, reported bool, err error)
	// ReportEvent notes that the user disowned it. It may be repeated.
	ReportEvent(ctx context.Context, id session.EventID, now time.Time) (first bool, err error)
}

// Notices serves /notices/{token}, the "this wasn't me" link of messages. GET only
// shows: programs that check mail follow links. POST ends the session.
type Notices struct {
	Links    noticeLinks // nil where nobody is told anything: then there is nothing here
	Events   noticeEvents
	Sessions sessionRevoker
	Devices  deviceKeeper
	Origin   originOf
	Now      func() time.Time // Redis's clock
	App      string           // what the application is called

	visits visits
}

// Show serves GET.
func (h *Notices) Show(c *gin.Context) {
	e, reported, err := h.find(c)
	if err != nil {
		h.fail(c, err)
		return
	}
	p := noticePage{
		App: h.App, When: e.CreatedAt.UTC().Format("Monday, 2 January 2006, 15:04 UTC"), Country: e.Origin.Country,
		Device: e.Device.String(), Program: e.Origin.UserAgent,
		Title: "Was this not you?", Text: "Your account was signed in to:", Ask: true,
	}
	if reported {
		p.Ask, p.Title, p.Text = false, "Already done", "You have told us that this was not you. The session has ended."
	}
	p.send(c, http.StatusOK)
}

// Act serves POST. The session goes before it is noted that it has: whoever is cut
// off in between may ask again. A second time does nothing.
func (h *Notices) Act(c *gin.Context) {
	e, reported, err := h.find(c)
	if err == nil && !reported {
		err = h.end(c, &e)
	}
	if err != nil {
		h.fail(c, err)
		return
	}
	p := noticePage{
		App: h.App, Title: "The session has ended",
		Text: "Whoever it was is signed out. Change your password now: they may know it.",
	}
	if reported {
		p.Title, p.Text = "Already done", "You have told us that this was not you. The session has ended."
	}
	p.send(c, http.StatusOK)
}

// end ends the session, and has its device forgotten: with what that remembers it
// could have begun another one since.
func (h *Notices) end(c *gin.Context, e *session.Event) error {
	ctx := c.Request.Context()
	if _, err := h.Sessions.Revoke(ctx, e.UserID, e.SessionID, session.EndReported, h.event(c)); err != nil {
		return err
	}
	if e.GrantID != "" {
		if _, err := h.Devices.EndGrant(ctx, e.UserID, e.GrantID, session.EndReported, h.event(c)); err != nil {
			return err
		}
	}
	_, err := h.Events.ReportEvent(ctx, e.ID, h.Now())
	return err
}

func (h *Notices) event(c *gin.Context) session.Event {
	op := newEvent(h.Now(), h.Origin(c.Request))
	op.Action = session.ActionLogout
	return op
}

// find returns the event of the link. What is not signed by us costs no store a
// question.
func (h *Notices) find(c *gin.Context) (e session.Event, reported bool, err error) {
	if h.Links == nil {
		return e, false, session.ErrNotFound
	}
	now := h.Now()
	id, ok := h.Links.Event(c.Param("token"), now)
	if !ok {
		return e, false, session.ErrNotFound
	}
	if wait := h.visits.wait(id, now); wait > 0 {
		return e, false, &session.RateLimitedError{By: session.LimitNotice, RetryAfter: wait}
	}
	e, reported, err = h.Events.NoticeEvent(c.Request.Context(), id)
	if err == nil && e.SessionID == "" {
		err = session.ErrNotFound
	}
	return e, reported, err
}

// fail answers people as people. An API's clients never come here.
func (h *Notices) fail(c *gin.Context, err error) {
	a := problem.Describe(err, "")
	if after := a.Header.Get("Retry-After"); after != "" {
		c.Header("Retry-After", after)
	}
	p := noticePage{App: h.App, Title: "Not now", Text: "Something did not answer. Nothing has been done; please try again in a minute."}
	switch a.Status {
	case http.StatusNotFound:
		p.Title, p.Text = "This link is no longer good", "It is older than a few days, or not complete. Sign in and look at your sessions."
	case http.StatusTooManyRequests:
		p.Title, p.Text = "Too often", "This link has been opened too often. Nothing has been done; please try again in a minute."
	case http.StatusServiceUnavailable:
	default:
		_ = c.Error(err) // for the log
	}
	p.send(c, a.Status)
}

//go:embed notice.html
var noticeHTML string

// noticeStyle is the one thing that the page may load: it is in the page.
const noticeStyle = "body{font-family:sans-serif;max-width:34em;margin:3em auto;padding:0 1em;line-height:1.5}" +
	"dt{color:#555}dd{margin:0 0 .6em}button{font:inherit;padding:.6em 1.2em;border:0;background:#b00020;color:#fff}"

var (
	noticeTemplate = template.Must(template.New("notice.html").Parse(strings.Replace(noticeHTML, "STYLE", noticeStyle, 1)))
	noticeCSP      = "default-src 'none'; style-src 'sha256-" + styleDigest() + "'; form-action 'self'; " +
		"frame-ancestors 'none'; base-uri 'none'"
)

func styleDigest() string {
	sum := sha256.Sum256([]byte(noticeStyle))
	return base64.StdEncoding.EncodeToString(sum[:])
}

type noticePage struct {
	App, Title, Text               string
	When, Country, Device, Program string
	Ask                            bool
}

func (p *noticePage) send(c *gin.Context, status int) {
	var b strings.Builder
	if err := noticeTemplate.Execute(&b, p); err != nil {
		problem.Write(c, err)
		return
	}
	h := c.Writer.Header()
	h.Set("Content-Security-Policy", noticeCSP)
	h.Set("Referrer-Policy", "no-referrer") // the address is the secret
	h.Set("Cache-Control", "no-store")
	c.Data(status, "text/html; charset=utf-8", []byte(b.String()))
}

// visits bounds how often one link is asked about at this gateway: who has one is
// not to keep the stores busy with it.
type visits struct {
	mu    sync.Mutex
	since time.Time
	seen  map[session.EventID]int
}

const (
	visitsPeriod = time.Minute
	visitsEach   = 20
	visitsLinks  = 10_000
)

// wait counts a visit and returns 0, or how long until there may be one.
func (v *visits) wait(id session.EventID, now time.Time) time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.seen == nil || now.Sub(v.since) >= visitsPeriod || now.Before(v.since) {
		v.since, v.seen = now, make(map[session.EventID]int)
	}
	n, known := v.seen[id]
	if n >= visitsEach || !known && len(v.seen) >= visitsLinks {
		return v.since.Add(visitsPeriod).Sub(now)
	}
	v.seen[id] = n + 1
	return 0
}
