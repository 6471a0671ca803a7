package handlers

import (
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// A header's value arrives as it was written, and no two texts have the same.
func TestHeaderText(t *testing.T) {
	for s, want := range map[string]string{
		"":             "",
		"user 42":      "user 42",
		" a ":          "%20a%20",
		" ":            "%20",
		"100%":         "100%25",
		"%20a":         "%2520a",
		"a\r\nX: y":    "a%0D%0AX: y",
		"a\tb\x00\x7f": "a%09b%00%7F",
		"Ü":            "%C3%9C",
		"\xff":         "%FF",
		`"a", b`:       `"a", b`,
	} {
		if got := headerText(s, 0); got != want {
			t.Errorf("%q is %q, want %q", s, got, want)
		}
	}
	for separator, want := range map[byte]string{',': "a%2Cb,c d", ' ': "a,b c%20d"} {
		if got := headerList([]string{"a,b", "c d"}, separator); got != want {
			t.Errorf("list is %q, want %q", got, want)
		}
	}
	if headerList(nil, ',') != "" || headerList([]string{"a,b"}, ',') != "a%2Cb" {
		t.Error("short lists")
	}
}

func TestAliases(t *testing.T) {
	for name, set := range identities {
		aliases := set.Aliases()
		for _, h := range set.Names() {
			if slices.Contains(aliases, strings.ToLower(h)) || set.IsAlias(strings.ToLower(h)) {
				t.Errorf("%s: %s is set, and an alias", name, h)
			}
		}
		for _, alias := range aliases {
			if !set.IsAlias(alias) {
				t.Errorf("%s: %s is in the list and no alias", name, alias)
			}
		}
		for _, h := range []string{"x-auth-token", "x-authorization", "remote-addr", "remote-user-agent", "authorization", "cookie"} {
			if set.IsAlias(h) {
				t.Errorf("%s: %s is taken for an alias", name, h)
			}
		}
	}
	if _, err := NewIdentity("traefik"); err == nil {
		t.Error("there is a set that there is not")
	}
}

func TestAnswerForms(t *testing.T) {
	const jwt = "application/token-introspection+jwt"
	for accept, want := range map[string][2]bool{
		"":                               {false, true},
		"*/*":                            {false, true},
		"application/json":               {false, true},
		"text/html":                      {false, true}, // disregarded
		jwt:                              {true, false},
		strings.ToUpper(jwt):             {true, false},
		jwt + ";q=0":                     {false, false},
		jwt + ", application/json":       {true, true},
		jwt + ";q=0.5, application/json": {false, true},
		jwt + ", */*;q=0.1":              {true, true},
		jwt + ", */*;q=0.1, application/json;q=0": {true, false},
		jwt + ";q=nonsense":                       {true, false},
		"application/other+jwt":                   {false, false},
	} {
		r := httptest.NewRequest("POST", "/", nil)
		if accept != "" {
			r.Header.Set("Accept", accept)
		}
		signed, plain := answerForms(r)
		if signed != want[0] || signed && plain != want[1] { // plain is for those who may get none signed
			t.Errorf("%q: signed %v, plain %v", accept, signed, plain)
		}
	}
}
