package handlers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/sessiongate/sessiongate/internal/problem"
	"github.com/sessiongate/sessiongate/session"
)

// value is a member of a JSON object on its way into a request.
type value struct {
	name string // as the caller knows it: "device_info.name"
	raw  json.RawMessage
}

// members names the members that an object may have and takes their values. null
// stands for a member that is not there and is not handed on.
type members map[string]func(value) error

// readJSON reads the body as one JSON object of the given members. Other members
// are refused, and so are names that occur twice: whatever is ignored here is
// something that its sender believes in. A request without a body passes where
// it may: optional.
//
// Errors are the caller's: *problem.Invalid, *problem.MediaType,
// *http.MaxBytesError.
func readJSON(r *http.Request, optional bool, m members) error {
	body, err := io.ReadAll(r.Body)
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return err
	}
	if err != nil {
		return &problem.Invalid{Reason: "the body could not be read to its end"}
	}
	if len(body) == 0 {
		if optional {
			return nil
		}
		return &problem.Invalid{Reason: "the body must be a JSON object and is empty"}
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return &problem.MediaType{Want: "application/json"}
	}
	if err := checkJSON(body); err != nil {
		return err
	}
	return value{raw: bytes.TrimSpace(body)}.object(m)
}

// checkJSON reports the first place at which the body is not one JSON value in
// UTF-8 (RFC 8259 §8.1). encoding/json would put U+FFFD for what it can't read,
// and two user ids could become one. It bounds the depth as well, at 10,000.
func checkJSON(body []byte) error {
	if !utf8.Valid(body) {
		return &problem.Invalid{Reason: "the body must be UTF-8"}
	}
	var all json.RawMessage
	err := json.Unmarshal(body, &all)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return &problem.Invalid{Reason: fmt.Sprintf("the body is not valid JSON, at byte %d", syntax.Offset)}
	}
	if err != nil {
		return &problem.Invalid{Reason: "the body is not valid JSON"}
	}
	return nil
}

func (v value) invalid(reason string) error {
	name := v.name
	if name == "" {
		name = "the body"
	}
	return &problem.Invalid{Field: name, Reason: reason}
}

func (v value) is(first byte) bool { return v.raw[0] == first }

// object hands the members of an object to those who take them. v.raw is valid.
func (v value) object(m members) error {
	if !v.is('{') {
		return v.invalid("must be an object")
	}
	dec := json.NewDecoder(bytes.NewReader(v.raw))
	_, err := dec.Token()
	seen := make(map[string]bool, len(m))
	for err == nil && dec.More() {
		var key json.Token
		if key, err = dec.Token(); err != nil {
			break
		}
		name, _ := key.(string)
		member := value{name: name}
		if v.name != "" {
			member.name = v.name + "." + name
		}
		take, ok := m[name]
		switch {
		case !ok:
			member.name = session.CleanText(member.name, 40) // a stranger's
			return member.invalid("is not a field of this request")
		case seen[name]:
			return member.invalid("must not occur twice")
		}
		seen[name] = true
		if err = dec.Decode(&member.raw); err != nil {
			break
		}
		if string(member.raw) == "null" {
			continue
		}
		if err := take(member); err != nil {
			return err
		}
	}
	if err != nil { // checkJSON has been over it
		return v.invalid("is not valid JSON")
	}
	return nil
}

// text returns a string as it was meant: escapes that make no character are
// refused, not replaced.
func (v value) text() (string, error) {
	if !v.is('"') {
		return "", v.invalid("must be a string")
	}
	var s string
	if err := json.Unmarshal(v.raw, &s); err != nil {
		return "", v.invalid("must be a string")
	}
	if halfPair(v.raw) {
		return "", v.invalid("must not contain half of a surrogate pair")
	}
	return s, nil
}

// halfPair says whether a valid JSON string has an escape for half of a surrogate
// pair without its other half: encoding/json would put U+FFFD for it.
func halfPair(raw []byte) bool {
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		i++
		if raw[i] != 'u' {
			continue
		}
		first := codeUnit(raw[i+1:])
		i += 4
		if !utf16.IsSurrogate(first) {
			continue
		}
		rest := raw[i+1:]
		if !bytes.HasPrefix(rest, []byte(`\u`)) || utf16.DecodeRune(first, codeUnit(rest[2:])) == utf8.RuneError {
			return true
		}
		i += 6
	}
	return false
}

// codeUnit reads the four hex digits that b begins with.
func codeUnit(b []byte) rune {
	n, _ := strconv.ParseUint(string(b[:4]), 16, 16)
	return rune(n)
}

func (v value) flag() (bool, error) {
	switch string(v.raw) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, v.invalid("must be true or false")
}

// texts returns the strings of an array of at most most.
func (v value) texts(most int) ([]string, error) {
	var raws []json.RawMessage
	if !v.is('[') || json.Unmarshal(v.raw, &raws) != nil {
		return nil, v.invalid("must be an array of strings")
	}
	if len(raws) > most {
		return nil, v.invalid(fmt.Sprintf("must have at most %d elements", most))
	}
	list := make([]string, len(raws))
	for i, raw := range raws {
		var err error
		if list[i], err = (value{name: fmt.Sprintf("%s[%d]", v.name, i), raw: raw}).text(); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// take returns what puts a string into to.
func take(to *string) func(value) error {
	return func(v value) (err error) {
		*to, err = v.text()
		return err
	}
}

// takeClean is take for texts that are only ever shown: what would break a line
// or a store is left out, and so is what goes beyond limit bytes.
func takeClean(to *string, limit int) func(value) error {
	return func(v value) error {
		s, err := v.text()
		*to = session.CleanText(s, limit)
		return err
	}
}

func takeFlag(to *bool) func(value) error {
	return func(v value) (err error) {
		*to, err = v.flag()
		return err
	}
}

// takeDevice reads device_info: a text, which is the name, or an object.
func takeDevice(to *session.Device) func(value) error {
	return func(v value) error {
		if v.is('"') {
			return takeClean(&to.Name, session.MaxDeviceBytes)(v)
		}
		if !v.is('{') {
			return v.invalid("must be a string or an object with name, platform and id")
		}
		return v.object(members{
			"name":     takeClean(&to.Name, session.MaxDeviceBytes),
			"platform": takeClean(&to.Platform, session.MaxDeviceBytes),
			"id":       takeClean(&to.ID, session.MaxDeviceBytes),
		})
	}
}
