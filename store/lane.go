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
	if q.ends {
		b = append(b, "*2\r\n$11\r\nPEXPIRETIME\r\n"...)
		b = appendKey(b, q.tag, userKind, q.userID)
		b = append(b, "*2\r\n$11\r\nPEXPIRETIME\r\n"...)
		b = appendKey(b, q.tag, sessionKind, string(q.sid))
	}
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
