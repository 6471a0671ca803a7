package extauthz

import (
	"strings"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/sessiongate/sessiongate/handlers"
)

// headers are those of the request that Envoy asks about, by name in lower case,
// and its pseudo-headers under :method, :scheme, :authority and :path.
type headers map[string][]string

// read takes them in either of the forms in which Envoy sends them: one text a name
// or, with encode_raw_headers, every line by itself.
func read(r *authv3.AttributeContext_HttpRequest) headers {
	h := make(headers, len(r.GetHeaders())+len(r.GetHeaderMap().GetHeaders())+4)
	for name, value := range r.GetHeaders() {
		h.add(name, value)
	}
	for _, line := range r.GetHeaderMap().GetHeaders() {
		value := line.GetValue()
		if raw := line.GetRawValue(); len(raw) > 0 {
			value = string(raw)
		}
		h.add(line.GetKey(), value)
	}
	for name, value := range map[string]string{
		":method": r.GetMethod(), ":scheme": r.GetScheme(), ":authority": r.GetHost(), ":path": r.GetPath(),
	} {
		if value != "" {
			h[name] = []string{value}
		}
	}
	return h
}

func (h headers) add(name, value string) {
	name = strings.ToLower(name)
	h[name] = append(h[name], value)
}

func (h headers) get(name string) []string { return h[name] }

func (h headers) only(name string) string {
	if lines := h[name]; len(lines) == 1 {
		return lines[0]
	}
	return ""
}

func (h headers) navigation() handlers.Navigation {
	return handlers.Navigation{
		Method: h.only(":method"), Accept: h.only("accept"), FetchMode: h.only("sec-fetch-mode"),
		Scheme: h.only(":scheme"), Host: h.only(":authority"), URI: h.only(":path"),
	}
}
