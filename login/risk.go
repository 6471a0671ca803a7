package login

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sessiongate/sessiongate/risk"
	"github.com/sessiongate/sessiongate/session"
)

// histories is where the past of users and addresses is kept.
type histories interface {
	// SignInHistory returns what is on record about a user and an address, ""
	// for none, at a time.
	SignInHistory(ctx context.Context, userID, ip string, at time.Time) (risk.History, error)
}

// Assessor says how unusual a sign-in is and whether it may go on. All fields
// must be set; Metrics is NewAssessorMetrics'. It is for all sign-ins, with a
// password and on a backend's word.
type Assessor struct {
	History histories
	Locate  func(netip.Addr) risk.Point // of an address, or of the first one of a network
	Rules   risk.Rules
	Timeout time.Duration // of reading the history
	Metrics *AssessorMetrics
	Log     *slog.Logger
}

// SignIn is a sign-in that is to be assessed.
type SignIn struct {
	UserID string
	Device session.Device
	Origin session.Origin
	At     time.Time
}

// Why a sign-in with the right password is refused: session_logs.error_message.
const (
	Suspicious     = "suspicious"
	CountryRefused = "country refused"
)

// Look begins to read what is on record, and returns what assesses with it. It is
// called before the password has been verified and for users that do not exist,
// so that the time of an answer tells neither.
//
// When the history can't be read, or not in time, there is no score and the
// sign-in goes on: Postgres being slow must not keep everybody out. The rules
// about countries need no history and always hold.
func (a *Assessor) Look(ctx context.Context, userID, ip string, at time.Time) *Looking {
	l := &Looking{assessor: a, done: make(chan struct{})}
	if !a.Rules.On() {
		close(l.done)
		return l
	}
	ctx, cancel := context.WithTimeout(ctx, a.Timeout)
	go func() {
		defer close(l.done)
		defer cancel()
		l.history, l.err = a.History.SignInHistory(ctx, userID, ip, at)
		l.known = l.err == nil
	}()
	return l
}

// Assess is Look and Looking.Assess in one, for who has no password to verify.
func (a *Assessor) Assess(ctx context.Context, in SignIn) (found session.Risk, refused string) {
	return a.Look(ctx, in.UserID, in.Origin.IP, in.At).Assess(ctx, in)
}

// Looking is a history that is being read.
type Looking struct {
	assessor *Assessor
	done     chan struct{}
	history  risk.History
	known    bool
	err      error
}

// Wait returns once the history has been read or given up.
func (l *Looking) Wait() { <-l.done }

// Assess returns what is unusual about the sign-in, and why it is refused: "" if
// it is not. It waits for the history.
func (l *Looking) Assess(ctx context.Context, in SignIn) (found session.Risk, refused string) {
	l.Wait()
	a := l.assessor
	if !a.Rules.Admits(in.Origin.Country) {
		refused = CountryRefused
	}
	if !a.Rules.On() {
		return session.Risk{}, refused
	}
	if !l.known {
		a.Metrics.unread.Inc()
		a.Log.WarnContext(ctx, "sign-in not assessed: what is on record could not be read", "user_id", in.UserID, "err", l.err)
		return session.Risk{}, refused
	}
	a.place(l.history.Places)
	attempt := risk.Attempt{At: in.At, Device: in.Device, Origin: in.Origin}
	if addr, err := netip.ParseAddr(in.Origin.IP); err == nil {
		attempt.Where = a.Locate(addr)
	}
	assessment := risk.Assess(l.history, attempt, a.Rules)
	for _, s := range assessment.Signals {
		a.Metrics.signals.WithLabelValues(s.Name).Inc()
	}
	verdict := a.Rules.Verdict(assessment.Score)
	if verdict.Refuse && refused == "" {
		refused = Suspicious
	}
	a.Metrics.count(verdict, refused)
	if len(assessment.Signals) > 0 {
		a.Log.InfoContext(ctx, "unusual sign-in", "user_id", in.UserID, "score", assessment.Score,
			"reasons", assessment.String(), "refused", refused != "")
	}
	return assessment.Risk(), refused
}

// place finds out where the networks are, by the files of today.
func (a *Assessor) place(places []risk.Place) {
	for i := range places {
		if network, err := netip.ParsePrefix(places[i].Network); err == nil {
			places[i].Where = a.Locate(network.Addr())
		}
	}
}

// AssessorMetrics are what operators watch before they go from observe to notify
// to block.
type AssessorMetrics struct {
	signals  *prometheus.CounterVec
	verdicts *prometheus.CounterVec
	unread   prometheus.Counter
}

// NewAssessorMetrics registers the metrics.
func NewAssessorMetrics(reg prometheus.Registerer) (*AssessorMetrics, error) {
	m := &AssessorMetrics{
		signals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sessiongate_risk_signals_total",
			Help: "Unusual things about sign-ins with the right password, by signal.",
		}, []string{"signal"}),
		verdicts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sessiongate_risk_sign_ins_total",
			Help: "Assessed sign-ins with the right password, by what followed: passed, notified or refused.",
		}, []string{"verdict"}),
		unread: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sessiongate_risk_unread_total",
			Help: "Sign-ins that were not assessed, since what is on record could not be read in time.",
		}),
	}
	for _, name := range risk.Names() {
		m.signals.WithLabelValues(name)
	}
	for _, verdict := range []string{"passed", "notified", "refused"} {
		m.verdicts.WithLabelValues(verdict)
	}
	for _, c := range []prometheus.Collector{m.signals, m.verdicts, m.unread} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *AssessorMetrics) count(v risk.Verdict, refused string) {
	verdict := "passed"
	switch {
	case refused != "":
		verdict = "refused"
	case v.Notify:
		verdict = "notified"
	}
	m.verdicts.WithLabelValues(verdict).Inc()
}
