package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/sessiongate/sessiongate/session"
	"github.com/sessiongate/sessiongate/store"
)

// box is an outbox in memory, with the rules of the real one.
type box struct {
	mu      sync.Mutex
	rows    map[string]*boxRow
	settle  error // of the next SettleNotice
	settled []session.NoticeOutcome
}

type boxRow struct {
	session.Notice
	due   time.Time
	state session.NoticeState
}

func newBox(now time.Time, list ...session.Notice) *box {
	b := &box{rows: make(map[string]*boxRow)}
	for _, n := range list {
		b.rows[n.ID] = &boxRow{Notice: n, due: now, state: session.NoticePending}
	}
	return b
}

func (b *box) ClaimNotices(
	_ context.Context, now, until time.Time, limit int, except []string,
) (list []session.Notice, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.rows {
		if r.state == session.NoticePending && !r.due.After(now) && len(list) < limit && !slices.Contains(except, r.Lane()) {
			r.Attempt, r.due = r.Attempt+1, until
			list = append(list, r.Notice)
		}
	}
	return list, nil
}

func (b *box) SettleNotice(_ context.Context, o session.NoticeOutcome, _ time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.settle != nil {
		err := b.settle
		b.settle = nil
		return err
	}
	r := b.rows[o.ID]
	r.state = o.State
	if o.State == session.NoticePending {
		r.due = o.DueAt
	}
	if o.Unmade {
		r.Attempt--
	}
	b.settled = append(b.settled, o)
	return nil
}

func (b *box) CountNotices(context.Context) (store.NoticeCounts, error) {
	return store.NoticeCounts{Pending: 3, Parked: 2, Oldest: time.Now().Add(-time.Minute)}, nil
}

func (b *box) ForgetNotices(_ context.Context, settled, now time.Time, _ int) (int, error) {
	if now.Sub(settled) != time.Hour {
		return 0, fmt.Errorf("kept for %v", now.Sub(settled))
	}
	return 7, nil
}

// receiver counts what it is sent and answers as it is told.
type receiver struct {
	mu     sync.Mutex
	got    map[string]int
	answer func(ctx context.Context, n *session.Notice) error
}

func (r *receiver) Send(ctx context.Context, n *session.Notice) error {
	r.mu.Lock()
	if r.got == nil {
		r.got = make(map[string]int)
	}
	r.got[n.ID]++
	r.mu.Unlock()
	if r.answer == nil {
		return nil
	}
	return r.answer(ctx, n)
}

func newNotices(t *testing.T, b *box, r *receiver) *notices {
	t.Helper()
	metrics, err := newNoticeMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return &notices{
		outbox: b, notifier: r, now: time.Now, random: func() float64 { return 0 }, log: slog.New(slog.DiscardHandler),
		set:     NoticeSettings{Timeout: 10 * time.Second, MaxAttempts: 5, Keep: time.Hour},
		metrics: metrics, lanes: make(map[string]time.Time),
	}
}

func mail(i int) session.Notice {
	return session.Notice{ID: fmt.Sprintf("mail-%d", i), Channel: session.ChannelEmail}
}

func hook(name string, i int) session.Notice {
	return session.Notice{ID: fmt.Sprintf("%s-%d", name, i), Channel: session.ChannelWebhook, Target: name}
}

func mustRun(t *testing.T, s *notices, want int) {
	t.Helper()
	if n, err := s.Run(t.Context()); n != want || err != nil {
		t.Errorf("sent %d, %v; want %d", n, err, want)
	}
}

func TestNoticesAreAllSentInOneRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var list []session.Notice
		for i := range 3*noticeBatch + 1 {
			list = append(list, mail(i))
		}
		b, r := newBox(time.Now(), list...), &receiver{}
		s := newNotices(t, b, r)
		mustRun(t, s, len(list))
		mustRun(t, s, 0)
		if len(r.got) != len(list) {
			t.Errorf("%d were sent, want %d", len(r.got), len(list))
		}
		for id, n := range r.got {
			if n != 1 || b.rows[id].state != session.NoticeSent {
				t.Errorf("%s was sent %d times and is %s", id, n, b.rows[id].state)
			}
		}
	})
}

func TestNoticesAreTriedAgainLaterAndLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(time.Now(), mail(1))
		r := &receiver{answer: func(context.Context, *session.Notice) error { return errors.New("busy") }}
		s := newNotices(t, b, r)
		s.set.MaxAttempts = 14
		var pauses []string
		for last := time.Now(); b.rows["mail-1"].state == session.NoticePending; {
			tried := r.got["mail-1"]
			mustRun(t, s, 0)
			if r.got["mail-1"] > tried {
				pauses = append(pauses, time.Since(last).Round(time.Second).String())
				last = time.Now()
			}
			<-time.After(500 * time.Millisecond)
		}
		// With no luck at all the pause is half of 5 s × 2ⁿ, and half an hour at most.
		want := "0s 3s 5s 10s 20s 40s 1m20s 2m40s 5m20s 10m40s 21m20s 30m0s 30m0s 30m0s"
		if got := strings.Join(pauses, " "); got != want {
			t.Errorf("tried after\n%s, want\n%s", got, want)
		}
		if b.rows["mail-1"].state != session.NoticeParked {
			t.Errorf("in the end it is %s", b.rows["mail-1"].state)
		}
		count := func(result string) float64 {
			return testutil.ToFloat64(s.metrics.attempts.WithLabelValues("email", result))
		}
		if count("retry") != 13 || count("parked") != 1 {
			t.Errorf("%v retries, %v parked", count("retry"), count("parked"))
		}
	})
}

func TestThePauseIsRandomAndBounded(t *testing.T) {
	t.Parallel()
	s := &notices{}
	for _, random := range []float64{0, 0.5, 0.999} {
		s.random = func() float64 { return random }
		for attempt := 1; attempt < 100; attempt++ {
			full := min(firstNoticePause*time.Duration(uint64(1)<<min(attempt-1, 20)), maxNoticePause)
			if d := s.pause(attempt); d < full/2 || d > full || random > 0 && d == full/2 {
				t.Errorf("attempt %d, random %v: %v, want %v to %v", attempt, random, d, full/2, full)
			}
		}
	}
}

func TestWhatIsRefusedIsNotTriedAgain(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want session.NoticeState
	}{
		{"the receiver will never take it", fmt.Errorf("550: %w", session.ErrNoticeRefused), session.NoticeParked},
		{"the receiver is gone", fmt.Errorf("410: %w", session.ErrNoticeGone), session.NoticeDropped},
		{"something else", errors.New("500"), session.NoticePending},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBox(time.Now(), mail(1))
				s := newNotices(t, b, &receiver{answer: func(context.Context, *session.Notice) error { return tt.err }})
				mustRun(t, s, 0)
				if got := b.settled[0]; got.State != tt.want || got.Error != tt.err.Error() {
					t.Errorf("it is %+v, want %s", got, tt.want)
				}
			})
		})
	}
}

func TestAMessageThatPanicsHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(time.Now(), mail(1), mail(2))
		s := newNotices(t, b, &receiver{answer: func(_ context.Context, n *session.Notice) error {
			if n.ID == "mail-1" {
				panic("bad")
			}
			return nil
		}})
		mustRun(t, s, 1)
		if b.rows["mail-1"].state != session.NoticeParked {
			t.Errorf("it is %s", b.rows["mail-1"].state)
		}
	})
}

// TestASlowReceiverHoldsUpNoOther: what waits for it is put back, uncounted.
func TestASlowReceiverHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var list []session.Notice
		for i := range 200 {
			list = append(list, hook("hanging", i))
		}
		list = append(list, mail(1), mail(2))
		b := newBox(time.Now(), list...)
		r := &receiver{answer: func(ctx context.Context, n *session.Notice) error {
			if n.Channel == session.ChannelWebhook {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}}
		s := newNotices(t, b, r)
		began := time.Now()
		mustRun(t, s, 2)
		if took := time.Since(began); took > 3*s.set.Timeout {
			t.Errorf("the mails took %v", took)
		}
		tried := 0
		for id, row := range b.rows {
			if row.Channel == session.ChannelWebhook {
				tried += r.got[id]
				if row.state != session.NoticePending || row.Attempt > r.got[id] {
					t.Errorf("%s is %s after %d attempts of %d", id, row.state, row.Attempt, r.got[id])
				}
			}
		}
		if tried == 0 || tried > noticeBatch {
			t.Errorf("the hanging receiver was tried %d times", tried)
		}
		<-time.After(lanePause)
		r.answer = nil
		for range 100 {
			if _, err := s.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			<-time.After(time.Second)
		}
		for id, row := range b.rows {
			if row.state != session.NoticeSent {
				t.Errorf("%s is %s when the receiver is back", id, row.state)
			}
		}
	})
}

// TestACrashBetweenSendingAndRecording: it is sent again when the lease is over,
// under the same id.
func TestACrashBetweenSendingAndRecording(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, r := newBox(time.Now(), mail(1)), &receiver{}
		s := newNotices(t, b, r)
		crash := errors.New("killed")
		s.afterSend = func() error { return crash }
		if _, err := s.Run(t.Context()); !errors.Is(err, crash) {
			t.Fatal(err)
		}
		s.afterSend = nil
		mustRun(t, s, 0)
		<-time.After(s.lease())
		mustRun(t, s, 1)
		if r.got["mail-1"] != 2 {
			t.Errorf("sent %d times", r.got["mail-1"])
		}
	})
}

// TestPostgresAwayWhileRecording: a short outage is waited out, so that nothing is
// sent twice.
func TestPostgresAwayWhileRecording(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, r := newBox(time.Now(), mail(1)), &receiver{}
		s := newNotices(t, b, r)
		b.settle = session.ErrUnavailable
		mustRun(t, s, 1)
		<-time.After(s.lease())
		mustRun(t, s, 0)
		if r.got["mail-1"] != 1 {
			t.Errorf("sent %d times", r.got["mail-1"])
		}
		b = newBox(time.Now(), mail(2))
		s.outbox, b.settle = b, errors.New("a bug")
		if _, err := s.Run(t.Context()); err == nil {
			t.Error("an outcome that can't be written down is no error")
		}
	})
}

func TestAGatewayThatStopsCountsNoAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(time.Now(), mail(1))
		ctx, stop := context.WithCancel(t.Context())
		s := newNotices(t, b, &receiver{answer: func(ctx context.Context, _ *session.Notice) error {
			stop()
			<-ctx.Done()
			return ctx.Err()
		}})
		if n, err := s.Run(ctx); n != 0 || err != nil {
			t.Errorf("sent %d, %v", n, err)
		}
		if row := b.rows["mail-1"]; row.state != session.NoticePending || row.Attempt != 0 || row.due.After(time.Now()) {
			t.Errorf("the notice is %+v", row)
		}
	})
}

func TestTendNotices(t *testing.T) {
	t.Parallel()
	metrics, err := newNoticeMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	tend := &tendNotices{outbox: &box{}, keep: time.Hour, now: time.Now, metrics: metrics}
	if n, err := tend.Run(t.Context()); n != 7 || err != nil {
		t.Errorf("forgot %d, %v", n, err)
	}
	age := testutil.ToFloat64(metrics.age)
	if testutil.ToFloat64(metrics.pending) != 3 || testutil.ToFloat64(metrics.parked) != 2 || age < 60 || age > 90 {
		t.Errorf("%v pending for %v s, %v parked", testutil.ToFloat64(metrics.pending), age, testutil.ToFloat64(metrics.parked))
	}
}

// TestNoticesOfTwoGateways: with the real outbox, while one gateway after the
// other is cut off between sending and recording, none is lost, and what is sent
// twice has the same id.
func TestNoticesOfTwoGateways(t *testing.T) {
	w := newWorld(t, nil)
	w.exec(`INSERT INTO notices (id, event_id, event_at, kind, channel, target, user_id, event, due_at)
		SELECT 'ntc_' || n, gen_random_uuid(), now(), 'new_device', 'webhook', 'w', 'u',
		       jsonb_build_object('v', '1', 'id', CAST($1 AS text), 'at', CAST($2 AS text), 'action', 'login', 'ok', '0'), now() - interval '1 hour'
		FROM generate_series(1, 60) AS n`, string(noticeEvent), fmt.Sprint(noticeEvent.Time().UnixMilli()))
	r := &receiver{}
	var shift time.Duration
	var mu sync.Mutex
	now := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return time.Now().Add(shift)
	}
	cut := errors.New("killed")
	for round := range 12 {
		var gateways sync.WaitGroup
		for gateway := range 2 {
			s := newNotices(t, &box{}, r)
			s.outbox, s.now = w.postgres, now
			if round < 4 {
				left := 5 + gateway
				var leftMu sync.Mutex
				s.afterSend = func() error {
					leftMu.Lock()
					defer leftMu.Unlock()
					if left--; left < 0 {
						return cut
					}
					return nil
				}
			}
			gateways.Go(func() {
				if _, err := s.Run(t.Context()); err != nil && !errors.Is(err, cut) {
					t.Error(err)
				}
			})
		}
		gateways.Wait()
		mu.Lock()
		shift += 2 * time.Minute
		mu.Unlock()
	}
	if n := w.count("SELECT count(*) FROM notices WHERE state = 'sent'"); n != 60 || len(r.got) != 60 {
		t.Errorf("%d are sent, the receiver got %d", n, len(r.got))
	}
}

var noticeEvent = session.NewEventID(time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC))
