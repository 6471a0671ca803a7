package sink

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/mail"
	"sync"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// A Mail is one that was accepted.
type Mail struct {
	From, To string
	Message  *mail.Message
	Raw      []byte
}

// SMTP is a mail server: STARTTLS, and a name and a password after it.
type SMTP struct {
	Addr string

	server   *smtp.Server
	mu       sync.Mutex
	got      []Mail
	refuse   map[string]*smtp.SMTPError // by recipient
	password string
}

// NewSMTP starts a mail server that lets in "gateway" with the password. Without
// tls it offers no STARTTLS.
func (a *Authority) NewSMTP(password string, withTLS bool) (*SMTP, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &SMTP{Addr: l.Addr().String(), password: password, refuse: make(map[string]*smtp.SMTPError)}
	s.server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &smtpSession{sink: s}, nil }))
	s.server.Domain = "localhost"
	s.server.MaxMessageBytes = maxBody
	if withTLS {
		s.server.TLSConfig = a.config()
	}
	go func() { _ = s.server.Serve(l) }() // until Close
	return s, nil
}

// Close ends it.
func (s *SMTP) Close() error { return s.server.Close() }

// Refuse has mail to the address refused with this code.
func (s *SMTP) Refuse(to string, code int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse[to] = &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 1, 1}, Message: "not here"}
}

// Mails returns what was accepted.
func (s *SMTP) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Mail(nil), s.got...)
}

type smtpSession struct {
	sink     *SMTP
	known    bool
	from, to string
}

func (s *smtpSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *smtpSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "gateway" || password != s.sink.password {
			return errors.New("wrong name or password")
		}
		s.known = true
		return nil
	}), nil
}

func (s *smtpSession) Mail(from string, _ *smtp.MailOptions) error {
	if !s.known {
		return smtp.ErrAuthRequired
	}
	s.from = from
	return nil
}

func (s *smtpSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	if err := s.sink.refuse[to]; err != nil {
		return err
	}
	s.to = to
	return nil
}

func (s *smtpSession) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	s.sink.got = append(s.sink.got, Mail{s.from, s.to, m, raw})
	return nil
}

func (s *smtpSession) Reset()        {}
func (s *smtpSession) Logout() error { return nil }
