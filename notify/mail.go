package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"

	"github.com/sessiongate/sessiongate/session"
)

// MailOptions say how mail is sent.
type MailOptions struct {
	// URL of the server: smtp://user:password@host:587 (STARTTLS, always) or
	// smtps://…:465 (TLS from the start). smtp+plain:// has no TLS at all.
	URL  string
	From string // address
	TLS  *tls.Config
}

// mailer sends mail.
type mailer struct {
	host    string
	options []mail.Option
	from    string
	domain  string // of message ids
	words   *writer
}

func newMailer(o MailOptions, words *writer, timeout time.Duration) (*mailer, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Hostname() == "" {
		return nil, errors.New("notify: the mail server's URL can't be parsed") // it may hold a password
	}
	_, domain, ok := strings.Cut(o.From, "@")
	if !ok {
		return nil, fmt.Errorf("notify: %q is no address to send mail from", o.From)
	}
	port := 587
	options := []mail.Option{mail.WithTimeout(timeout), mail.WithHELO(domain)}
	switch u.Scheme {
	case "smtp":
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	case "smtps":
		port = 465
		options = append(options, mail.WithSSL())
	case "smtp+plain":
		port = 25
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	default:
		return nil, fmt.Errorf("notify: the mail server's URL begins with %q, want smtp, smtps or smtp+plain", u.Scheme)
	}
	if p := u.Port(); p != "" {
		if port, err = strconv.Atoi(p); err != nil {
			return nil, fmt.Errorf("notify: port of the mail server: %w", err)
		}
	}
	options = append(options, mail.WithPort(port))
	if o.TLS != nil {
		config := o.TLS.Clone()
		config.ServerName = u.Hostname()
		options = append(options, mail.WithTLSConfig(config))
	}
	if u.User != nil {
		password, _ := u.User.Password()
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover),
			mail.WithUsername(u.User.Username()), mail.WithPassword(password))
	}
	m := &mailer{host: u.Hostname(), options: options, from: o.From, domain: domain, words: words}
	_, err = mail.NewClient(m.host, m.options...) // what is wrong is known at the start
	return m, err
}

// send connects for each mail: they are rare, and a connection that is kept dies.
func (m *mailer) send(ctx context.Context, n *session.Notice) error {
	msg, err := m.message(n)
	if err != nil {
		return fmt.Errorf("%w: %w", session.ErrNoticeRefused, err)
	}
	client, err := mail.NewClient(m.host, m.options...)
	if err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	err = client.DialAndSendWithContext(ctx, msg)
	refused, ok := errors.AsType[*mail.SendError](err)
	if !ok {
		return err
	}
	// Only what is about this mail is for good: a server may turn all of them away
	// until somebody mends it.
	code := refused.ErrorCode()
	switch refused.Reason {
	case mail.ErrSMTPRcptTo, mail.ErrSMTPData, mail.ErrSMTPDataClose:
		if code/100 == 5 {
			return fmt.Errorf("mail: %w: code %d %s", session.ErrNoticeRefused, code, refused.EnhancedStatusCode())
		}
	}
	// Its own text has the address in it.
	return fmt.Errorf("mail: could not be sent: code %d %s (%v)", code, refused.EnhancedStatusCode(), refused.Reason)
}

func (m *mailer) message(n *session.Notice) (*mail.Msg, error) {
	p, err := m.words.words(n)
	if err != nil {
		return nil, err
	}
	text, errText := p.text()
	html, errHTML := p.html()
	msg := mail.NewMsg()
	errFrom, errTo := msg.FromFormat(m.words.app, m.from), msg.To(n.Target)
	if errTo != nil {
		errTo = errors.New("the user's address is none")
	}
	if err := errors.Join(errText, errHTML, errFrom, errTo); err != nil {
		return nil, err
	}
	msg.Subject(p.Subject)
	msg.SetMessageIDWithValue(n.ID + "@" + m.domain)
	msg.SetDateWithValue(n.Event.CreatedAt)
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834 §5
	msg.SetGenHeader("X-Notice-Id", n.ID)
	msg.SetBodyString(mail.TypeTextPlain, text)
	msg.AddAlternativeString(mail.TypeTextHTML, html)
	return msg, nil
}
