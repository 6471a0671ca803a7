package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
)

const sampleJWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiJ9.c2lnbmF0dXJl"

// card prints and marshals its content, also behind a pointer.
type card struct{ Note *string }

func TestSecretsDoNotReachTheLog(t *testing.T) {
	t.Parallel()
	note := "see " + sampleJWT
	for name, write := range map[string]func(*slog.Logger){
		"in the message":       func(l *slog.Logger) { l.Info("got " + sampleJWT) },
		"in a value":           func(l *slog.Logger) { l.Info("m", "claim", sampleJWT) },
		"in an error":          func(l *slog.Logger) { l.Info("m", "err", fmt.Errorf("parse %s: bad", sampleJWT)) },
		"in a wrapped error":   func(l *slog.Logger) { l.Info("m", "err", errors.Join(errors.New("a"), errors.New(sampleJWT))) },
		"in bytes":             func(l *slog.Logger) { l.Info("m", "body", []byte(sampleJWT)) },
		"in a list":            func(l *slog.Logger) { l.Info("m", "args", []string{"x", sampleJWT}) },
		"in a map":             func(l *slog.Logger) { l.Info("m", "header", map[string][]string{"X": {sampleJWT}}) },
		"behind a pointer":     func(l *slog.Logger) { l.Info("m", "card", &card{Note: &note}) },
		"in a group":           func(l *slog.Logger) { l.WithGroup("g").Info("m", "v", sampleJWT) },
		"in a nested group":    func(l *slog.Logger) { l.Info("m", slog.Group("g", slog.String("v", sampleJWT))) },
		"in the logger's own":  func(l *slog.Logger) { l.With("v", sampleJWT).Info("m") },
		"named token":          func(l *slog.Logger) { l.Info("m", "token", "s3cr3t") },
		"named access_token":   func(l *slog.Logger) { l.Info("m", "access_token", "s3cr3t") },
		"named password":       func(l *slog.Logger) { l.Info("m", "password", "s3cr3t") },
		"named client-secret":  func(l *slog.Logger) { l.Info("m", "client-secret", []byte("s3cr3t")) },
		"named Authorization":  func(l *slog.Logger) { l.Info("m", "Authorization", "Basic s3cr3t") },
		"named Cookie":         func(l *slog.Logger) { l.Info("m", "Cookie", "sid=s3cr3t") },
		"named Set-Cookie":     func(l *slog.Logger) { l.Info("m", "Set-Cookie", []string{"sid=s3cr3t"}) },
		"inside a named group": func(l *slog.Logger) { l.Info("m", slog.Group("cookie", "name", "s3cr3t")) },
	} {
		for _, format := range []string{"json", "text"} {
			t.Run(name+", "+format, func(t *testing.T) {
				t.Parallel()
				var out bytes.Buffer
				log, err := NewLogger(&out, format, "info")
				if err != nil {
					t.Fatal(err)
				}
				write(log)
				for _, secret := range []string{"eyJ", "s3cr3t", "czNjcjN0" /* s3cr3t in base64 */, "c2lnbmF0"} {
					if strings.Contains(out.String(), secret) {
						t.Errorf("%q got through: %s", secret, out.String())
					}
				}
				if !strings.Contains(out.String(), redacted) {
					t.Errorf("nothing says that something was left out: %s", out.String())
				}
			})
		}
	}
}

func TestTheRestIsLeftAlone(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log, err := NewLogger(&out, "json", "info")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("parsed "+sampleJWT+" badly", "n", 7, "ok", true, "err", errors.New("plain"), "tags", []string{"a", "b"})
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	if got, want := line["msg"], "parsed "+redacted+" badly"; got != want {
		t.Errorf("msg = %q, want %q", got, want)
	}
	if line["n"] != 7.0 || line["ok"] != true || line["err"] != "plain" || len(line["tags"].([]any)) != 2 {
		t.Errorf("values lost their type: %v", line)
	}
}

func TestLevels(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log, err := NewLogger(&out, "text", "warn")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("quiet")
	log.Warn("loud")
	if got := out.String(); strings.Contains(got, "quiet") || !strings.Contains(got, "loud") {
		t.Errorf("from warn on, the log has %q", got)
	}
}

func TestWrongSettings(t *testing.T) {
	t.Parallel()
	if _, err := NewLogger(io.Discard, "xml", "info"); err == nil || !strings.Contains(err.Error(), "xml") {
		t.Errorf("format xml: error is %v", err)
	}
	if _, err := NewLogger(io.Discard, "json", "loud"); err == nil || !strings.Contains(err.Error(), "loud") {
		t.Errorf("level loud: error is %v", err)
	}
}
