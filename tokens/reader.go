package tokens

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"
)

// reader walks over a text that json.Valid has vouched for: so it needs to find
// the next value, never to judge whether there is one. A method that reads a
// value of one kind reports false at a value of another, and then stays there.
//
// It exists because encoding/json lets the last of two members of the same name
// win, or takes 180 allocations to say that there were two. FuzzClaims holds it
// to what encoding/json reads.
type reader struct{ rest []byte }

// peek returns the first character of the next token, 0 at the end.
func (r *reader) peek() byte {
	r.rest = bytes.TrimLeft(r.rest, " \t\r\n")
	if len(r.rest) == 0 {
		return 0
	}
	return r.rest[0]
}

// take reads one character of punctuation, if it is c.
func (r *reader) take(c byte) bool {
	if r.peek() != c {
		return false
	}
	r.rest = r.rest[1:]
	return true
}

// cut reads the next n bytes.
func (r *reader) cut(n int) []byte {
	value := r.rest[:n]
	r.rest = r.rest[n:]
	return value
}

// text reads a string.
func (r *reader) text() (string, bool) {
	if r.peek() != '"' {
		return "", false
	}
	quoted := r.cut(quotedLen(r.rest))
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1]), true
	}
	var s string
	err := json.Unmarshal(quoted, &s)
	return s, err == nil
}

// texts reads an array of strings; nil if it is empty.
func (r *reader) texts() ([]string, bool) {
	if !r.take('[') {
		return nil, false
	}
	var texts []string
	for !r.take(']') {
		s, ok := r.text()
		if !ok {
			return nil, false
		}
		texts = append(texts, s)
		r.take(',')
	}
	return texts, true
}

// integer reads a whole number. It reports false for fractions and exponents,
// too, which RFC 7519 §2 would allow in times: Issuer writes none, and no two
// readers round alike.
func (r *reader) integer() (int64, bool) {
	if c := r.peek(); c != '-' && (c < '0' || c > '9') {
		return 0, false
	}
	n, err := strconv.ParseInt(string(r.cut(scalarLen(r.rest))), 10, 64)
	return n, err == nil
}

// time reads a NumericDate.
func (r *reader) time() (time.Time, bool) {
	n, ok := r.integer()
	return time.Unix(n, 0).UTC(), ok && n > 0 && n <= maxTime
}

// skip reads a value of any kind.
func (r *reader) skip() {
	depth := 0
	for {
		switch r.peek() {
		case '"':
			r.cut(quotedLen(r.rest))
		case '{', '[':
			r.cut(1)
			depth++
		case '}', ']':
			r.cut(1)
			depth--
		case ':', ',':
			r.cut(1)
		case 0:
			return
		default:
			r.cut(scalarLen(r.rest))
		}
		if depth == 0 {
			return
		}
	}
}

// quotedLen returns the length of the string that b begins with, quotes
// included.
func quotedLen(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(b)
}

// scalarLen returns the length of the number or literal that b begins with.
func scalarLen(b []byte) int {
	if i := bytes.IndexAny(b, ",:]} \t\r\n"); i > 0 {
		return i
	}
	return len(b)
}
