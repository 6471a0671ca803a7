package store

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/sessiongate/sessiongate/session"
)

// readAnswer reads the score and the four fields. An error of Redis about one
// question (a key of the wrong type) is that question's alone.
func (c *lane) readAnswer(q *lookup) error {
	score, listed, err := c.readBulk()
	if err != nil && !isRedisError(err) {
		return err
	}
	q.err = unavailable(err)
	if listed && err == nil {
		q.standing.expires, err = readNumber(score)
		q.err = unavailable(err)
	}
	if q.ends {
		if err := c.readEnds(q); err != nil {
			return err
		}
	}
	if q.whole {
		return c.readWhole(q, listed)
	}
	return c.readFields(q, listed)
}

// readEnds reads when the two keys will be gone. Redis tells of a key that has run
// out when it gets round to it, which may be seconds later.
func (c *lane) readEnds(q *lookup) error {
	q.standing.ends = math.MaxInt64 // both may have been told to stay, by hand
	for range 2 {
		line, err := c.readLine()
		if err != nil || line[0] != ':' {
			return errors.Join(err, errProtocol)
		}
		at, err := strconv.ParseInt(string(line[1:]), 10, 64)
		if err != nil {
			return errProtocol
		}
		if at >= 0 {
			q.standing.ends = min(q.standing.ends, at)
		}
	}
	return nil
}

func (c *lane) readFields(q *lookup, listed bool) error {
	line, err := c.readLine()
	switch {
	case isRedisError(err):
		q.err = unavailable(err)
		return nil
	case err != nil:
		return err
	case string(line) != "*4":
		return errProtocol
	}
	q.standing.generation = -1
	for _, name := range [...]byte{'u', 'g', 'r', 's'} {
		value, found, err := c.readBulk()
		if err != nil {
			return err
		}
		if found {
			q.take(name, value, listed)
		}
	}
	q.complete()
	return nil
}

// take reads a field of the session's hash into where it stands.
func (q *lookup) take(field byte, value []byte, listed bool) {
	var err error
	switch field {
	case 'u':
		q.standing.live = listed && string(value) == q.userID
	case 'g':
		q.standing.generation, err = readNumber(value)
	case 'r':
		q.standing.rotated, err = readNumber(value)
	case 's':
		q.standing.used = string(value) == "1"
	}
	if err != nil && listed { // else the session has ended, whatever is left of it
		q.err = unavailable(err)
	}
}

func (q *lookup) complete() {
	if q.standing.live && q.standing.generation < 0 && q.err == nil {
		q.err = unavailable(errors.New("the session has no generation"))
	}
}

// maxFields bounds what is read of a session's hash.
const maxFields = 64

// readWhole reads the fields with their names, and when the session was last seen and
// its user last active.
func (c *lane) readWhole(q *lookup, listed bool) error {
	line, err := c.readLine()
	switch {
	case isRedisError(err):
		q.err = unavailable(err)
	case err != nil:
		return err
	case line[0] != '*':
		return errProtocol
	default:
		n, err := strconv.Atoi(string(line[1:]))
		if err != nil || n < 0 || n > 2*maxFields || n%2 != 0 {
			return errProtocol
		}
		if err := c.readPairs(q, n/2, listed); err != nil {
			return err
		}
	}
	return c.readSeen(q)
}

// readSeen reads when the session was last used, and its user last active.
func (c *lane) readSeen(q *lookup) error {
	line, err := c.readLine()
	switch {
	case isRedisError(err):
		q.err = unavailable(err)
		return nil
	case err != nil:
		return err
	case string(line) != "*2":
		return errProtocol
	}
	for _, to := range []*string{&q.seen, &q.active} {
		value, _, err := c.readBulk()
		if err != nil {
			return err
		}
		*to = string(value)
	}
	return nil
}

func (c *lane) readPairs(q *lookup, pairs int, listed bool) error {
	q.standing.generation = -1
	q.hash = make(map[string]string, pairs)
	for range pairs {
		name, found, err := c.readBulk()
		if err != nil || !found {
			return errors.Join(err, errProtocol)
		}
		key := string(name)
		value, found, err := c.readBulk()
		if err != nil || !found {
			return errors.Join(err, errProtocol)
		}
		q.hash[key] = string(value)
		if len(key) == 1 {
			q.take(key[0], value, listed)
		}
	}
	q.complete()
	return nil
}

// redisError is an answer that begins with "-": Redis's word on one command.
type redisError string

func (e redisError) Error() string { return string(e) }

func isRedisError(err error) bool {
	var e redisError
	return errors.As(err, &e)
}

func unavailable(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", session.ErrUnavailable, err)
}

// readBulk reads a string, valid until the next read. found is false for the
// null that stands for what is not there.
func (c *lane) readBulk() (value []byte, found bool, err error) {
	line, err := c.readLine()
	if err != nil {
		return nil, false, err
	}
	if len(line) < 2 || line[0] != '$' {
		return nil, false, errProtocol
	}
	n, err := strconv.Atoi(string(line[1:]))
	switch {
	case err != nil || n > 4096:
		return nil, false, errProtocol
	case n < 0:
		return nil, false, nil
	}
	value, err = c.in.Peek(n + 2)
	if err != nil {
		return nil, false, err
	}
	_, err = c.in.Discard(n + 2)
	return value[:n], true, err
}

// readLine reads to the end of a line, without it.
func (c *lane) readLine() ([]byte, error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	if len(line) < 3 || line[len(line)-2] != '\r' {
		return nil, errProtocol
	}
	line = line[:len(line)-2]
	if line[0] == '-' {
		return nil, redisError(line[1:])
	}
	return line, nil
}
