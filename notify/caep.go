package notify

import "github.com/sessiongate/sessiongate/session"

// sessionRevoked is the one event of CAEP 1.0 that is sent (§3.1).
const sessionRevoked = "https://schemas.openid.net/secevent/caep/event-type/session-revoked"

// securityEvent is the payload of a security event token (RFC 8417 §2.2). What it
// is about is a complex subject (Shared Signals Framework 1.0 §3.5): the session,
// and whose it is.
type securityEvent struct {
	Issuer   string             `json:"iss"`
	ID       string             `json:"jti"`
	IssuedAt int64              `json:"iat"`
	Audience string             `json:"aud"`
	Subject  setSubject         `json:"sub_id"` // RFC 9493
	Events   map[string]revoked `json:"events"`
}

type setSubject struct {
	Format  string  `json:"format"` // "complex"
	User    subject `json:"user"`
	Session subject `json:"session"`
}

type subject struct {
	Format  string `json:"format"` // "iss_sub" or "opaque"
	Issuer  string `json:"iss,omitempty"`
	Subject string `json:"sub,omitempty"`
	ID      string `json:"id,omitempty"`
}

type revoked struct {
	At        int64             `json:"event_timestamp"` // seconds
	Initiator string            `json:"initiating_entity"`
	Reason    map[string]string `json:"reason_admin"` // by language
}

func (w *webhooks) securityEvent(h *hook, n *session.Notice) (string, error) {
	e := &n.Event
	return w.signer.SignEvent(securityEvent{
		Issuer: w.issuer, ID: n.ID, IssuedAt: w.now().Unix(), Audience: h.Name,
		Subject: setSubject{
			Format: "complex", User: subject{Format: "iss_sub", Issuer: w.issuer, Subject: e.UserID},
			Session: subject{Format: "opaque", ID: string(e.SessionID)},
		},
		Events: map[string]revoked{sessionRevoked: {
			At: e.CreatedAt.Unix(), Initiator: initiatorOf(e.Ends), Reason: map[string]string{"en": string(e.Ends)},
		}},
	})
}

// initiatorOf says who ended a session (CAEP §2).
func initiatorOf(reason session.EndReason) string {
	switch reason {
	case session.EndLogout, session.EndLogoutAll, session.EndRevoked, session.EndReported, "password_changed":
		return "user"
	case session.EndReused, session.EndEvicted, "suspicious":
		return "policy"
	case "user_disabled", "user_erased", session.EndRemoved:
		return "admin"
	}
	return "system"
}
