package config

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Print writes the settings in force as YAML, in the order of the reference. It
// shows no secret: of a URL, all but the password; of another secret, its
// length; of a client, everything but the digests.
func (c Config) Print(w io.Writer) error {
	var b strings.Builder
	section := ""
	for _, f := range c.fields() {
		parent, name, nested := strings.Cut(f.key, ".")
		if !nested {
			fmt.Fprintf(&b, "%s: %s\n", parent, f.shown())
			continue
		}
		if parent != section {
			fmt.Fprintf(&b, "%s:\n", parent)
			section = parent
		}
		fmt.Fprintf(&b, "  %s: %s\n", name, f.shown())
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (f field) shown() string {
	switch v := f.value.Interface().(type) {
	case Secret:
		return strconv.Quote(hide(v, strings.HasSuffix(f.key, ".url")))
	case time.Duration:
		return durationText(v)
	case []Client:
		return showClients(v)
	case []SessionRule:
		return showRules(v)
	case []Webhook:
		return showWebhooks(v)
	default:
		b, err := json.Marshal(v) // JSON is YAML
		if err != nil {
			panic(fmt.Sprintf("config: print %s: %v", f.key, err))
		}
		return string(b)
	}
}

// hide returns what may be seen of a secret.
func hide(s Secret, isURL bool) string {
	if s == "" {
		return ""
	}
	u, err := url.Parse(string(s))
	if !isURL || err != nil || u.Host == "" {
		return fmt.Sprintf("(hidden, %d bytes)", len(s))
	}
	// Both drivers take settings from the query, the password among them.
	q := u.Query()
	for name := range q {
		if strings.Contains(strings.ToLower(name), "password") {
			q.Set(name, "xxxxx")
		}
	}
	u.RawQuery = q.Encode()
	return u.Redacted()
}

func showClients(clients []Client) string {
	if len(clients) == 0 {
		return "[]"
	}
	var b strings.Builder
	for _, c := range clients {
		fmt.Fprintf(&b, "\n  - {id: %q, secrets_sha256: [", c.ID)
		b.WriteString(strings.TrimSuffix(strings.Repeat(`"(hidden)", `, len(c.SecretsSHA256)), ", "))
		fmt.Fprintf(&b, "], allow: [%s]", strings.Join(c.Allow, ", "))
		if len(c.Scopes) > 0 {
			b.WriteString(", scopes: [" + quoteAll(c.Scopes) + "]")
		}
		if c.Passive {
			b.WriteString(", activity: false")
		}
		b.WriteString("}")
	}
	return b.String()
}

func showRules(rules []SessionRule) string {
	if len(rules) == 0 {
		return "[]"
	}
	var b strings.Builder
	for _, r := range rules {
		var parts []string
		for _, p := range []struct{ key, text string }{{"client", r.Client}, {"role", r.Role}} {
			if p.text != "" {
				parts = append(parts, p.key+": "+strconv.Quote(p.text))
			}
		}
		for _, p := range []struct {
			key   string
			limit *time.Duration
		}{
			{"ttl", r.TTL},
			{"idle_timeout", r.IdleTimeout},
			{"absolute_lifetime", r.AbsoluteLifetime},
			{"remember_lifetime", r.RememberLifetime},
		} {
			if p.limit != nil {
				parts = append(parts, p.key+": "+durationText(*p.limit))
			}
		}
		b.WriteString("\n  - {" + strings.Join(parts, ", ") + "}")
	}
	return b.String()
}

func quoteAll(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = strconv.Quote(s)
	}
	return strings.Join(quoted, ", ")
}

// durationText is a duration without the zeros that String adds: "30m", not "30m0s".
func durationText(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
