package store

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/lib/pq"

	"github.com/sessiongate/sessiongate/session"
	schema "github.com/sessiongate/sessiongate/sql"
)

var (
	insertNotices         = schema.Query("insert_notices")
	claimNotices          = schema.Query("claim_notices")
	settleNotice          = schema.Query("settle_notice")
	selectNotices         = schema.Query("select_notices")
	retryNotices          = schema.Query("retry_notices")
	countNotices          = schema.Query("count_notices")
	deleteNotices         = schema.Query("delete_notices")
	selectNoticeEvent     = schema.Query("select_notice_event")
	updateNoticesReported = schema.Query("update_notices_reported")
)

// NoticeRules say who is to be told of which event.
type NoticeRules interface {
	// Plan is called for each event that is written. ok is false where nobody is to
	// be told.
	Plan(e *session.Event) (plan session.NoticePlan, ok bool)
}

// writeNotices puts into the outbox what is to be told of the events that are
// written: in the same transaction, so that a crash leaves both or neither.
func (p *Postgres) writeNotices(ctx context.Context, tx *sql.Tx, b *batch, ended map[session.ID]bool) error {
	if p.notices == nil {
		return nil
	}
	c := newColumns(9, 0)
	for _, entry := range b.entries {
		e := entry.Event
		if e.Ends != "" {
			if !b.counts(entry, ended) {
				continue
			}
			e.ID = session.EndingID(e.SessionID)
		}
		plan, ok := p.notices.Plan(&e)
		if !ok || e.UserID == "" {
			continue
		}
		fields, err := json.Marshal(fieldsOf(&e))
		if err != nil {
			return fmt.Errorf("encode the event of a notice: %w", err)
		}
		c.add(string(e.ID), timeText(e.CreatedAt), string(plan.Kind), e.UserID, string(fields),
			strings.Join(plan.Webhooks, " "), strconv.FormatBool(plan.Email), strconv.FormatBool(plan.Push),
			p.markOf(&e, &plan))
	}
	if c.rows == 0 {
		return nil
	}
	_, err := tx.ExecContext(ctx, insertNotices, append(c.args(), p.noticeRepeat.Seconds())...)
	return err
}

// markOf names what the user is told once in a while. It is keyed, since devices
// can be guessed.
func (p *Postgres) markOf(e *session.Event, plan *session.NoticePlan) string {
	mac := hmac.New(sha256.New, p.key)
	fmt.Fprintf(mac, "notice\x00%s\x00%s\x00%s", e.UserID, plan.Kind, plan.Once)
	return hex.EncodeToString(mac.Sum(nil))
}

// noticeRow is a row of notices as the statements select it.
type noticeRow struct {
	ID        string    `db:"id"`
	Kind      string    `db:"kind"`
	Channel   string    `db:"channel"`
	Target    string    `db:"target"`
	Attempts  int       `db:"attempts"`
	Event     string    `db:"event"`
	UserID    string    `db:"user_id"`
	State     string    `db:"state"`
	Error     string    `db:"error"`
	CreatedAt time.Time `db:"created_at"`
	DueAt     time.Time `db:"due_at"`
}

func (r *noticeRow) notice() (session.Notice, error) {
	n := session.Notice{
		ID: r.ID, Kind: session.NoticeKind(r.Kind), Channel: session.Channel(r.Channel), Target: r.Target,
		Attempt: r.Attempts,
	}
	var err error
	n.Event, err = decodeNoticeEvent(r.Event)
	return n, err
}

func decodeNoticeEvent(text string) (session.Event, error) {
	var fields map[string]string
	if err := json.Unmarshal([]byte(text), &fields); err != nil {
		return session.Event{}, fmt.Errorf("%w: %w", session.ErrMalformedEvent, err)
	}
	return session.DecodeEvent(fields)
}

// ClaimNotices takes up to limit notices that are due, each for one attempt, and
// none of the given lanes. Until then nobody else gets them. A notice that can't
// be read any more is parked. One round trip.
func (p *Postgres) ClaimNotices(
	ctx context.Context, now, until time.Time, limit int, except []string,
) ([]session.Notice, error) {
	if except == nil {
		except = []string{}
	}
	var rows []noticeRow
	err := p.db.SelectContext(ctx, &rows, claimNotices, now, until, limit, pq.StringArray(except))
	if err != nil {
		return nil, pgError("claim notices", err)
	}
	list := make([]session.Notice, 0, len(rows))
	for i := range rows {
		n, err := rows[i].notice()
		if err == nil {
			list = append(list, n)
			continue
		}
		outcome := session.NoticeOutcome{ID: n.ID, Attempt: n.Attempt, State: session.NoticeParked, Error: err.Error()}
		if err := p.SettleNotice(ctx, outcome, now); err != nil {
			return list, err
		}
	}
	return list, nil
}

// noticeErrorBytes is how much is kept of why a notice was not sent.
const noticeErrorBytes = 512

// SettleNotice writes down what became of an attempt. What has been overtaken by a
// later attempt changes nothing. One round trip.
func (p *Postgres) SettleNotice(ctx context.Context, o session.NoticeOutcome, now time.Time) error {
	_, err := p.update(ctx, settleNotice, o.ID, o.Attempt, string(o.State), o.DueAt,
		session.CleanText(o.Error, noticeErrorBytes), o.Unmade, now)
	return pgError("settle notice", err)
}

// Notices returns the latest notices in a state, "" for any, newest first.
func (p *Postgres) Notices(ctx context.Context, state session.NoticeState, limit int) ([]session.NoticeRecord, error) {
	var rows []noticeRow
	if err := p.db.SelectContext(ctx, &rows, selectNotices, string(state), limit); err != nil {
		return nil, pgError("list notices", err)
	}
	list := make([]session.NoticeRecord, len(rows))
	for i := range rows {
		r := &rows[i]
		n, err := r.notice()
		if err != nil && r.Error == "" {
			r.Error = err.Error()
		}
		list[i] = session.NoticeRecord{
			Notice: n, UserID: r.UserID, State: session.NoticeState(r.State), Error: r.Error,
			CreatedAt: r.CreatedAt.UTC(), DueAt: r.DueAt.UTC(),
		}
	}
	return list, nil
}

// RetryNotices lets a parked notice be sent after all, or all of them if id is "".
func (p *Postgres) RetryNotices(ctx context.Context, id string, now time.Time) (n int, err error) {
	rows, err := p.update(ctx, retryNotices, id, now)
	return int(rows), pgError("retry notices", err)
}

// NoticeCounts is how full the outbox is.
type NoticeCounts struct {
	Pending, Parked int
	Oldest          time.Time // of those pending; zero if there are none
}

// CountNotices says how full the outbox is. One round trip.
func (p *Postgres) CountNotices(ctx context.Context) (NoticeCounts, error) {
	var row struct {
		Pending int          `db:"pending"`
		Parked  int          `db:"parked"`
		Oldest  sql.NullTime `db:"oldest"`
	}
	if err := p.db.GetContext(ctx, &row, countNotices); err != nil {
		return NoticeCounts{}, pgError("count notices", err)
	}
	return NoticeCounts{Pending: row.Pending, Parked: row.Parked, Oldest: utc(row.Oldest)}, nil
}

// ForgetNotices removes up to limit notices that were dealt with before settled,
// and of what goes with them what is of no more use by now. It returns how many
// notices.
func (p *Postgres) ForgetNotices(ctx context.Context, settled, now time.Time, limit int) (n int, err error) {
	err = p.db.GetContext(ctx, &n, deleteNotices, settled, now.Add(-p.noticeRepeat), now.Add(-keepRemoved), limit)
	return n, pgError("forget notices", err)
}

// keepRemoved is how long a removed subscription can still be told what happened
// before.
const keepRemoved = 72 * time.Hour

// NoticeEvent returns the event of that id, if anybody was told of it, and
// whether its user has disowned it. Else it returns session.ErrNotFound.
func (p *Postgres) NoticeEvent(ctx context.Context, id session.EventID) (e session.Event, reported bool, err error) {
	const what = "get the event of a notice"
	var row struct {
		Event    string `db:"event"`
		Reported bool   `db:"reported"`
	}
	if err := p.db.GetContext(ctx, &row, selectNoticeEvent, string(id)); errors.Is(err, sql.ErrNoRows) {
		return e, false, pgError(what, session.ErrNotFound)
	} else if err != nil {
		return e, false, pgError(what, err)
	}
	e, err = decodeNoticeEvent(row.Event)
	return e, row.Reported, pgError(what, err)
}

// ReportEvent notes that the user disowned an event. first is false if they had
// done so before.
func (p *Postgres) ReportEvent(ctx context.Context, id session.EventID, now time.Time) (first bool, err error) {
	n, err := p.update(ctx, updateNoticesReported, string(id), now)
	return n > 0, pgError("report event", err)
}
