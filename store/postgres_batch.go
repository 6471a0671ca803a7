package store

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sessiongate/sessiongate/session"
)

// batch is what a set of entries means for the tables.
type batch struct {
	entries  []*Entry
	sessions map[session.ID]*sessionRow
	endings  map[session.ID]*Entry // the first of each session, in the order of the stream
}

// newBatch gathers what the entries say about each session into one row:
// Postgres refuses to merge two into the same row at once (21000).
func newBatch(entries []*Entry, fingerprint func(session.ID) string) *batch {
	b := &batch{
		entries:  entries,
		sessions: make(map[session.ID]*sessionRow, len(entries)),
		endings:  make(map[session.ID]*Entry),
	}
	for _, entry := range entries {
		e := &entry.Event
		if e.SessionID == "" {
			continue
		}
		row := newSessionRow(e)
		if known := b.sessions[e.SessionID]; known != nil {
			known.merge(&row)
		} else {
			row.token = fingerprint(e.SessionID)
			b.sessions[e.SessionID] = &row
		}
		if _, ok := b.endings[e.SessionID]; e.Ends != "" && !ok {
			b.endings[e.SessionID] = entry
		}
	}
	return b
}

// sessionRow is what events say about a session, as merge_user_sessions takes it.
type sessionRow struct {
	userID, token string

	// What never changes; "" is not known.
	deviceInfo, deviceID, devicePlatform string
	ip, country, asn, userAgent          string
	clientID, scope, amr                 string
	absoluteExpiresAt                    string
	idle, grantID                        string
	fromLogin                            bool

	// What only grows.
	lastActivity, expiresAt time.Time
	activeAt                time.Time // zero: not known
}

func newSessionRow(e *session.Event) sessionRow {
	r := sessionRow{
		userID:            e.UserID,
		deviceInfo:        e.Device.String(),
		deviceID:          e.Device.ID,
		devicePlatform:    e.Device.Platform,
		ip:                ipText(e.SessionPlace.IP),
		country:           e.SessionPlace.Country,
		asn:               numberText(int64(e.SessionPlace.ASN)),
		clientID:          e.ClientID,
		scope:             e.Scope,
		amr:               strings.Join(e.AMR, " "),
		absoluteExpiresAt: timeText(e.AbsoluteExpiresAt),
		grantID:           string(e.GrantID),
		lastActivity:      e.SessionID.Time(),
		expiresAt:         e.ExpiresAt,
		activeAt:          e.ActiveAt,
	}
	if e.Idle != 0 {
		r.idle = idleText(e.Idle)
	}
	if e.Success && e.Action == session.ActionLogin {
		r.fromLogin = true
		r.userAgent = e.Origin.UserAgent // any other event's is of another request
		if r.ip == "" {
			r.ip, r.country, r.asn = ipText(e.Origin.IP), e.Origin.Country, numberText(int64(e.Origin.ASN))
		}
	}
	if isActivity(e) && e.CreatedAt.After(r.lastActivity) {
		r.lastActivity = e.CreatedAt
	}
	return r
}

// isActivity says whether the user was there: not when a refresh was refused, nor
// when the session was ended from elsewhere.
func isActivity(e *session.Event) bool {
	return e.Success && (e.Ends == "" || e.Ends == session.EndLogout)
}

// merge does to r what merge_user_sessions would do with o to a row that has r.
func (r *sessionRow) merge(o *sessionRow) {
	if !r.fromLogin {
		for _, c := range []struct{ to, from *string }{
			{&r.deviceInfo, &o.deviceInfo},
			{&r.deviceID, &o.deviceID},
			{&r.devicePlatform, &o.devicePlatform},
			{&r.ip, &o.ip},
			{&r.country, &o.country},
			{&r.asn, &o.asn},
			{&r.userAgent, &o.userAgent},
			{&r.clientID, &o.clientID},
			{&r.scope, &o.scope},
			{&r.amr, &o.amr},
			{&r.absoluteExpiresAt, &o.absoluteExpiresAt},
			{&r.idle, &o.idle},
			{&r.grantID, &o.grantID},
		} {
			if o.fromLogin || *c.to == "" {
				*c.to = *c.from
			}
		}
		r.fromLogin = o.fromLogin
	}
	if o.lastActivity.After(r.lastActivity) {
		r.lastActivity = o.lastActivity
	}
	if o.expiresAt.After(r.expiresAt) {
		r.expiresAt = o.expiresAt
	}
	if o.activeAt.After(r.activeAt) {
		r.activeAt = o.activeAt
	}
}

// users are the users of the batch's sessions, each once.
func (b *batch) users() []string {
	ids := make([]string, 0, len(b.sessions))
	for _, r := range b.sessions {
		ids = append(ids, r.userID)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

func (b *batch) sessionColumns() *columns {
	c := newColumns(21, len(b.sessions))
	for _, id := range slices.Sorted(maps.Keys(b.sessions)) {
		r := b.sessions[id]
		c.add(string(id), r.userID, r.token, r.deviceInfo, r.deviceID, r.devicePlatform, r.ip, r.userAgent,
			r.clientID, r.scope, r.amr, timeText(id.Time()), timeText(r.lastActivity), timeText(r.expiresAt),
			r.absoluteExpiresAt, strconv.FormatBool(r.fromLogin), r.idle, timeText(r.activeAt), r.grantID, r.country, r.asn)
	}
	return c
}

func (b *batch) endingColumns() *columns {
	c := newColumns(3, len(b.endings))
	for _, id := range slices.Sorted(maps.Keys(b.endings)) {
		e := &b.endings[id].Event
		c.add(string(id), timeText(e.CreatedAt), string(e.Ends))
	}
	return c
}

// counts says whether the entry, an ending, is the one that ended its session.
func (b *batch) counts(entry *Entry, ended map[session.ID]bool) bool {
	sid := entry.Event.SessionID
	return ended[sid] && b.endings[sid] == entry
}

func (b *batch) logColumns(ended map[session.ID]bool) *columns {
	c := newColumns(16, len(b.entries))
	for _, entry := range b.entries {
		e := &entry.Event
		id, token := e.ID, ""
		if e.SessionID != "" {
			token = b.sessions[e.SessionID].token
			if e.Ends != "" {
				if !b.counts(entry, ended) {
					continue
				}
				id = session.EndingID(e.SessionID)
			}
		}
		c.add(string(id), timeText(e.CreatedAt), e.UserID, string(e.SessionID), string(e.Action), token,
			ipText(e.Origin.IP), e.Origin.UserAgent, e.Device.String(), strconv.FormatBool(e.Success),
			e.Error, cmp.Or(e.Reason, string(e.Ends)), e.Origin.Country, numberText(int64(e.Origin.ASN)),
			numberText(int64(e.Risk.Score)), strings.Join(e.Risk.Signals, " "))
	}
	return c
}

// fingerprint returns a function that makes the session_token of a session. It
// is for one goroutine.
func (p *Postgres) fingerprint() func(session.ID) string {
	mac := hmac.New(sha256.New, p.key)
	return func(id session.ID) string {
		mac.Reset()
		mac.Write([]byte(id))
		return hex.EncodeToString(mac.Sum(nil))
	}
}

// ipText returns an address as inet takes it, and "" for anything else: what
// somebody claims to be an address never stops an event.
func ipText(s string) string {
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return ""
	}
	return addr.Unmap().WithZone("").String()
}

// numberText writes a number, and 0, which stands for none, as "".
func numberText(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}
