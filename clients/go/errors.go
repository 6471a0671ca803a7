package sessiongate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ErrInactive is what a Verifier returns for a token that is known to be no good:
// expired, revoked, superseded, or never one.
var ErrInactive = errors.New("sessiongate: the token is not active")

// An Error is an answer of the gateway that is not a success.
type Error struct {
	Status     int           // HTTP
	Code       string        // stable, such as "invalid_credentials" or, on /oauth2/*, "invalid_client"
	Reason     string        // of a 401: why the session is over, such as "expired"
	Detail     string        // for people
	RequestID  string        // in the gateway's log
	RetryAfter time.Duration // 0: not said
}

func (e *Error) Error() string {
	text := fmt.Sprintf("sessiongate: the gateway answered %d", e.Status)
	if e.Code != "" {
		text += " " + e.Code
	}
	if e.Reason != "" {
		text += " (" + e.Reason + ")"
	}
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	return text
}

// Temporary says whether the same request may succeed later: an outage, or too
// many requests. It is never a reason to sign anybody out.
func (e *Error) Temporary() bool {
	switch e.Status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return e.Status >= 500
}

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 1 << 20

// readError makes an Error of an answer, whatever its body is: an own one's, an
// OAuth one (RFC 6749 §5.2), or a page of a proxy in between.
func readError(res *http.Response) *Error {
	e := &Error{
		Status: res.StatusCode, RequestID: res.Header.Get("X-Request-Id"),
		RetryAfter: retryAfter(res.Header.Get("Retry-After"), time.Now()),
	}
	media, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if media != "application/json" && !strings.HasSuffix(media, "+json") {
		return e
	}
	var body struct {
		Code, Reason, Detail string
		Error                string
		Description          string `json:"error_description"`
	}
	if json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(&body) == nil {
		e.Code, e.Reason, e.Detail = body.Code, body.Reason, body.Detail
		if e.Code == "" {
			e.Code, e.Detail = body.Error, body.Description
		}
	}
	return e
}

// retryAfter reads seconds or a date (RFC 9110 §10.2.3), an hour at most.
func retryAfter(value string, now time.Time) time.Duration {
	var d time.Duration
	if n, err := strconv.Atoi(value); err == nil {
		d = time.Duration(min(n, 3600)) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		d = at.Sub(now)
	}
	return min(max(d, 0), time.Hour)
}

// retryIn returns how long whoever met err should wait, a second if nothing says.
func retryIn(err error) time.Duration {
	var e *Error
	if errors.As(err, &e) && e.RetryAfter > 0 {
		return e.RetryAfter
	}
	return time.Second
}
