package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sessiongate/sessiongate/internal/testenv"
	"github.com/sessiongate/sessiongate/session"
)

// tellAll tells everybody of logins at risk and of sessions that were reused.
type tellAll struct{}

func (tellAll) Plan(e *session.Event) (session.NoticePlan, bool) {
	plan := session.NoticePlan{Webhooks: []string{"hr", "siem"}, Email: true, Push: true, Once: e.Device.ID}
	switch {
	case e.Action == session.ActionLogin && e.Risk.Score >= 50:
		plan.Kind = session.NoticeSuspicious
	case e.Ends == session.EndReused:
		plan.Kind = session.NoticeKind(e.Ends)
	default:
		return plan, false
	}
	return plan, true
}

// newOutbox is a ledger that tells all, with a user who has an address.
func newOutbox(t *testing.T) *ledger {
	t.Helper()
	l := newLedger(t)
	l.notices, l.noticeRepeat = tellAll{}, 24*time.Hour
	l.exec(`INSERT INTO users (id, email) VALUES ('42', 'ana@example.com')`)
	return l
}

// risky is the login of a session that looks like somebody else's.
func (l *life) risky() Entry {
	e := l.login()
	e.Event.Risk = session.Risk{Score: 80, Signals: []string{"new_country"}}
	e.Fields = fieldsOf(&e.Event)
	return e
}

func (l *ledger) subscribe(user string, at time.Time) (id string) {
	l.Helper()
	id, err := l.AddPush(l.Context(), session.PushSubscription{
		ID: uuid.NewString(), UserID: user, Service: session.PushWeb, Digest: uuid.NewString(),
		Sealed: []byte("sealed"), CreatedAt: at,
	})
	if err != nil {
		l.Fatal(err)
	}
	return id
}

func TestNoticesAreWrittenWithTheEvent(t *testing.T) {
	t.Parallel()
	l := newOutbox(t)
	before := l.subscribe("42", noon.Add(-time.Hour))
	l.subscribe("42", noon.Add(time.Hour))
	removed := l.subscribe("42", noon.Add(-time.Hour))
	if err := l.RemovePush(t.Context(), "42", removed, noon.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	long := l.subscribe("42", noon.Add(-time.Hour))
	if err := l.RemovePush(t.Context(), "42", long, noon.Add(-time.Minute)); err != nil {
		t.Fatal(err)
	}
	s := newLife("42", noon)
	in := s.risky()
	quiet := newLife("42", noon).login()
	l.write(quiet, in)

	var want []string
	for _, push := range []string{before, removed} {
		want = append(want, "push|"+push)
	}
	slices.Sort(want)
	want = append([]string{"email|ana@example.com"}, append(want, "webhook|hr", "webhook|siem")...)
	l.wantRows(want, `SELECT channel, target FROM notices WHERE event_id = $1 ORDER BY channel, target`, in.Event.ID)
	l.wantRows([]string{"5"}, `SELECT count(DISTINCT id) FROM notices`)

	ids := l.rows(`SELECT id FROM notices ORDER BY id`)
	if r := l.write(quiet, in); r != (WriteResult{}) {
		t.Errorf("the second time the result is %+v", r)
	}
	l.wantRows(ids, `SELECT id FROM notices ORDER BY id`)
}

func TestNoticesComeWithTheOneEndingOfASession(t *testing.T) {
	t.Parallel()
	l := newOutbox(t)
	s := newLife("42", noon)
	l.write(s.login(), s.end(time.Minute, session.EndLogout), s.end(2*time.Minute, session.EndReused))
	l.wantRows([]string{"0"}, `SELECT count(*) FROM notices`)
	other := newLife("42", noon)
	l.write(other.login(), other.end(time.Minute, session.EndReused))
	l.write(other.end(3*time.Minute, session.EndReused))
	l.wantRows([]string{fmt.Sprint(session.EndingID(other.id), "|3")},
		`SELECT event_id, count(*) FROM notices GROUP BY event_id`)
}

func TestAUserIsToldTheSameOnceInAWhile(t *testing.T) {
	t.Parallel()
	l := newOutbox(t)
	mails := func(want int) {
		t.Helper()
		l.wantRows([]string{fmt.Sprint(want)}, `SELECT count(*) FROM notices WHERE channel = 'email'`)
	}
	l.write(newLife("42", noon).risky(), newLife("42", noon.Add(time.Minute)).risky())
	mails(1)
	l.write(newLife("42", noon.Add(23*time.Hour)).risky())
	mails(1)
	other := newLife("42", noon.Add(23*time.Hour))
	other.device.ID = "another"
	l.write(other.risky())
	mails(2)
	l.write(newLife("42", noon.Add(24*time.Hour)).risky())
	mails(3)
	l.wantRows([]string{"10"}, `SELECT count(*) FROM notices WHERE channel = 'webhook'`) // programs hear of all
}

// TestAFailedOutboxWritesNoEvent: neither is there without the other.
func TestAFailedOutboxWritesNoEvent(t *testing.T) {
	t.Parallel()
	l := newOutbox(t)
	l.exec(`ALTER TABLE notices RENAME TO notices_away`)
	if _, err := l.WriteEvents(t.Context(), []Entry{newLife("42", noon).risky()}); !errors.Is(err, ErrSchema) {
		t.Errorf("error %v", err)
	}
	l.wantRows([]string{"0"}, `SELECT count(*) FROM session_logs`)
}

func TestClaimNotices(t *testing.T) {
	t.Parallel()
	l := newOutbox(t)
	in := newLife("42", noon).risky()
	l.write(in)
	claim := func(now time.Time, except ...string) []string {
		t.Helper()
		list, err := l.ClaimNotices(t.Context(), now, now.Add(time.Minute), 10, except)
		if err != nil {
			t.Fatal(err)
		}
		lines := []string{}
		for _, n := range list {
			if n.Event.ID != in.Event.ID || n.Event.Risk.Score != 80 || n.Kind != session.NoticeSuspicious {
				t.Errorf("notice %+v is not about the login", n)
			}
			lines = append(lines, fmt.Sprint(n.Lane(), " ", n.Attempt))
		}
		slices.Sort(lines)
		return lines
	}
	want := func(got []string, want ...string) {
		t.Helper()
		if strings.Join(got, ", ") != strings.Join(want, ", ") {
			t.Errorf("claimed %q, want %q", got, want)
		}
	}
	want(claim(noon.Add(-time.Second)))
	want(claim(noon, "webhook:hr", "email"), "webhook:siem 1")
	want(claim(noon), "email 1", "webhook:hr 1")
	want(claim(noon.Add(59 * time.Second)))
	want(claim(noon.Add(time.Minute)), "email 2", "webhook:hr 2", "webhook:siem 2")

	id := l.rows(`SELECT id FROM notices WHERE channel = 'email'`)[0]
	settle := func(o session.NoticeOutcome) {
		t.Helper()
		o.ID = id
		if err := l.SettleNotice(t.Context(), o, noon.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	const row = `SELECT state, attempts, COALESCE(error, ''), target, due_at FROM notices WHERE channel = 'email'`
	later := noon.Add(2 * time.Hour)
	settle(session.NoticeOutcome{Attempt: 1, State: session.NoticePending, DueAt: later, Error: "old news"})
	l.wantRows([]string{"pending|2||ana@example.com|2026-03-10T12:02:00Z"}, row)
	settle(session.NoticeOutcome{Attempt: 2, State: session.NoticePending, DueAt: later, Unmade: true})
	l.wantRows([]string{"pending|1||ana@example.com|2026-03-10T14:00:00Z"}, row)
	settle(session.NoticeOutcome{Attempt: 1, State: session.NoticeParked, Error: "550"})
	l.wantRows([]string{"parked|1|550|ana@example.com|2026-03-10T14:00:00Z"}, row)
	want(claim(later), "webhook:hr 3", "webhook:siem 3")
	if n, err := l.RetryNotices(t.Context(), id, later); n != 1 || err != nil {
		t.Errorf("retried %d, %v", n, err)
	}
	want(claim(later), "email 1")
	settle(session.NoticeOutcome{Attempt: 7, State: session.NoticeSent}) // somebody's who had been taken for dead
	l.wantRows([]string{"sent|1|||2026-03-10T14:01:00Z"}, row)
	settle(session.NoticeOutcome{Attempt: 1, State: session.NoticeParked, Error: "late"})
	l.wantRows([]string{"sent|1|||2026-03-10T14:01:00Z"}, row)
}

// TestManyClaim: any number of gateways take each notice once.
func TestManyClaim(t *testing.T) {
	t.Parallel()
	l := newOutbox(t)
	var all []Entry
	for range 100 {
		all = append(all, newLife("42", noon).risky())
	}
	l.write(all...)
	var mu sync.Mutex
	seen := map[string]int{}
	var gateways sync.WaitGroup
	for range 6 {
		gateways.Go(func() {
			for {
				list, err := l.ClaimNotices(t.Context(), noon, noon.Add(time.Hour), 7, nil)
				if err != nil || len(list) == 0 {
					if err != nil {
						t.Error(err)
					}
					return
				}
				mu.Lock()
				for _, n := range list {
					seen[n.ID]++
				}
				mu.Unlock()
			}
		})
	}
	gateways.Wait()
	if len(seen) != 201 {
		t.Errorf("%d notices were claimed, want 201", len(seen))
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s was claimed %d times", id, n)
		}
	}
}

func TestNoticesThatCannotBeReadAreParked(t *testing.T) {
	t.Parallel()
	l := newOutbox(t)
	l.write(newLife("42", noon).risky())
	l.exec(`UPDATE notices SET event = '{"v": "9"}' WHERE channel = 'email'`)
	list, err := l.ClaimNotices(t.Context(), noon, noon.Add(time.Minute), 10, nil)
	if err != nil || len(list) != 2 {
		t.Errorf("claimed %d, %v; want the other two", len(list), err)
	}
	l.wantRows([]string{"parked|true"}, `SELECT state, error LIKE '%version%' FROM notices WHERE channel = 'email'`)
	records, err := l.Notices(t.Context(), session.NoticeParked, 10)
	if err != nil || len(records) != 1 || records[0].Channel != session.ChannelEmail || records[0].UserID != "42" {
		t.Errorf("parked are %+v, %v", records, err)
	}
}

func TestCountAndForgetNotices(t *testing.T) {
	t.Parallel()
	l := newOutbox(t)
	if c, err := l.CountNotices(t.Context()); c != (NoticeCounts{}) || err != nil {
		t.Errorf("an empty outbox has %+v, %v", c, err)
	}
	l.write(newLife("42", noon).risky())
	l.exec(`UPDATE notices SET state = 'parked', settled_at = $1 WHERE channel = 'email'`, noon)
	c, err := l.CountNotices(t.Context())
	if c.Pending != 2 || c.Parked != 1 || c.Oldest.IsZero() || err != nil {
		t.Errorf("the outbox has %+v, %v", c, err)
	}
	forget := func(settled, now time.Time, want int) {
		t.Helper()
		if n, err := l.ForgetNotices(t.Context(), settled, now, 10); n != want || err != nil {
			t.Errorf("forgot %d, %v; want %d", n, err, want)
		}
	}
	forget(noon, noon, 0)
	l.wantRows([]string{"1"}, `SELECT count(*) FROM notice_marks`)
	forget(noon.Add(time.Second), noon.Add(25*time.Hour), 1)
	l.wantRows([]string{"0"}, `SELECT count(*) FROM notice_marks`)
	l.wantRows([]string{"2"}, `SELECT count(*) FROM notices`) // what is pending stays
}

func TestReportEvent(t *testing.T) {
	t.Parallel()
	l := newOutbox(t)
	in := newLife("42", noon).risky()
	l.write(in)
	e, reported, err := l.NoticeEvent(t.Context(), in.Event.ID)
	if err != nil || reported || e.SessionID != in.Event.SessionID || e.UserID != "42" {
		t.Errorf("the event is %+v, reported %t, %v", e, reported, err)
	}
	for i, want := range []bool{true, false} {
		if first, err := l.ReportEvent(t.Context(), in.Event.ID, noon); first != want || err != nil {
			t.Errorf("report %d is the first: %t, %v", i, first, err)
		}
	}
	if _, reported, err = l.NoticeEvent(t.Context(), in.Event.ID); !reported || err != nil {
		t.Errorf("reported: %t, %v", reported, err)
	}
	if _, _, err = l.NoticeEvent(t.Context(), session.NewEventID(noon)); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("of an event that nobody was told of: %v", err)
	}
}

func TestPushSubscriptions(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	s := session.PushSubscription{
		ID: uuid.NewString(), UserID: "a stub", Service: session.PushFCM, Digest: "d", Sealed: []byte{1, 2}, CreatedAt: noon,
	}
	add := func(s session.PushSubscription) string {
		t.Helper()
		id, err := l.AddPush(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	again := s
	again.ID, again.Sealed, again.CreatedAt = uuid.NewString(), []byte{3}, noon.Add(time.Hour)
	if first, second := add(s), add(again); first != s.ID || second != s.ID {
		t.Errorf("the same installation is %s and %s, want %s", first, second, s.ID)
	}
	got, err := l.Push(t.Context(), s.ID)
	if err != nil || string(got.Sealed) != "\x03" || !got.CreatedAt.Equal(noon) || got.UserID != "a stub" {
		t.Errorf("the subscription is %+v, %v", got, err)
	}
	again.UserID = "43"
	if id := add(again); id != again.ID {
		t.Errorf("the installation of another user keeps its id")
	}
	if list, err := l.ListPush(t.Context(), "a stub"); len(list) != 0 || err != nil {
		t.Errorf("it is still the first user's: %v, %v", list, err)
	}
	if err := l.RemovePush(t.Context(), "a stub", again.ID, noon); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("removed by somebody else: %v", err)
	}
	for _, id := range []string{"no uuid", uuid.NewString()} {
		if err := l.RemovePush(t.Context(), "43", id, noon); !errors.Is(err, session.ErrNotFound) {
			t.Errorf("remove %s: %v", id, err)
		}
	}
	for i := range session.MaxPushSubscriptions - 1 {
		add(session.PushSubscription{ID: uuid.NewString(), UserID: "43", Digest: fmt.Sprint(i), Sealed: []byte{1}, CreatedAt: noon})
	}
	more := session.PushSubscription{ID: uuid.NewString(), UserID: "43", Digest: "more", Sealed: []byte{1}, CreatedAt: noon}
	if _, err := l.AddPush(t.Context(), more); !errors.Is(err, session.ErrTooMany) {
		t.Errorf("one more than there may be: %v", err)
	}
	if err := l.RemovePush(t.Context(), "43", again.ID, noon); err != nil {
		t.Fatal(err)
	}
	add(more)
	if err := l.ForgetPush(t.Context(), again.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Push(t.Context(), again.ID); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("a forgotten subscription: %v", err)
	}
}

func TestUserEmail(t *testing.T) {
	t.Parallel()
	l := openLedger(t, testenv.Postgres(t))
	if err := l.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	u := session.User{ID: "1", Identifier: "ana", Email: "ana@example.com"}
	if err := l.CreateUser(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	for _, email := range []string{"ana@example.com", "b@example.com", ""} {
		if email != u.Email {
			if err := l.SetEmail(t.Context(), "1", email); err != nil {
				t.Fatal(err)
			}
		}
		got, err := l.UserByIdentifier(t.Context(), "ana")
		if err != nil || got.Email != email {
			t.Errorf("the address is %q, %v; want %q", got.Email, err, email)
		}
	}
	if err := l.SetEmail(t.Context(), "2", "x@example.com"); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("nobody's address: %v", err)
	}
}
