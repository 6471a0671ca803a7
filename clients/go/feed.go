package sessiongate

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"
)

// A Revocation is a session that ended before its time.
type Revocation struct {
	SessionID string    `json:"session_id"`
	UserID    string    `json:"user_id"`
	Reason    string    `json:"reason"` // such as "logout"; expect more
	RevokedAt time.Time `json:"revoked_at"`
	Until     time.Time `json:"until"` // after that no token of the session is good anyway
}

// feed follows GET /revocations as server-sent events, for ever.
type feed struct {
	request func(ctx context.Context) (*http.Request, error) // with credentials
	client  *http.Client
	silence time.Duration // the longest between two signs of life
	pause   func(ctx context.Context, d time.Duration)
	on      func(Revocation) // before the answers' own bookkeeping returns; may be nil
	answers *answers

	cursor string
	whole  bool // what was missed before this connection has been heard
}

// run connects again and again until ctx is done, soon at first and every half
// minute in the end.
func (f *feed) run(ctx context.Context) {
	f.answers.reset() // no cursor yet
	for failures := 0; ctx.Err() == nil; failures++ {
		heard, err := f.connect(ctx)
		f.answers.doubt()
		if heard {
			failures = 0
		}
		wait := time.Duration(float64(backoff(failures)) * (0.5 + rand.Float64()/2))
		var refused *Error
		if errors.As(err, &refused) && refused.RetryAfter > wait {
			wait = refused.RetryAfter
		}
		f.pause(ctx, wait)
	}
}

func backoff(failures int) time.Duration {
	return min(500*time.Millisecond<<min(failures, 10), 30*time.Second)
}

// connect reads one stream to its end. heard says whether it said anything.
func (f *feed) connect(ctx context.Context) (heard bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watchdog := time.AfterFunc(f.silence, cancel)
	defer watchdog.Stop()

	req, err := f.request(ctx)
	if err != nil {
		return false, err
	}
	req.Header.Set("Accept", "text/event-stream")
	if f.cursor != "" {
		req.Header.Set("Last-Event-ID", f.cursor)
	}
	res, err := f.client.Do(req)
	if err != nil {
		return false, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return false, readError(res)
	}
	blocks := newBlocks(res.Body)
	f.whole = false
	for {
		b, err := blocks.next()
		if err != nil {
			return heard, err
		}
		heard = true
		watchdog.Reset(f.silence)
		if err := f.take(b); err != nil {
			return heard, err
		}
	}
}

// take does what one block says. What was missed comes before the first
// heartbeat: only from then on is the feed whole.
func (f *feed) take(b block) error {
	switch {
	case b.event == "revocation":
		var r Revocation
		if err := json.Unmarshal(b.data, &r); err != nil || r.SessionID == "" {
			f.answers.reset() // somebody ended, and there is no telling who
			return fmt.Errorf("sessiongate: an entry of the feed can't be read: %w", err)
		}
		f.answers.end(r.SessionID, r.Until)
		if f.on != nil {
			f.on(r)
		}
	case b.event == "reset":
		f.answers.reset()
	case b.comment:
		f.whole = true
	}
	if f.whole {
		f.answers.vouch(f.silence)
	}
	if b.id != "" {
		f.cursor = b.id
	}
	return nil
}

// block is what stands between two empty lines of an event stream (HTML Living
// Standard §9.2.5), as far as the feed uses it.
type block struct {
	event, id string
	data      []byte
	comment   bool
}

type blocks struct{ lines *bufio.Scanner }

func newBlocks(r io.Reader) blocks {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 4096), 64<<10)
	return blocks{lines: s}
}

func (b blocks) next() (block, error) {
	var out block
	for b.lines.Scan() {
		line := b.lines.Bytes()
		if len(line) == 0 {
			return out, nil
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(name) {
		case "":
			out.comment = true
		case "event":
			out.event = string(value)
		case "id":
			out.id = string(value)
		case "data":
			out.data = bytes.Clone(value)
		}
	}
	if err := b.lines.Err(); err != nil {
		return block{}, err
	}
	return block{}, io.ErrUnexpectedEOF
}

// sleep waits, or until ctx is done.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
