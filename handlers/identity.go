package handlers

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/sessiongate/sessiongate/session"
)

// Identity is the set of headers in which a gateway in front is told whom a
// request comes from. All of them are in every answer, empty where nothing is
// known: a gateway that copies them then overwrites what the client sent
// (CVE-2026-30851).
type Identity struct {
	names  []string // canonical
	values func(t *session.Token, to []string)
}

// The sets there are, by the name of the setting forward_auth.headers.
//
// A user id goes where programs look for what is unique, a username only where
// they look for what to show: somebody's username may be somebody else's id. We
// know no e-mail address; a username that looks like one need not be theirs.
var identities = map[string]*Identity{
	"own": {
		[]string{
			"X-Auth-Subject", "X-Auth-Session-Id", "X-Auth-Client-Id", "X-Auth-Scopes",
			"X-Auth-Amr", "X-Auth-Roles", "X-Auth-Username", "X-Auth-Expires",
		},
		func(t *session.Token, to []string) {
			to[0], to[1], to[2] = headerText(t.UserID, 0), headerText(string(t.SessionID), 0), headerText(t.ClientID, 0)
			to[3], to[4], to[5] = headerText(t.Scope, 0), headerList(t.AMR, ' '), headerList(t.Roles, ' ')
			to[6], to[7] = headerText(t.Username, 0), strconv.FormatInt(t.ExpiresAt.Unix(), 10)
		},
	},
	"oauth2-proxy": {
		[]string{
			"X-Auth-Request-User", "X-Auth-Request-Email", "X-Auth-Request-Groups", "X-Auth-Request-Preferred-Username",
		},
		func(t *session.Token, to []string) {
			to[0], to[2], to[3] = headerText(t.UserID, 0), headerList(t.Roles, ','), headerText(t.Username, 0)
		},
	},
	"authelia": {
		[]string{"Remote-User", "Remote-Groups", "Remote-Name", "Remote-Email"},
		func(t *session.Token, to []string) {
			to[0], to[1], to[2] = headerText(t.UserID, 0), headerList(t.Roles, ','), headerText(t.Username, 0)
		},
	},
}

// accessTokenHeader is one more of oauth2-proxy's. We never hand out tokens, so
// whoever believes in it must not get a client's.
const accessTokenHeader = "x-auth-request-access-token"

// NewIdentity returns the set of that name.
func NewIdentity(name string) (*Identity, error) {
	i, ok := identities[name]
	if !ok {
		return nil, fmt.Errorf("handlers: there are no identity headers called %q", name)
	}
	return i, nil
}

// Names returns the headers of the set, as they are written.
func (i *Identity) Names() []string { return slices.Clone(i.names) }

// Values returns what they say of the token's user, in the order of Names.
func (i *Identity) Values(t *session.Token) []string {
	values := make([]string, len(i.names))
	i.values(t, values)
	return values
}

func (i *Identity) set(h http.Header, t *session.Token) {
	values := i.Values(t)
	for n, name := range i.names {
		h[name] = values[n : n+1 : n+1]
	}
}

// Aliases are names under which a client may try to send an identity header of any
// set, in lower case: what is not being set itself, and the spellings with '_' and
// '.' that CGI and its heirs can't tell from it (CVE-2025-64484).
func (i *Identity) Aliases() []string {
	var aliases []string
	for _, set := range identities {
		for _, name := range set.names {
			name = strings.ToLower(name)
			if !i.sets(name) {
				aliases = append(aliases, name)
			}
			aliases = append(aliases, strings.ReplaceAll(name, "-", "_"), strings.ReplaceAll(name, "-", "."))
		}
	}
	aliases = append(aliases, accessTokenHeader)
	slices.Sort(aliases)
	return slices.Compact(aliases)
}

// IsAlias says whether a header, in lower case, could pass for an identity header
// and is not one that is being set.
func (i *Identity) IsAlias(header string) bool {
	if i.sets(header) {
		return false
	}
	plain := header
	if strings.ContainsAny(header, "_.") {
		plain = strings.NewReplacer("_", "-", ".", "-").Replace(header)
	}
	return plain == accessTokenHeader || isIdentity(plain)
}

func (i *Identity) sets(header string) bool {
	return slices.ContainsFunc(i.names, func(name string) bool { return strings.EqualFold(name, header) })
}

func isIdentity(header string) bool {
	for _, set := range identities {
		if set.sets(header) {
			return true
		}
	}
	return false
}

// headerText writes a text so that it arrives as it is and as no other: printable
// ASCII as it stands, all else percent-encoded, '%' itself too, and spaces at
// either end, which HTTP would trim. A separator is encoded as well, if there is
// one.
func headerText(s string, separator byte) string {
	if isPlain(s, separator) {
		return s
	}
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, len(s)+16)
	for i := range len(s) {
		c := s[i]
		end := c == ' ' && (i == 0 || i == len(s)-1)
		if c < ' ' || c > '~' || c == '%' || end || separator != 0 && c == separator {
			b = append(b, '%', hex[c>>4], hex[c&15])
			continue
		}
		b = append(b, c)
	}
	return string(b)
}

func isPlain(s string, separator byte) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '%' || separator != 0 && c == separator {
			return false
		}
	}
	return s == "" || s[0] != ' ' && s[len(s)-1] != ' '
}

func headerList(list []string, separator byte) string {
	switch len(list) {
	case 0:
		return ""
	case 1:
		return headerText(list[0], separator)
	}
	parts := make([]string, len(list))
	for i, s := range list {
		parts[i] = headerText(s, separator)
	}
	return strings.Join(parts, string(separator))
}
