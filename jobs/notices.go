package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sessiongate/sessiongate/session"
	"github.com/sessiongate/sessiongate/store"
)

// outbox is what there is to be told, as store.Postgres keeps it.
type outbox interface {
	// ClaimNotices takes notices that are due, for one attempt each, and leaves
	// those of the given lanes.
	ClaimNotices(ctx context.Context, now, until time.Time, limit int, except []string) ([]session.Notice, error)
	// SettleNotice writes down what became of an attempt. It may be repeated.
	SettleNotice(ctx context.Context, o session.NoticeOutcome, now time.Time) error
}

// Notifier sends notices, as notify.Notifier does.
type Notifier interface {
	// Send may send a notice again that it has sent already: always under the same
	// id. Its error wraps session.ErrNoticeRefused or session.ErrNoticeGone where
	// nothing is gained by another attempt.
	Send(ctx context.Context, n *session.Notice) error
}

// NoticeSettings say how hard to try.
type NoticeSettings struct {
	Schedule    string
	Timeout     time.Duration // of one attempt
	MaxAttempts int
	Keep        time.Duration // how long what was settled is kept
}

// The pause after a failed attempt: the first, and the longest. Each is twice the
// one before, and half of it is random, so that a receiver that comes back does
// not get all at once.
const (
	firstNoticePause = 5 * time.Second
	maxNoticePause   = time.Hour
)

const (
	noticeBatch  = 20 // taken at once
	noticeSlots  = 8  // sent at once
	settleTries  = 3
	settlePause  = 200 * time.Millisecond
	slowNotice   = 2 * time.Second // a failure that took longer has its lane wait
	lanePause    = 30 * time.Second
	forgetAtOnce = 1000
)

// notices sends what is in the outbox. A notice is taken for one attempt, with a
// lease that outlives it; then what became of it is written down. Who dies in
// between leaves it to whoever looks after the lease is over, and only then is it
// sent twice, under the same id.
//
// A receiver that lets us wait is left alone for a while, and what was taken for
// it is put back: or one that is gone would hold up all the others.
type notices struct {
	outbox   outbox
	notifier Notifier
	set      NoticeSettings
	now      func() time.Time // Redis's clock, as in the events
	random   func() float64
	log      *slog.Logger
	metrics  *noticeMetrics

	afterSend func() error // for tests: a crash between sending and recording

	mu    sync.Mutex
	lanes map[string]time.Time // until when they are left alone
}

// Run sends until nothing is due and returns how much was sent.
func (s *notices) Run(ctx context.Context) (done int, err error) {
	for end := closingTime(ctx); time.Now().Before(end); {
		now := s.now()
		list, err := s.outbox.ClaimNotices(ctx, now, now.Add(s.lease()), noticeBatch, s.closedLanes(now))
		if err != nil {
			return done, fmt.Errorf("claim notices: %w", err)
		}
		n, err := s.sendAll(ctx, list)
		done += n
		if err != nil || len(list) < noticeBatch {
			return done, err
		}
	}
	return done, nil
}

// lease outlives the attempts on a whole batch and the writing down, each of which
// takes no longer than the timeout.
func (s *notices) lease() time.Duration {
	return s.set.Timeout * 2 * (noticeBatch/noticeSlots + 1)
}

func (s *notices) sendAll(ctx context.Context, list []session.Notice) (sent int, err error) {
	outcomes := make([]session.NoticeOutcome, len(list))
	errs := make([]error, len(list))
	slots := make(chan struct{}, noticeSlots)
	var all sync.WaitGroup
	for i := range list {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			outcomes[i], errs[i] = s.attempt(ctx, &list[i])
		})
	}
	all.Wait()
	for i := range outcomes {
		if outcomes[i].State == session.NoticeSent {
			sent++
		}
	}
	return sent, errors.Join(errs...)
}

// attempt sends a notice once and writes down what came of it.
func (s *notices) attempt(ctx context.Context, n *session.Notice) (session.NoticeOutcome, error) {
	o := session.NoticeOutcome{ID: n.ID, Attempt: n.Attempt, State: session.NoticeSent}
	if until := s.closedUntil(n.Lane()); until.After(s.now()) {
		o.State, o.DueAt, o.Unmade = session.NoticePending, until, true
	} else if err := s.send(ctx, n); err != nil {
		if ctx.Err() != nil { // ours, not the receiver's: the gateway stops
			o.State, o.DueAt, o.Unmade = session.NoticePending, s.now(), true
		} else {
			s.failed(ctx, n, &o, err)
		}
	}
	if !o.Unmade {
		s.metrics.attempts.WithLabelValues(string(n.Channel), resultOfNotice(&o)).Inc()
	}
	if s.afterSend != nil {
		if err := s.afterSend(); err != nil {
			return o, err
		}
	}
	return o, s.settle(ctx, o)
}

func (s *notices) send(ctx context.Context, n *session.Notice) (err error) {
	ctx, cancel := context.WithTimeout(ctx, s.set.Timeout)
	defer cancel()
	defer func() {
		// One message that can't be written must not keep all the others from being sent.
		if value := recover(); value != nil {
			err = fmt.Errorf("%w: panic: %v", session.ErrNoticeRefused, value)
		}
	}()
	began := time.Now()
	err = s.notifier.Send(ctx, n)
	if err != nil && time.Since(began) > min(slowNotice, s.set.Timeout/2) {
		s.closeLane(n.Lane(), s.now().Add(lanePause))
	}
	return err
}

// failed decides what is to become of a notice that was not sent.
func (s *notices) failed(ctx context.Context, n *session.Notice, o *session.NoticeOutcome, err error) {
	o.Error = err.Error()
	switch {
	case errors.Is(err, session.ErrNoticeGone):
		o.State = session.NoticeDropped
	case errors.Is(err, session.ErrNoticeRefused), n.Attempt >= s.set.MaxAttempts:
		o.State = session.NoticeParked
		s.log.ErrorContext(ctx, "a notice can't be sent and was parked; see sessiongate notices",
			"notice", n.ID, "channel", string(n.Channel), "attempts", n.Attempt, "err", err)
	default:
		o.State, o.DueAt = session.NoticePending, s.now().Add(s.pause(n.Attempt))
		s.log.WarnContext(ctx, "a notice could not be sent",
			"notice", n.ID, "channel", string(n.Channel), "attempt", n.Attempt, "again_at", o.DueAt, "err", err)
	}
}

func (s *notices) pause(attempt int) time.Duration {
	d := maxNoticePause
	if attempt < 12 { // 5 s × 2¹¹ is beyond an hour
		d = min(firstNoticePause<<(attempt-1), maxNoticePause)
	}
	return d/2 + time.Duration(float64(d/2)*s.random())
}

// settle writes the outcome down, also when the gateway has just been told to
// stop: what is not written down is sent again.
func (s *notices) settle(ctx context.Context, o session.NoticeOutcome) (err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.set.Timeout)
	defer cancel()
	for try := 1; ; try++ {
		if err = s.outbox.SettleNotice(ctx, o, s.now()); err == nil {
			return nil
		}
		if try == settleTries || !errors.Is(err, session.ErrUnavailable) {
			return fmt.Errorf("write down what became of notice %s: %w", o.ID, err)
		}
		select {
		case <-time.After(settlePause):
		case <-ctx.Done():
			return fmt.Errorf("write down what became of notice %s: %w", o.ID, err)
		}
	}
}

func (s *notices) closeLane(lane string, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lanes[lane] = until
}

func (s *notices) closedUntil(lane string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lanes[lane]
}

// closedLanes names those that are left alone now, and forgets the others.
func (s *notices) closedLanes(now time.Time) (lanes []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for lane, until := range s.lanes {
		if until.After(now) {
			lanes = append(lanes, lane)
		} else {
			delete(s.lanes, lane)
		}
	}
	return lanes
}

// outboxKeeper is the outbox as those see it who look after it.
type outboxKeeper interface {
	CountNotices(ctx context.Context) (store.NoticeCounts, error)
	// ForgetNotices removes up to limit notices that were settled before.
	ForgetNotices(ctx context.Context, settled, now time.Time, limit int) (n int, err error)
}

// tendNotices measures the outbox and forgets what was settled long ago.
type tendNotices struct {
	outbox  outboxKeeper
	keep    time.Duration
	now     func() time.Time
	metrics *noticeMetrics
}

// Run returns how many notices were forgotten.
func (t *tendNotices) Run(ctx context.Context) (int, error) {
	c, err := t.outbox.CountNotices(ctx)
	if err != nil {
		return 0, err
	}
	now := t.now()
	t.metrics.pending.Set(float64(c.Pending))
	t.metrics.parked.Set(float64(c.Parked))
	age := time.Duration(0)
	if !c.Oldest.IsZero() {
		age = max(now.Sub(c.Oldest), 0)
	}
	t.metrics.age.Set(age.Seconds())
	return t.outbox.ForgetNotices(ctx, now.Add(-t.keep), now, forgetAtOnce)
}

// noticeMetrics tell operators that people are not told.
type noticeMetrics struct {
	attempts             *prometheus.CounterVec
	pending, parked, age prometheus.Gauge
}

func newNoticeMetrics(reg prometheus.Registerer) (*noticeMetrics, error) {
	m := &noticeMetrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sessiongate_notices_attempts_total",
			Help: "Attempts to send a notice, by channel and result: sent, retry, parked, dropped.",
		}, []string{"channel", "result"}),
		pending: gauge("sessiongate_notices_pending", "Notices that are still to be sent."),
		parked:  gauge("sessiongate_notices_parked", "Notices that were given up and wait for an operator."),
		age:     gauge("sessiongate_notices_oldest_pending_seconds", "How long the oldest notice has been waiting."),
	}
	for _, channel := range []session.Channel{session.ChannelWebhook, session.ChannelEmail, session.ChannelPush} {
		for _, result := range []string{"sent", "retry", "parked", "dropped"} {
			m.attempts.WithLabelValues(string(channel), result)
		}
	}
	return m, register(reg, m.attempts, m.pending, m.parked, m.age)
}

func resultOfNotice(o *session.NoticeOutcome) string {
	if o.State == session.NoticePending {
		return "retry"
	}
	return string(o.State)
}

// noticeJobs are the jobs of the outbox.
func noticeJobs(d Deps) ([]Job, error) {
	metrics, err := newNoticeMetrics(d.Metrics)
	if err != nil {
		return nil, fmt.Errorf("jobs: register metrics: %w", err)
	}
	send := &notices{
		outbox: d.Postgres, notifier: d.Notifier, set: d.Notices, now: d.Redis.Clock, random: rand.Float64,
		log: d.Log, metrics: metrics, lanes: make(map[string]time.Time),
	}
	tend := &tendNotices{outbox: d.Postgres, keep: d.Notices.Keep, now: d.Redis.Clock, metrics: metrics}
	return []Job{
		{Name: "notices", Schedule: d.Notices.Schedule, Timeout: 2 * time.Minute, Run: send.Run},
		{Name: "tend_notices", Schedule: "@every 15s", Timeout: 30 * time.Second, Run: tend.Run},
	}, nil
}
