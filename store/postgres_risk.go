package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/lib/pq"

	"github.com/sessiongate/sessiongate/risk"
	"github.com/sessiongate/sessiongate/session"
	schema "github.com/sessiongate/sessiongate/sql"
)

var (
	selectSignInHistory = schema.Query("select_sign_in_history")
	selectSessionAgents = schema.Query("select_session_agents")
	upsertKnownDevices  = schema.Query("upsert_known_devices")
	upsertKnownNetworks = schema.Query("upsert_known_networks")
	deleteKnownDevices  = schema.Query("delete_known_devices")
	deleteKnownNetworks = schema.Query("delete_known_networks")
)

// storedHistory is the object that select_sign_in_history makes.
type storedHistory struct {
	Logins     int      `json:"logins"`
	FirstLogin jsonTime `json:"first_login"`
	LastSeen   jsonTime `json:"last_seen"`
	Devices    []string `json:"devices"`
	Places     []struct {
		Network  string   `json:"network"`
		Country  string   `json:"country"`
		ASN      uint32   `json:"asn"`
		LastSeen jsonTime `json:"last_seen"`
	} `json:"places"`
	Failures   int `json:"failures"`
	IPLogins   int `json:"ip_logins"`
	IPUsers    int `json:"ip_users"`
	IPTries    int `json:"ip_tries"`
	IPFailures int `json:"ip_failures"`
}

// jsonTime is a timestamptz as json_build_object writes it; null is the zero time.
type jsonTime struct{ time.Time }

func (t *jsonTime) UnmarshalJSON(b []byte) error {
	var text *string
	if err := json.Unmarshal(b, &text); err != nil || text == nil {
		return err
	}
	at, err := time.Parse("2006-01-02T15:04:05.999999999Z07:00", *text)
	t.Time = at.UTC()
	return err
}

// SignInHistory returns what is on record about a user ("": nobody) and an
// address ("": unknown) at the time of an attempt. Its places have no coordinates.
// One round trip, which takes no longer for a busy user or address.
func (p *Postgres) SignInHistory(ctx context.Context, userID, ip string, at time.Time) (risk.History, error) {
	const what = "read sign-in history"
	if !storable(userID) {
		userID = ""
	}
	var text []byte
	err := p.db.GetContext(ctx, &text, selectSignInHistory, userID, ipText(ip),
		at.Add(-p.rules.FailureWindow), at.Add(-p.rules.IPWindow))
	if err != nil {
		return risk.History{}, pgError(what, err)
	}
	var s storedHistory
	if err := json.Unmarshal(text, &s); err != nil {
		return risk.History{}, fmt.Errorf("store: %s: %w", what, err)
	}
	h := risk.History{
		FirstLogin: s.FirstLogin.Time, Logins: s.Logins, LastSeen: s.LastSeen.Time, Devices: s.Devices, Failures: s.Failures,
		IP: risk.IP{Logins: s.IPLogins, RecentUsers: s.IPUsers, Tries: s.IPTries, Failures: s.IPFailures},
	}
	for _, n := range s.Places {
		h.Places = append(h.Places, risk.Place{Network: n.Network, Country: n.Country, ASN: n.ASN, LastSeen: n.LastSeen.Time})
	}
	return h, nil
}

// ForgetHistory deletes what users have not been seen with, or at, since before:
// up to limit rows of each kind. It returns how many.
func (p *Postgres) ForgetHistory(ctx context.Context, before time.Time, limit int) (forgotten int, err error) {
	for _, statement := range []string{deleteKnownDevices, deleteKnownNetworks} {
		n, err := p.update(ctx, statement, before, limit)
		forgotten += int(n)
		if err != nil {
			return forgotten, pgError("forget history", err)
		}
	}
	return forgotten, nil
}

// assess weighs the batch's refreshes. What it says follows from the events and
// the rows of their sessions, so a repeat says the same.
func (b *batch) assess(ctx context.Context, tx *sql.Tx, rules risk.Rules) error {
	var moved []*session.Event
	var ids []string
	for _, entry := range b.entries {
		e := &entry.Event
		if e.Action != session.ActionRefresh || e.SessionID == "" {
			continue
		}
		if reused(e) || risk.Network(e.Origin.IP) != risk.Network(e.SessionPlace.IP) {
			moved = append(moved, e)
			ids = append(ids, string(e.SessionID))
		}
	}
	if len(moved) == 0 {
		return nil
	}
	agents, err := sessionAgents(ctx, tx, ids)
	if err != nil {
		return err
	}
	for _, e := range moved {
		e.Risk = risk.AssessRefresh(risk.Refresh{
			Began: e.SessionPlace, Now: e.Origin.Place(),
			BeganAgent: agents[e.SessionID], NowAgent: e.Origin.UserAgent, Reused: reused(e),
		}, rules).Risk()
	}
	return nil
}

// reused says whether a refresh was one with an old token.
func reused(e *session.Event) bool { return !e.Success && e.Error == string(session.EndReused) }

func sessionAgents(ctx context.Context, tx *sql.Tx, ids []string) (map[session.ID]string, error) {
	rows, err := tx.QueryContext(ctx, selectSessionAgents, pq.StringArray(ids))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	agents := make(map[session.ID]string, len(ids))
	for rows.Next() {
		var id session.ID
		var agent string
		if err := rows.Scan(&id, &agent); err != nil {
			return nil, err
		}
		agents[id] = agent
	}
	return agents, rows.Err()
}

// sighting is when a user was seen with or at something.
type sighting struct {
	country, asn string // of a network, at the last sighting
	first, last  time.Time
}

// sightings are kept by user and what they were seen with or at.
type sightings map[[2]string]sighting

func (s sightings) add(user, what string, at time.Time, where session.Place) {
	if what == "" {
		return
	}
	key := [2]string{user, what}
	old, seen := s[key]
	now := sighting{where.Country, numberText(int64(where.ASN)), at, at}
	if seen {
		now.first = earlier(old.first, at)
		if old.last.After(at) {
			now.country, now.asn, now.last = old.country, old.asn, old.last
		}
	}
	s[key] = now
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// sorted are the keys in the order in which all batches lock their rows.
func (s sightings) sorted() [][2]string {
	return slices.SortedFunc(maps.Keys(s), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
}

// networkSlack keeps the flush from writing a row for every refresh: refreshes
// come twice an hour, and what they say of a place need not be newer than that.
const networkSlack = "55 minutes"

// learn notes with what and where users signed in, and where they refresh unless
// that is remarkable itself. Networks of which nothing is known tell nothing.
func (b *batch) learn(ctx context.Context, tx *sql.Tx, rules risk.Rules) error {
	devices, networks := sightings{}, sightings{}
	for _, entry := range b.entries {
		e := &entry.Event
		isLogin := e.Action == session.ActionLogin
		if !e.Success || e.SessionID == "" || !isLogin && (e.Action != session.ActionRefresh || e.Risk.Score >= rules.NotifyAt) {
			continue
		}
		if where := e.Origin.Place(); where.Country != "" || where.ASN != 0 {
			networks.add(e.UserID, risk.Network(where.IP), e.CreatedAt, where)
		}
		if isLogin {
			for _, key := range risk.DeviceKeys(e.Device, e.Origin.UserAgent) {
				devices.add(e.UserID, key, e.CreatedAt, session.Place{})
			}
		}
	}
	if len(devices) > 0 {
		c := newColumns(4, len(devices))
		for _, key := range devices.sorted() {
			s := devices[key]
			c.add(key[0], key[1], timeText(s.first), timeText(s.last))
		}
		if _, err := tx.ExecContext(ctx, upsertKnownDevices, c.args()...); err != nil {
			return err
		}
	}
	if len(networks) == 0 {
		return nil
	}
	c := newColumns(6, len(networks))
	for _, key := range networks.sorted() {
		s := networks[key]
		c.add(key[0], key[1], s.country, s.asn, timeText(s.first), timeText(s.last))
	}
	_, err := tx.ExecContext(ctx, upsertKnownNetworks, append(c.args(), networkSlack)...)
	return err
}
