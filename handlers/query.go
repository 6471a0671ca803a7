package handlers

import (
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/sessiongate/sessiongate/internal/problem"
)

// Bounds of the limit of a page.
const (
	maxLimit     = 200
	defaultLimit = 50
)

// query reads parameters and keeps the first thing that is wrong with them.
// Parameters that nobody asks for are ignored: caches and proxies add some.
type query struct {
	values url.Values
	err    error
}

func newQuery(c *gin.Context) *query {
	values, err := url.ParseQuery(c.Request.URL.RawQuery)
	q := &query{values: values}
	if err != nil {
		q.err = &problem.Invalid{Reason: "the query can't be decoded"}
	}
	return q
}

func (q *query) fail(name, reason string) {
	if q.err == nil {
		q.err = &problem.Invalid{Field: name, Reason: reason}
	}
}

// text returns the parameter; "" if it is not there.
func (q *query) text(name string) string {
	if len(q.values[name]) > 1 {
		q.fail(name, "must not be sent twice")
	}
	return q.values.Get(name)
}

func (q *query) limit() int {
	s := q.text("limit")
	if s == "" {
		return defaultLimit
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > maxLimit || strconv.Itoa(n) != s {
		q.fail("limit", fmt.Sprintf("must be a whole number from 1 to %d", maxLimit))
	}
	return n
}

func (q *query) time(name string) time.Time {
	s := q.text(name)
	if s == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		q.fail(name, "must be a time as in RFC 3339, such as 2026-11-24T12:00:00Z")
	}
	return t.UTC()
}

// cursor returns the place at which a page begins: at the beginning of the first
// of the lists if the caller names none.
func (q *query) cursor(lists ...list) cursor {
	s := q.text("cursor")
	if s == "" {
		return cursor{list: lists[0]}
	}
	c, err := parseCursor(s, lists...)
	if err != nil && q.err == nil {
		q.err = err
	}
	return c
}
