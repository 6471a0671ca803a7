package session

import "time"

// EndReported is the reason of a session that its user has disowned.
const EndReported EndReason = "user_reported"

// A NoticeKind is what a notice is about: one of those below, or the EndReason of
// the session that ended.
type NoticeKind string

// What is told of a sign-in.
const (
	NoticeNewDevice  NoticeKind = "new_device"       // from a device not seen before, and nothing else
	NoticeSuspicious NoticeKind = "suspicious_login" // anything that weighs enough
)

// A Channel is a way to tell somebody.
type Channel string

// The channels.
const (
	ChannelWebhook Channel = "webhook"
	ChannelEmail   Channel = "email"
	ChannelPush    Channel = "push"
)

// A Notice is one message to one target about one event. However often it is
// sent, it has the same ID.
type Notice struct {
	ID      string
	Kind    NoticeKind
	Channel Channel
	Target  string // the webhook's name, the address, the id of the subscription
	Attempt int    // 1 for the first
	Event   Event
}

// Lane says whose fault it is when this notice can't be sent: those of one lane go
// the same way.
func (n *Notice) Lane() string {
	if n.Channel == ChannelWebhook {
		return string(n.Channel) + ":" + n.Target
	}
	return string(n.Channel)
}

// A NoticePlan says who is to be told of an event.
type NoticePlan struct {
	Kind     NoticeKind
	Webhooks []string // names, none with a space
	Email    bool     // to the user's address
	Push     bool     // to the user's subscriptions
	Once     string   // the user is told once in a while of what has the same text here
}

// A NoticeState is how far a notice is.
type NoticeState string

// The states.
const (
	NoticePending NoticeState = "pending" // to be sent when it is due
	NoticeSent    NoticeState = "sent"
	NoticeParked  NoticeState = "parked"  // tried often enough, or refused for good: for an operator
	NoticeDropped NoticeState = "dropped" // nobody is there any more to be told
)

// A NoticeOutcome is what became of an attempt.
type NoticeOutcome struct {
	ID      string
	Attempt int // the one that this is about
	State   NoticeState
	DueAt   time.Time // of the next attempt, where State is NoticePending
	Error   string    // why it was not sent
	Unmade  bool      // it was not even tried and does not count
}

// A NoticeRecord is a notice as operators see it.
type NoticeRecord struct {
	Notice
	UserID    string
	State     NoticeState
	Error     string
	CreatedAt time.Time
	DueAt     time.Time
}

// A PushSubscription is where one installation of an application is reached. What
// it takes to reach it is sealed.
type PushSubscription struct {
	ID        string
	UserID    string
	Service   string // PushWeb or PushFCM
	Digest    string // of the address: the same installation has the same
	Sealed    []byte
	CreatedAt time.Time
}

// The push services.
const (
	PushWeb = "webpush" // RFC 8030
	PushFCM = "fcm"     // Firebase Cloud Messaging
)

// MaxPushSubscriptions is how many a user may have.
const MaxPushSubscriptions = 20

// A PushAddress is what it takes to send a push message somewhere: the parts of a
// browser's PushSubscription, or a registration token of FCM.
type PushAddress struct {
	Endpoint string `json:"endpoint,omitempty"`
	P256dh   string `json:"p256dh,omitempty"`
	Auth     string `json:"auth,omitempty"`
	FCMToken string `json:"fcm_token,omitempty"`
}

// String hides all of it.
func (PushAddress) String() string { return "(a push address)" }

// A FieldError says which field of a request can't be used, and why, to whoever
// sent it.
type FieldError struct{ Field, Reason string }

func (e *FieldError) Error() string { return e.Field + " " + e.Reason }
