package store

import (
	"database/sql/driver"
	"strings"
	"time"
)

// columns are the parameters of a statement that takes a batch: one array a
// column, of texts that the statement casts.
type columns struct {
	arrays []textArray
	rows   int
}

// newColumns returns n empty columns with room for rows of ordinary texts.
func newColumns(n, rows int) *columns {
	const room = 32
	c := &columns{arrays: make([]textArray, n)}
	buf := make([]byte, n*rows*room)
	for i := range c.arrays {
		c.arrays[i] = buf[i*rows*room : i*rows*room : (i+1)*rows*room]
	}
	return c
}

func (c *columns) add(row ...string) {
	c.rows++
	for i, v := range row {
		c.arrays[i].add(v)
	}
}

func (c *columns) args() []any {
	args := make([]any, len(c.arrays))
	for i := range c.arrays {
		args[i] = c.arrays[i]
	}
	return args
}

// textArray is an array as Postgres writes it, but for the brace at the end.
// pq.StringArray needs all the texts first and takes twice as long.
type textArray []byte

func (a *textArray) add(s string) {
	b := *a
	if len(b) == 0 {
		b = append(b, '{', '"')
	} else {
		b = append(b, ',', '"')
	}
	if strings.IndexByte(s, '"') < 0 && strings.IndexByte(s, '\\') < 0 {
		b = append(b, s...)
	} else {
		for i := range len(s) {
			if s[i] == '"' || s[i] == '\\' {
				b = append(b, '\\')
			}
			b = append(b, s[i])
		}
	}
	*a = append(b, '"')
}

// Value implements driver.Valuer.
func (a textArray) Value() (driver.Value, error) {
	if len(a) == 0 {
		return "{}", nil
	}
	return string(append(a, '}')), nil
}

// timeText writes a time for a timestamptz, and the zero time as "".
func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000000Z")
}
