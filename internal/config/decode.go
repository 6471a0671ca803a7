package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// decode writes the value that was read to the setting, or notes what is wrong
// with it. YAML must give the right type; a variable is text for every type.
func (r *reader) decode(f field, source string) {
	raw := r.k.Get(f.key)
	text, isText := raw.(string)
	fromEnv := r.fromEnv[f.key] && isText
	var want string
	switch at := f.value.Addr().Interface().(type) {
	case *string:
		want = assign(at, text, isText, "text (in quotes)")
	case *Secret:
		want = assign(at, Secret(text), isText, "text (in quotes)")
	case *bool:
		v, ok := raw.(bool)
		if fromEnv {
			ok = text == "true" || text == "false"
			v = text == "true"
		}
		want = assign(at, v, ok, "true or false")
	case *int:
		v, ok := raw.(int)
		if fromEnv {
			n, err := strconv.Atoi(text)
			v, ok = n, err == nil
		}
		want = assign(at, v, ok, "a whole number")
	case *float64:
		v, ok := number(raw, text, fromEnv)
		want = assign(at, v, ok, "a number")
	case *time.Duration:
		v, err := time.ParseDuration(text)
		want = assign(at, v, isText && err == nil, `a duration with its unit, such as "30s" or "1h30m"`)
	case *[]string:
		v, ok := texts(raw)
		if fromEnv {
			v, ok = split(text), true
		}
		want = assign(at, v, ok, "a list of texts")
	case *[]Client:
		want = decodeList(at, raw, text, fromEnv, wantClients, decodeClient)
	case *[]SessionRule:
		want = decodeList(at, raw, text, fromEnv, wantRules, decodeRule)
	case *[]Webhook:
		want = decodeList(at, raw, text, fromEnv, wantWebhooks, decodeWebhook)
	case *[]RoutePolicy:
		want = decodeList(at, raw, text, fromEnv, wantPolicies, decodePolicy)
	default:
		panic(fmt.Sprintf("config: no decoder for %s of type %T", f.key, at))
	}
	if want != "" {
		p := Problem{Key: f.key, Source: source, Want: "want " + want}
		if !f.hidden() {
			p.Given = given(raw)
		}
		r.add(p)
	}
}

// assign stores v if it is good; else it returns what would have been.
func assign[T any](at *T, v T, ok bool, want string) string {
	if !ok {
		return want
	}
	*at = v
	return ""
}

func number(raw any, text string, fromEnv bool) (float64, bool) {
	if fromEnv {
		v, err := strconv.ParseFloat(text, 64)
		return v, err == nil
	}
	switch v := raw.(type) {
	case float64:
		return v, true
	case int:
		return float64(v), true
	}
	return 0, false
}

func texts(raw any) ([]string, bool) {
	list, ok := raw.([]any)
	v := make([]string, 0, len(list))
	for _, item := range list {
		s, isText := item.(string)
		ok = ok && isText
		v = append(v, s)
	}
	return v, ok
}

// split reads a list from a variable: "a, b".
func split(text string) []string {
	v := []string{}
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			v = append(v, item)
		}
	}
	return v
}

const (
	wantClients  = "a list of {id, secrets_sha256: [hex], allow: [introspect, sessions, revoke, feed]}"
	wantRules    = "a list of {client, role, ttl, idle_timeout, absolute_lifetime, remember_lifetime}"
	wantWebhooks = "a list of {name, url, secrets: [whsec_…], kinds: [], format: standard or caep}"
	wantPolicies = "a list of {name, scopes: [], roles: []}"
)

// decodeList reads a list of maps from YAML, or from a variable that holds it as
// JSON. It returns what would have been right, "" if it was.
func decodeList[T any](
	at *[]T, raw any, text string, fromEnv bool, want string, decode func(map[string]any) (T, string),
) string {
	if fromEnv {
		if err := json.Unmarshal([]byte(text), &raw); err != nil {
			return want + ", as JSON: " + err.Error()
		}
	}
	items, ok := raw.([]any)
	if !ok {
		return want
	}
	list := make([]T, 0, len(items))
	for i, item := range items {
		wrong := "is not a map"
		var v T
		if m, ok := item.(map[string]any); ok {
			v, wrong = decode(m)
		}
		if wrong != "" {
			return fmt.Sprintf("%s; number %d: %s", want, i+1, wrong)
		}
		list = append(list, v)
	}
	*at = list
	return ""
}

func decodeClient(m map[string]any) (c Client, wrong string) {
	for key, raw := range m {
		var ok bool
		switch key {
		case "id":
			c.ID, ok = raw.(string)
		case "secrets_sha256":
			c.SecretsSHA256, ok = texts(raw)
		case "allow":
			c.Allow, ok = texts(raw)
		case "scopes":
			c.Scopes, ok = texts(raw)
		case "activity":
			var active bool
			active, ok = raw.(bool)
			c.Passive = !active
		default:
			return c, fmt.Sprintf("has no setting %q", key)
		}
		if !ok {
			return c, key + " is of another type"
		}
	}
	return c, ""
}

func decodePolicy(m map[string]any) (p RoutePolicy, wrong string) {
	for key, raw := range m {
		var ok bool
		switch key {
		case "name":
			p.Name, ok = raw.(string)
		case "scopes":
			p.Scopes, ok = texts(raw)
		case "roles":
			p.Roles, ok = texts(raw)
		default:
			return p, fmt.Sprintf("has no setting %q", key)
		}
		if !ok {
			return p, key + " is of another type"
		}
	}
	return p, ""
}

func decodeRule(m map[string]any) (r SessionRule, wrong string) {
	for key, raw := range m {
		var ok bool
		switch key {
		case "client":
			r.Client, ok = raw.(string)
		case "role":
			r.Role, ok = raw.(string)
		case "ttl":
			r.TTL, ok = optionalDuration(raw)
		case "idle_timeout":
			r.IdleTimeout, ok = optionalDuration(raw)
		case "absolute_lifetime":
			r.AbsoluteLifetime, ok = optionalDuration(raw)
		case "remember_lifetime":
			r.RememberLifetime, ok = optionalDuration(raw)
		default:
			return r, fmt.Sprintf("has no setting %q", key)
		}
		if !ok {
			return r, key + ` is neither text nor a duration with its unit, such as "15m"`
		}
	}
	return r, ""
}

func optionalDuration(raw any) (*time.Duration, bool) {
	text, _ := raw.(string)
	d, err := time.ParseDuration(text)
	return &d, err == nil
}

// given is a value as the reader of an error message will recognize it.
func given(raw any) string {
	switch v := raw.(type) {
	case nil:
		return "nothing"
	case string:
		return strconv.Quote(clip(v))
	case time.Duration:
		return durationText(v)
	}
	if reflect.ValueOf(raw).Kind() == reflect.Map {
		return "a section"
	}
	return clip(fmt.Sprint(raw))
}

func clip(s string) string {
	const limit = 100
	if len(s) > limit {
		return s[:limit] + "…"
	}
	return s
}
