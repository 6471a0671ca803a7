package handlers

import (
	"context"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/sessiongate/sessiongate/internal/browser"
	"github.com/sessiongate/sessiongate/internal/problem"
	"github.com/sessiongate/sessiongate/session"
)

// sessionLister lists a user's live sessions, as store.Redis does.
type sessionLister interface {
	// List returns them all, by last activity and then by id, both falling.
	List(ctx context.Context, userID string) ([]session.Session, error)
}

// sessionHistory lists a user's ended sessions, as store.Postgres does.
type sessionHistory interface {
	// EndedSessions returns up to limit of them in the order of List: those after
	// the one with this last activity and id, or from the first on where both are
	// zero.
	EndedSessions(ctx context.Context, userID string, at time.Time, id session.ID, limit int) ([]session.Session, error)
}

// MySessions serves /sessions/my-sessions: the user's own devices.
type MySessions struct {
	Live    sessionLister
	History sessionHistory
	Revoker sessionRevoker
	Origin  originOf
	Now     func() time.Time // Redis's clock
	Cookies browser.Cookies
}

// page is one answer of List. next is where the following one begins; its list
// is 0 if there is none.
type page struct {
	sessions []session.Session
	next     cursor
}

// List serves GET: live sessions from Redis (state=active, the default), ended
// ones from Postgres (ended), or the first and then the others (all), each newest
// activity first. A session that has just ended is in neither until the flush
// has written it down, and one that is used or ends between two pages may be
// missing from them or be there twice.
func (h *MySessions) List(c *gin.Context) {
	q := newQuery(c)
	limit, state := q.limit(), q.text("state")
	var from cursor
	switch state {
	case "", "active":
		from = q.cursor(activeSessions)
	case "ended":
		from = q.cursor(endedSessions)
	case "all":
		from = q.cursor(activeSessions, endedSessions)
	default:
		q.fail("state", "must be active, ended or all")
	}
	if q.err != nil {
		problem.Write(c, q.err)
		return
	}
	who := caller(c).Token
	p, err := h.page(c.Request.Context(), who.UserID, from, limit, state == "all")
	if err != nil {
		problem.Write(c, err)
		return
	}
	e := newEncoder()
	e.open('{')
	e.key("sessions")
	e.open('[')
	for i := range p.sessions {
		e.session(&p.sessions[i], p.sessions[i].ID == who.SessionID)
	}
	e.close(']')
	e.next(p.next)
	e.close('}')
	e.send(c, http.StatusOK)
}

// page gathers up to limit sessions from the given place on; onward says that
// the ended ones follow the live ones.
func (h *MySessions) page(ctx context.Context, userID string, from cursor, limit int, onward bool) (page, error) {
	p := page{sessions: []session.Session{}}
	if from.list == activeSessions {
		live, err := h.Live.List(ctx, userID)
		if err != nil {
			return p, err
		}
		live = after(live, from)
		if len(live) > limit {
			return page{live[:limit], placeOf(activeSessions, &live[limit-1])}, nil
		}
		p.sessions = live
		if !onward {
			return p, nil
		}
		from = cursor{list: endedSessions}
	}
	room := limit - len(p.sessions)
	ended, err := h.History.EndedSessions(ctx, userID, from.at, session.ID(from.id), room+1)
	if err != nil {
		return p, err
	}
	if len(ended) > room {
		ended = ended[:room]
		p.next = from
		if room > 0 {
			p.next = placeOf(endedSessions, &ended[room-1])
		}
	}
	p.sessions = append(p.sessions, ended...)
	return p, nil
}

// after returns those sessions that come after the place.
func after(sessions []session.Session, place cursor) []session.Session {
	if place.id == "" {
		return sessions
	}
	for i := range sessions {
		s := &sessions[i]
		if byTime := s.LastActivity.Compare(place.at); byTime < 0 || byTime == 0 && string(s.ID) < place.id {
			return sessions[i:]
		}
	}
	return sessions[:0]
}

func placeOf(l list, s *session.Session) cursor {
	return cursor{list: l, at: s.LastActivity, id: string(s.ID)}
}

// next writes where the next page begins: null on the last one.
func (e *encoder) next(c cursor) {
	if c.list == 0 {
		e.key("next_cursor")
		e.b = append(e.b, "null"...)
		return
	}
	e.text("next_cursor", c.String())
}

// Revoke serves DELETE /sessions/my-sessions/{sid}. Whatever is not a live
// session of this user's is not found, whether it is somebody else's, has ended
// or never was.
func (h *MySessions) Revoke(c *gin.Context) {
	sid, err := session.ParseID(c.Param("sid"))
	if err != nil {
		problem.Write(c, session.ErrNotFound)
		return
	}
	op := newEvent(h.Now(), h.Origin(c.Request))
	op.Action = session.ActionLogout
	who := caller(c)
	ended, err := h.Revoker.Revoke(c.Request.Context(), who.Token.UserID, sid, session.EndRevoked, op)
	switch {
	case err != nil:
		problem.Write(c, err)
	case !ended:
		problem.Write(c, session.ErrNotFound)
	default:
		if who.ByCookie && sid == who.Token.SessionID {
			h.Cookies.ClearSession(c.Writer.Header())
		}
		c.Status(http.StatusNoContent)
	}
}
