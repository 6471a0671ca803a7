package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/lib/pq"

	"github.com/sessiongate/sessiongate/session"
)

// ErrSchema says that Postgres refuses the statement, or us, whatever the data: a
// table, a column, a right or the database is missing, the password is wrong.
// Nothing helps but an operator; stop and keep everything.
var ErrSchema = errors.New("postgres does not fit")

// ErrExists says that the id or the identifier is taken.
var ErrExists = errors.New("exists already")

// ErrConflict says that the row is no longer what the caller had read.
var ErrConflict = session.ErrConflict

// fault is whose an error is.
type fault int

const (
	faultOther  fault = iota // nobody's that can be told: a bug, or the caller's own cancellation
	faultServer              // it could not say: try again later
	faultSchema              // it will never say yes until somebody mends it
	faultData                // this row's: another one would do
)

// pgError says what failed and wraps what a caller can act on. nil stays nil.
func pgError(what string, err error) error {
	if err == nil {
		return nil
	}
	switch f, _ := faultOf(err); f {
	case faultServer:
		return fmt.Errorf("store: %s: %w: %w", what, session.ErrUnavailable, err)
	case faultSchema:
		return fmt.Errorf("store: %s: %w: %w", what, ErrSchema, err)
	}
	return fmt.Errorf("store: %s: %w", what, err)
}

// faultOf says whose an error is, and the SQLSTATE if it came from the server.
func faultOf(err error) (f fault, sqlstate string) {
	if e := pq.As(err); e != nil {
		if e.Code == "23514" && e.Constraint == "" {
			// Not a check, but the bounds of a partition: the row's month was
			// made while it waited to get into the default partition.
			return faultServer, string(e.Code)
		}
		return faultOfState(string(e.Code)), string(e.Code)
	}
	var connect *connectError
	var network net.Error
	switch {
	case errors.Is(err, context.Canceled):
		return faultOther, ""
	case errors.As(err, &connect), errors.As(err, &network),
		errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, driver.ErrBadConn), errors.Is(err, sql.ErrConnDone), errors.Is(err, sql.ErrTxDone),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return faultServer, ""
	}
	return faultOther, ""
}

// faultOfState goes by the class, the first two characters (PostgreSQL, Appendix
// A). What is known neither to pass nor to be the data's fault is taken for a
// case for an operator: nothing is lost by waiting, and a row parked by mistake
// is missed.
func faultOfState(state string) fault {
	if state == "25006" { // read only: a standby, or a failover under way
		return faultServer
	}
	switch state[:min(len(state), 2)] {
	case "08", // connection exception
		"40", // transaction rollback: serialization failure, deadlock
		"53", // insufficient resources
		"55", // object not in prerequisite state: lock not available
		"57", // operator intervention: shutdown, starting up, canceled
		"58": // system error: input/output
		return faultServer
	case "21", // cardinality violation
		"22", // data exception
		"23", // integrity constraint violation
		"54": // program limit exceeded
		return faultData
	}
	return faultSchema
}
