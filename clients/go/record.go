package sessiongate

import (
	"encoding/json"
	"slices"
)

// held is what a client has of a session. It is never changed, only replaced.
type held struct {
	access, refresh string
	sid             string
	expiresAt       string // the gateway's text; compared with no clock
}

// same says whether both are the same rotation of the same session.
func same(a, b *held) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.access == b.access && a.refresh == b.refresh
}

// content is all of a store: the session, and tokens that have been signed out
// without the gateway knowing.
type content struct {
	held      *held
	signedOut []string
}

// maxSignedOut bounds the sign-outs that wait for a network.
const maxSignedOut = 5

// stored is the text of a store. All clients of sessiongate have the same form.
type stored struct {
	Version   int      `json:"v"`
	Access    string   `json:"access_token,omitempty"`
	Refresh   string   `json:"refresh_token,omitempty"`
	SessionID string   `json:"session_id,omitempty"`
	ExpiresAt string   `json:"expires_at,omitempty"`
	SignedOut []string `json:"signed_out,omitempty"`
}

// parseContent reads a text; what can't be read is nothing.
func parseContent(text string) content {
	var s stored
	if json.Unmarshal([]byte(text), &s) != nil || s.Version != 1 {
		return content{}
	}
	c := content{signedOut: last(s.SignedOut)}
	if s.Access != "" || s.Refresh != "" {
		c.held = &held{access: s.Access, refresh: s.Refresh, sid: s.SessionID, expiresAt: s.ExpiresAt}
	}
	return c
}

func (c content) String() string {
	if c.held == nil && len(c.signedOut) == 0 {
		return ""
	}
	s := stored{Version: 1, SignedOut: last(c.signedOut)}
	if h := c.held; h != nil {
		s.Access, s.Refresh, s.SessionID, s.ExpiresAt = h.access, h.refresh, h.sid, h.expiresAt
	}
	text, _ := json.Marshal(s) // strings and a number: it can't fail
	return string(text)
}

func last(tokens []string) []string { return tokens[max(0, len(tokens)-maxSignedOut):] }

// keeper reads and writes a Store. One that fails loses the session at the next
// start, and nothing before: what was known last is remembered here.
type keeper struct {
	store Store

	turn      chan struct{} // holds a value while somebody is at the store
	known     content
	unwritten bool // known should be in the store, and is not
}

func newKeeper(s Store) *keeper { return &keeper{store: s, turn: make(chan struct{}, 1)} }

func (k *keeper) read() content {
	k.turn <- struct{}{}
	defer func() { <-k.turn }()
	return k.look()
}

// write stores what change makes of what is there, unless it is false.
func (k *keeper) write(change func(was content) (content, bool)) {
	k.turn <- struct{}{}
	defer func() { <-k.turn }()
	now, changed := change(k.look())
	if !changed {
		return
	}
	k.known, k.unwritten = now, true
	if k.store.Save(now.String()) == nil {
		k.unwritten = false
	}
}

func (k *keeper) look() content {
	if k.unwritten {
		return k.known
	}
	// What can't be read now is not what is not there.
	if text, err := k.store.Load(); err == nil {
		k.known = parseContent(text)
	}
	return k.known
}

// keep stores h, and leaves the rest as it is.
func (k *keeper) keep(h *held) {
	k.write(func(was content) (content, bool) { return content{h, was.signedOut}, true })
}

// replace stores next in the place of sent, if that is still there, and returns
// what is: next as well if another instance has stored the same successor.
func (k *keeper) replace(sent, next *held) (now *held) {
	k.write(func(was content) (content, bool) {
		now = was.held
		switch {
		case was.held == nil:
			return was, false
		case same(was.held, sent):
			now = next
			return content{next, was.signedOut}, true
		case was.held.access == next.access:
			now = next
		}
		return was, false
	})
	return now
}

// remove takes mine out of the store, or any token of the session sid, and puts
// signedOut among those that the gateway has to be told of.
func (k *keeper) remove(mine *held, sid, signedOut string) {
	k.write(func(was content) (content, bool) {
		now := was
		if signedOut != "" {
			now.signedOut = append(slices.Clone(was.signedOut), signedOut)
		}
		over := was.held != nil && (same(was.held, mine) || sid != "" && was.held.sid == sid)
		if over {
			now.held = nil
		}
		return now, over || signedOut != ""
	})
}

// told forgets a token that the gateway has heard of.
func (k *keeper) told(token string) {
	k.write(func(was content) (content, bool) {
		rest := slices.DeleteFunc(slices.Clone(was.signedOut), func(t string) bool { return t == token })
		return content{was.held, rest}, len(rest) != len(was.signedOut)
	})
}
