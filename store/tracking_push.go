package store

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
)

// pushReader reads what Redis sends over the connection of a tracker: RESP3, as
// far as that connection sees it.
type pushReader struct{ in *bufio.Reader }

func newPushReader(conn net.Conn) *pushReader { return &pushReader{bufio.NewReaderSize(conn, 16<<10)} }

var errPush = errors.New("redis pushed what is no invalidation")

// Bounds of what is read: no key is longer (a user id has 255 bytes), and Redis
// tells of the keys of one turn at once.
const (
	maxPushedKey  = 64 << 10
	maxPushedKeys = 1 << 20
)

// reply reads the answer to a command, and returns the error that it may be.
func (r *pushReader) reply() error {
	kind, line, err := r.line()
	if err != nil {
		return err
	}
	return r.skip(kind, line)
}

// next reads one thing. Of a push it hands on the keys that have changed, or that
// all have; the answers to the heartbeats mean nothing.
func (r *pushReader) next(changed func(key string, all bool)) error {
	kind, line, err := r.line()
	if err != nil {
		return err
	}
	if kind != '>' {
		return r.skip(kind, line)
	}
	if n, err := strconv.Atoi(line); err != nil || n != 2 {
		return errPush
	}
	if name, err := r.bulk(); err != nil || name != "invalidate" {
		return errors.Join(errPush, err)
	}
	kind, line, err = r.line()
	switch {
	case err != nil:
		return err
	case kind == '_' || kind == '*' && line == "-1":
		changed("", true)
		return nil
	case kind != '*':
		return errPush
	}
	n, err := strconv.Atoi(line)
	if err != nil || n < 0 || n > maxPushedKeys {
		return errPush
	}
	for range n {
		key, err := r.bulk()
		if err != nil {
			return err
		}
		changed(key, false)
	}
	return nil
}

// line reads the kind and the rest of a line.
func (r *pushReader) line() (kind byte, rest string, err error) {
	line, err := r.in.ReadSlice('\n')
	if err != nil {
		return 0, "", err
	}
	if len(line) < 3 || line[len(line)-2] != '\r' {
		return 0, "", errProtocol
	}
	return line[0], string(line[1 : len(line)-2]), nil
}

func (r *pushReader) bulk() (string, error) {
	kind, line, err := r.line()
	if err != nil {
		return "", err
	}
	if kind != '$' {
		return "", errProtocol
	}
	return r.text(line)
}

func (r *pushReader) text(length string) (string, error) {
	n, err := strconv.Atoi(length)
	if err != nil || n < 0 || n > maxPushedKey {
		return "", errProtocol
	}
	b := make([]byte, n+2)
	if _, err := io.ReadFull(r.in, b); err != nil {
		return "", err
	}
	return string(b[:n]), nil
}

// skip passes over the rest of an answer.
func (r *pushReader) skip(kind byte, line string) error {
	things := 0
	switch kind {
	case '-':
		return redisError(line)
	case '$':
		if line == "-1" {
			return nil
		}
		_, err := r.text(line)
		return err
	case '*', '~', '%':
		n, err := strconv.Atoi(line)
		if err != nil || n < 0 || n > 1000 {
			return errProtocol
		}
		if things = n; kind == '%' {
			things = 2 * n
		}
	case '+', ':', '_', '#', ',':
	default:
		return fmt.Errorf("%w: a thing of kind %q", errProtocol, kind)
	}
	for range things {
		if err := r.reply(); err != nil {
			return err
		}
	}
	return nil
}
