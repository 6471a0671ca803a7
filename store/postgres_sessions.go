package store

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"github.com/sessiongate/sessiongate/session"
	schema "github.com/sessiongate/sessiongate/sql"
)

var (
	updateLastActivity    = schema.Query("update_last_activity")
	selectExpiredSessions = schema.Query("select_expired_sessions")
	selectActiveSessions  = schema.Query("select_active_sessions")
	closeMissingSessions  = schema.Query("close_missing_sessions")
	selectEndedSessions   = schema.Query("select_ended_sessions")
)

// SessionCursor is a place in a user's ended sessions: after the one with this
// last activity and id. The zero value is before the first.
type SessionCursor struct {
	LastActivity time.Time
	ID           session.ID
}

// WriteActivity moves last_activity forward to when sessions were last used, never
// back, and active_at to when their users last did something. It returns those of the
// uses whose session has a row; the others are for later, when the flush has made it.
// A use that names no possible session or no likely time is left out as well. One
// round trip.
func (p *Postgres) WriteActivity(ctx context.Context, uses []session.Use) (written []session.Use, err error) {
	latest := make(map[session.ID]lastUse, len(uses))
	for _, u := range uses {
		if _, err := session.ParseID(string(u.SessionID)); err == nil && likely(u.At) {
			latest[u.SessionID] = latest[u.SessionID].merge(u)
		}
	}
	if len(latest) == 0 {
		return nil, nil
	}
	c := newColumns(3, len(latest))
	for id, use := range latest {
		c.add(string(id), timeText(use.at), timeText(use.active))
	}
	var ids []session.ID
	if err := p.db.SelectContext(ctx, &ids, updateLastActivity, c.args()...); err != nil {
		return nil, pgError("write activity", err)
	}
	known := make(map[session.ID]bool, len(ids))
	for _, id := range ids {
		known[id] = true
	}
	for _, u := range uses {
		if known[u.SessionID] && likely(u.At) {
			written = append(written, u)
		}
	}
	return written, nil
}

// lastUse is when a session was last used, and when by its user's doing.
type lastUse struct{ at, active time.Time }

func (l lastUse) merge(u session.Use) lastUse {
	if u.At.After(l.at) {
		l.at = u.At
	}
	if u.Active && u.At.After(l.active) {
		l.active = u.At
	}
	return l
}

// likely says whether t can be the time of an event, as session.DecodeEvent has
// it: anybody can write any score into Redis.
func likely(t time.Time) bool { return t.Unix() >= 1e9 && t.Unix() < 1e10 }

// Expired returns the active sessions whose deadline is not after before, in the
// order of their ids, from the one after after ("" for the first). They carry
// ID, UserID, CreatedAt, LastActivity, ExpiresAt, Idle and ActiveAt. One round trip.
func (p *Postgres) Expired(ctx context.Context, before time.Time, after session.ID, limit int) ([]session.Session, error) {
	return p.page(ctx, "list expired sessions", selectExpiredSessions, before, pageStart(after), limit)
}

// Active returns active sessions, expired or not, as Expired does. Its cost does
// not grow with the number of those that have ended.
func (p *Postgres) Active(ctx context.Context, after session.ID, limit int) ([]session.Session, error) {
	return p.page(ctx, "list active sessions", selectActiveSessions, pageStart(after), limit)
}

// EndedSessions returns a user's ended sessions, latest activity first, from the
// one after the cursor. They carry everything but AuthTime, Generation and
// RotatedAt, which belong to live ones. One round trip.
func (p *Postgres) EndedSessions(ctx context.Context, userID string, after SessionCursor, limit int) ([]session.Session, error) {
	if !storable(userID) {
		return []session.Session{}, nil
	}
	at, id := cursorArgs(after.LastActivity, string(after.ID))
	return p.page(ctx, "list ended sessions", selectEndedSessions, userID, at, id, limit)
}

func (p *Postgres) page(ctx context.Context, what, statement string, args ...any) ([]session.Session, error) {
	var rows []storedSession
	if err := p.db.SelectContext(ctx, &rows, statement, args...); err != nil {
		return nil, pgError(what, err)
	}
	list := make([]session.Session, len(rows))
	for i := range rows {
		list[i] = rows[i].session()
	}
	return list, nil
}

// CloseMissing ends those of the sessions that are still active: the caller has
// looked for them in Redis at lookedAt, found them missing, and waited until the
// flush had passed that moment. One whose deadline had come by then, or whose user had
// been idle for too long, is logged as expired at that time, with the reason; another
// as removed by hand at lookedAt, each once
// however often and wherever this is called. It leaves out sessions that another
// transaction is writing to and those with a dead letter that nobody has handled.
// One round trip.
func (p *Postgres) CloseMissing(ctx context.Context, ids []session.ID, lookedAt time.Time) (closed int, err error) {
	if len(ids) == 0 {
		return 0, nil
	}
	c := newColumns(2, len(ids))
	for _, id := range ids {
		c.add(string(id), string(session.EndingID(id)))
	}
	err = p.db.GetContext(ctx, &closed, closeMissingSessions, append(c.args(), lookedAt)...)
	return closed, pgError("close missing sessions", err)
}

// storedSession is a row of user_sessions as the statements select it.
type storedSession struct {
	ID                session.ID     `db:"id"`
	UserID            string         `db:"user_id"`
	DeviceInfo        string         `db:"device_info"`
	DeviceID          string         `db:"device_id"`
	DevicePlatform    string         `db:"device_platform"`
	IP                string         `db:"ip_address"`
	UserAgent         string         `db:"user_agent"`
	ClientID          string         `db:"client_id"`
	Scope             string         `db:"scope"`
	AMR               pq.StringArray `db:"amr"`
	CreatedAt         time.Time      `db:"created_at"`
	LastActivity      time.Time      `db:"last_activity"`
	ExpiresAt         time.Time      `db:"expires_at"`
	AbsoluteExpiresAt sql.NullTime   `db:"absolute_expires_at"`
	IdleTimeout       sql.NullInt32  `db:"idle_timeout"`
	ActiveAt          sql.NullTime   `db:"active_at"`
	EndedAt           sql.NullTime   `db:"ended_at"`
	EndReason         string         `db:"end_reason"`
	Country           string         `db:"country"`
	ASN               int64          `db:"asn"`
}

func (r *storedSession) session() session.Session {
	return session.Session{
		ID:       r.ID,
		UserID:   r.UserID,
		ClientID: r.ClientID,
		Scope:    r.Scope,
		AMR:      r.AMR,
		Device: session.Device{
			Name:     deviceName(r.DeviceInfo, r.DevicePlatform),
			Platform: r.DevicePlatform,
			ID:       r.DeviceID,
		},
		IP:                r.IP,
		Country:           r.Country,
		ASN:               uint32(r.ASN), // written from one
		UserAgent:         r.UserAgent,
		CreatedAt:         r.CreatedAt.UTC(),
		LastActivity:      r.LastActivity.UTC(),
		ExpiresAt:         r.ExpiresAt.UTC(),
		AbsoluteExpiresAt: utc(r.AbsoluteExpiresAt),
		Idle:              time.Duration(r.IdleTimeout.Int32) * time.Second,
		ActiveAt:          utc(r.ActiveAt),
		EndedAt:           utc(r.EndedAt),
		EndReason:         session.EndReason(r.EndReason),
	}
}

// deviceName takes the platform off again that session.Device.String put on.
func deviceName(info, platform string) string {
	if platform == "" {
		return info
	}
	if info == platform {
		return ""
	}
	return strings.TrimSuffix(info, " ("+platform+")")
}

// utc returns the zero time for NULL.
func utc(t sql.NullTime) time.Time {
	if !t.Valid {
		return time.Time{}
	}
	return t.Time.UTC()
}

func pageStart(after session.ID) string {
	if after == "" {
		return uuid.Nil.String()
	}
	return string(after)
}

// cursorArgs are the time and the id that everything of the page is before, in
// the order of time and id.
func cursorArgs(at time.Time, id string) (any, string) {
	if at.IsZero() {
		return "infinity", uuid.Max.String()
	}
	return at, id
}
