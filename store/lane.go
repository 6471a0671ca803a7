package store

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessiongate/sessiongate/session"
)

// lane is one connection that carries lookups, in the protocol of Redis (RESP2).
type lane struct {
	conn  net.Conn // nil: to be dialed
	in    *bufio.Reader
	out   []byte
	trips uint64 // numbers the batches
	one   [1]*lookup
}

func newLane() *lane { return &lane{out: make([]byte, 0, 4096)} }

// errProtocol: what came back is not what was asked for.
var errProtocol = errors.New("redis answered out of turn")

// open makes sure that there is a connection, and says whether it is a fresh one.
func (c *lane) open(dial func(context.Context) (net.Conn, error), deadline time.Time) (fresh bool, err error) {
	if c.conn != nil {
		return false, nil
	}
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	conn, err := dial(ctx)
	if err != nil {
		return false, err
	}
	c.conn = conn
	if c.in == nil {
		c.in = bufio.NewReaderSize(conn, 16<<10)
	} else {
		c.in.Reset(conn)
	}
	return true, nil
}

// drop closes the connection: after any error there may be answers on the way
// that nobody must get.
func (c *lane) drop() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

// roundTrip asks all the questions at once and reads all the answers.
func (c *lane) roundTrip(batch []*lookup, deadline time.Time) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in a lookup: %v", p)
		}
		if err != nil {
			c.drop()
		}
	}()
	c.trips++
	c.out = c.out[:0]
	for _, q := range batch {
		c.out = appendQuestion(c.out, q)
	}
	c.out = appendCommand(c.out, 2, "ECHO")
	c.out = append(c.out, "$20\r\n"...)
	c.out = appendMark(c.out, c.trips)
	c.out = append(c.out, "\r\n"...)
	if err := c.conn.SetDeadline(deadline); err != nil {
		return err
	}
	if _, err := c.conn.Write(c.out); err != nil {
		return err
	}
	for _, q := range batch {
		if err := c.readAnswer(q); err != nil {
			return err
		}
	}
	return c.readMark()
}

func appendQuestion(b []byte, q *lookup) []byte {
	b = append(b, "*3\r\n$6\r\nZSCORE\r\n"...)
	b = appendKey(b, q.tag, userKind, q.userID)
	b = appendBulk(b, string(q.sid))
	if !q.whole {
		b = append(b, "*6\r\n$5\r\nHMGET\r\n"...)
		b = appendKey(b, q.tag, sessionKind, string(q.sid))
		return append(b, "$1\r\nu\r\n$1\r\ng\r\n$1\r\nr\r\n$1\r\ns\r\n"...)
	}
	b = append(b, "*2\r\n$7\r\nHGETALL\r\n"...)
	b = appendKey(b, q.tag, sessionKind, string(q.sid))
	b = append(b, "*4\r\n$5\r\nHMGET\r\n"...)
	b = appendKey(b, q.tag, seenKind, q.userID)
	b = appendBulk(b, string(q.sid))
	return appendBulk(b, string(q.sid)+activeMark(true))
}

// appendKey writes a key as keyspace spells it.
func appendKey(b []byte, tag, kind, id string) []byte {
	b = append(b, '$')
	b = strconv.AppendInt(b, int64(len(tag)+len(kind)+len(id)), 10)
	b = append(b, "\r\n"...)
	b = append(b, tag...)
	b = append(b, kind...)
	b = append(b, id...)
	return append(b, "\r\n"...)
}

func appendCommand(b []byte, parts int64, name string) []byte {
	b = append(b, '*')
	b = strconv.AppendInt(b, parts, 10)
	b = append(b, "\r\n"...)
	return appendBulk(b, name)
}

func appendBulk(b []byte, s string) []byte {
	b = append(b, '$')
	b = strconv.AppendInt(b, int64(len(s)), 10)
	b = append(b, "\r\n"...)
	b = append(b, s...)
	return append(b, "\r\n"...)
}

// appendMark writes the number of a batch in 20 digits.
func appendMark(b []byte, n uint64) []byte {
	for unit := uint64(1e19); unit > 0; unit /= 10 {
		b = append(b, byte('0'+n/unit%10))
	}
	return b
}

func (c *lane) readMark() error {
	got, _, err := c.readBulk()
	if err != nil {
		return err
	}
	var want [20]byte
	if !bytes.Equal(got, appendMark(want[:0], c.trips)) || c.in.Buffered() > 0 {
		return errProtocol
	}
	return nil
}

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
	if q.whole {
		return c.readWhole(q, listed)
	}
	return c.readFields(q, listed)
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
	if err != nil {
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

// dialLane returns a function that makes a connection as go-redis would: the
// same address, TLS, credentials, database.
func dialLane(o *redis.Options) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		conn, err := o.Dialer(ctx, o.Network, o.Addr)
		if err != nil {
			return nil, err
		}
		if err := greet(ctx, conn, o); err != nil {
			_ = conn.Close()
			return nil, err
		}
		return conn, nil
	}
}

// greet signs in and selects the database.
func greet(ctx context.Context, conn net.Conn, o *redis.Options) error {
	var hello []byte
	answers := 0
	if o.Password != "" {
		parts := []string{"AUTH", o.Username, o.Password}
		if o.Username == "" {
			parts = []string{"AUTH", o.Password}
		}
		hello = appendParts(hello, parts)
		answers++
	}
	if o.DB != 0 {
		hello = appendParts(hello, []string{"SELECT", strconv.Itoa(o.DB)})
		answers++
	}
	if answers == 0 {
		return nil
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	if _, err := conn.Write(hello); err != nil {
		return err
	}
	c := lane{in: bufio.NewReaderSize(conn, 512)}
	for range answers {
		if _, err := c.readLine(); err != nil {
			return err
		}
	}
	return nil
}

func appendParts(b []byte, parts []string) []byte {
	b = appendCommand(b, int64(len(parts)), parts[0])
	for _, p := range parts[1:] {
		b = appendBulk(b, p)
	}
	return b
}
