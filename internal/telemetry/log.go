// Package telemetry sets up what operators see of the gateway: the log and the
// metrics registry. It knows nothing about sessions; what there is to log and to
// count is with the packages that do it.
package telemetry

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"slices"
	"strings"
)

// NewLogger returns a logger that writes to w in the given format, json or text,
// from the given level on: debug, info, warn or error. Secrets do not get through
// it: see redact.
func NewLogger(w io.Writer, format, level string) (*slog.Logger, error) {
	var from slog.Level
	if err := from.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("telemetry: level is %q, want debug, info, warn or error", level)
	}
	opts := &slog.HandlerOptions{Level: from, ReplaceAttr: redact}
	switch format {
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	}
	return nil, fmt.Errorf("telemetry: format is %q, want json or text", format)
}

const redacted = "[redacted]"

// secretKeys are the names whose values are never logged, alone or as the last
// part of a longer name (access_token, client-secret).
var secretKeys = []string{"token", "password", "secret", "authorization", "cookie"}

// jwt matches what may be a token of ours or of anybody else: a JSON object in
// base64 begins with eyJ. It goes on for as long as the text could belong to it.
var jwt = regexp.MustCompile(`eyJ[A-Za-z0-9_\-+/=.%]*`)

// redact keeps secrets out of the log. It is a net below those who write log
// lines, who should not try: it replaces values by their names, and whatever in a
// text looks like a JWT. It sees every attribute, in groups too, and the message.
func redact(groups []string, a slog.Attr) slog.Attr {
	if isSecret(a.Key) || slices.ContainsFunc(groups, isSecret) {
		return slog.String(a.Key, redacted)
	}
	switch a.Value.Kind() {
	case slog.KindString:
		return redactText(a, a.Value.String())
	case slog.KindAny:
		return redactText(a, textOf(a.Value.Any()))
	}
	return a
}

func isSecret(key string) bool {
	key = strings.ToLower(key)
	return slices.ContainsFunc(secretKeys, func(secret string) bool { return strings.HasSuffix(key, secret) })
}

// redactText replaces the value only where its text has something to hide, so
// that all others keep their type.
func redactText(a slog.Attr, text string) slog.Attr {
	if !strings.Contains(text, "eyJ") {
		return a
	}
	return slog.String(a.Key, jwt.ReplaceAllLiteralString(text, redacted))
}

// textOf returns what a handler might write of the value: the text handler prints
// it, the JSON handler follows pointers as well.
func textOf(v any) string {
	switch v := v.(type) {
	case error:
		return v.Error()
	case []byte:
		return string(v)
	}
	text := fmt.Sprintf("%+v", v)
	if strings.Contains(text, "eyJ") {
		return text
	}
	encoded, err := json.Marshal(v)
	if err != nil {
		return text
	}
	return string(encoded)
}
