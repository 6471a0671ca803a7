package notify

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	htmltemplate "html/template"
	"net/netip"
	"strings"
	texttemplate "text/template"
	"time"
	"unicode"

	"github.com/sessiongate/sessiongate/session"
)

var (
	//go:embed mail.txt
	mailText string
	//go:embed mail.html
	mailHTML string

	textMail = texttemplate.Must(texttemplate.New("mail.txt").Parse(mailText))
	htmlMail = htmltemplate.Must(htmltemplate.New("mail.html").Parse(mailHTML))
)

// words is a notice for people to read. Texts of strangers in it are harmless
// (plain), and its templates escape them all the same.
type words struct {
	App, Subject       string
	What, Done, Advice string
	When, Where        string
	Device, Program    string // may be empty
	Link               string // to disown the session; "" where there is nothing to end
}

// A writer words notices.
type writer struct {
	app   string
	links *Links
}

func (w *writer) words(n *session.Notice) (words, error) {
	e := &n.Event
	p := phrasesOf(n)
	out := words{
		App: w.app, Subject: fmt.Sprintf(p.subject, w.app), What: p.what, Done: p.done, Advice: p.advice,
		When:   e.CreatedAt.UTC().Format("Monday, 2 January 2006, 15:04 UTC"),
		Where:  whereText(e.Origin),
		Device: plain(e.Device.String()), Program: plain(e.Origin.UserAgent),
	}
	if e.SessionID == "" || e.Ends != "" {
		return out, nil
	}
	var err error
	out.Link, err = w.links.URL(e)
	return out, err
}

// phrases are what is said of one kind of notice. The subject has a place for the
// name of the application.
type phrases struct{ subject, what, done, advice string }

const ended = "We ended your session on this device."

func phrasesOf(n *session.Notice) phrases {
	const endedSubject = "We ended a session of your %s account"
	if p, ok := ofEndings[n.Kind]; ok {
		return p
	}
	switch {
	case n.Event.Ends != "":
		return phrases{endedSubject, "Your session on this device has ended (" + plain(string(n.Kind)) + ").", ended, ""}
	case !n.Event.Success:
		return phrases{
			"We refused a sign-in to your %s account",
			"Somebody tried to sign in to your account. It looked unlike you, though the password was right.",
			"We did not let them in.",
			"If it was not you, change your password: somebody else knows it.",
		}
	case n.Event.Action == session.ActionRefresh:
		return phrases{
			"A session of your %s account moved",
			"One of your sessions goes on somewhere else, and in a way that is unlike you: somebody may have taken it.",
			"Nothing so far: if it is you, there is nothing to do.", "",
		}
	case n.Kind == session.NoticeNewDevice:
		return phrases{
			"New sign-in to your %s account", "Your account was signed in to on a device that we had not seen before.",
			"Nothing so far: if it was you, there is nothing to do.", "",
		}
	}
	return phrases{
		"Unusual sign-in to your %s account", "Your account was signed in to in a way that is unusual for you.",
		"Nothing so far: if it was you, there is nothing to do.", "",
	}
}

var ofEndings = map[session.NoticeKind]phrases{
	"refresh_reused": {
		"We ended a session of your %s account",
		"A key to your session that had been replaced was used again: somebody may have a copy of it.", ended,
		"Sign in again to go on. If you see this more than once, change your password.",
	},
	"suspicious": {
		"We ended a session of your %s account", "One of your sessions was used in a way that is unlike you.", ended,
		"Sign in again to go on, and change your password if it was not you.",
	},
	"password_changed": {
		"Your %s password was changed", "The password of your account was changed.",
		"We ended your sessions on all other devices.",
		"If it was not you, somebody else has your account: ask for help at once.",
	},
	"user_disabled": {
		"Your %s account was closed", "An administrator has closed your account.", "We ended all your sessions.", "",
	},
	"user_erased": {
		"Your %s account was deleted", "Your account was deleted.", "We ended all your sessions.", "",
	},
	"logout_all": {
		"You were signed out of %s everywhere", "Your account was signed out on your devices.",
		"We ended your sessions.", "If it was not you, change your password.",
	},
	session.NoticeKind(session.EndReported): {
		"We ended a session of your %s account", "You told us that a session was not yours.", ended,
		"Change your password if you have not done so yet: whoever it was may know it.",
	},
}

// whereText is as much of an address as is needed to recognize one's own: in a
// mail, others may read it.
func whereText(o session.Origin) string {
	addr, err := netip.ParseAddr(o.IP)
	if err != nil {
		return "unknown"
	}
	bits, hidden := 24, ".x"
	if addr = addr.Unmap(); addr.Is6() {
		bits, hidden = 48, ":…"
	}
	prefix, _ := addr.WithZone("").Prefix(bits) // both fit
	text := strings.TrimSuffix(strings.TrimSuffix(prefix.Addr().String(), "::"), ".0") + hidden
	if o.Country != "" {
		return o.Country + " (estimated), network " + text
	}
	return "network " + text
}

// maxShown is how much of a stranger's text is shown.
const maxShown = 160

// plain takes from a stranger's text what a mail program would make a link of: the
// dot between names, the colon after a scheme, the at sign.
func plain(s string) string {
	runes := []rune(session.CleanText(s, maxShown))
	digit := func(i int) bool { return i >= 0 && i < len(runes) && runes[i] >= '0' && runes[i] <= '9' }
	for i, r := range runes {
		switch {
		case r == '.' && digit(i-1) && digit(i+1): // a version
		case r == '.' && (i+1 == len(runes) || unicode.IsSpace(runes[i+1])): // the end of something
		case strings.ContainsRune(".:@。．｡", r):
			runes[i] = ' '
		}
	}
	return strings.Join(strings.Fields(string(runes)), " ")
}

func (p *words) text() (string, error) {
	var b strings.Builder
	err := textMail.Execute(&b, p)
	return b.String(), err
}

func (p *words) html() (string, error) {
	var b strings.Builder
	err := htmlMail.Execute(&b, p)
	return b.String(), err
}

// pushData is what an application gets with a push message.
type pushData struct {
	ID    string `json:"id"`
	Kind  string `json:"kind"`
	Title string `json:"title"`
	Body  string `json:"body"`
	At    string `json:"at"`            // RFC 3339
	URL   string `json:"url,omitempty"` // to disown the session
}

func (w *writer) push(n *session.Notice) (pushData, error) {
	p, err := w.words(n)
	if err != nil {
		return pushData{}, err
	}
	body := p.What + " " + p.When + ", " + p.Where + "."
	if p.Device != "" {
		body += " Device: " + p.Device + "."
	}
	return pushData{
		ID: n.ID, Kind: string(n.Kind), Title: p.Subject, Body: body,
		At: n.Event.CreatedAt.UTC().Format(time.RFC3339), URL: p.Link,
	}, nil
}

// encode returns v as JSON, without the escapes that are for pages.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("notify: encode: %w", err)
	}
	return bytes.TrimSpace(b.Bytes()), nil
}
