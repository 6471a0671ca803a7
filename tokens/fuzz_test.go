package tokens

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/session"
)

// FuzzVerify gives the verifier a stranger's text. It must not panic, and must
// accept nothing but a token that was issued, byte for byte.
func FuzzVerify(f *testing.F) {
	c := &clock{born.Add(time.Minute)}
	ring := must(NewKeyring(testKeys[HS256], testKeys[EdDSA], testKeys[ES256], testKeys[RS256]))
	verifier := must(NewVerifier(ring, testOptions(c)))
	issued := map[string]session.Token{}
	for _, key := range testKeys {
		issuer, _, _ := pair(f, key)
		for _, user := range []string{"user-42", "ünï", strings.Repeat("u", 255)} {
			for _, exp := range []time.Time{born.Add(time.Hour), born.Add(time.Second)} {
				token := testToken()
				token.UserID, token.ExpiresAt = user, exp
				raw := must(issuer.Sign(token))
				issued[raw] = token
				f.Add(raw)
				f.Add(raw + "=")
				f.Add(raw[:len(raw)-1])
				f.Add(key.header + "." + encode(`{"sub":"root"}`) + ".")
			}
		}
	}
	f.Add("..")
	f.Add("eyJhbGciOiJub25lIn0.e30.")

	f.Fuzz(func(t *testing.T, raw string) {
		token, err := verifier.Verify(raw)
		if errors.Is(err, session.ErrInvalidToken) {
			if token.UserID != "" {
				t.Errorf("refused and returned: %+v", token)
			}
			return
		}
		want, ok := issued[raw]
		if !ok {
			t.Fatalf("accepted, and never issued: %q (%v)", raw, err)
		}
		if !reflect.DeepEqual(token, want) {
			t.Errorf("got\n%+v, want\n%+v", token, want)
		}
		if expired := !c.t.Before(want.ExpiresAt); expired != errors.Is(err, session.ErrTokenExpired) {
			t.Errorf("error is %v for a token that expires at %v", err, want.ExpiresAt)
		}
	})
}

// FuzzClaims signs any payload, as a holder of the key could. What is accepted
// must be what encoding/json reads, must be accepted by golang-jwt, too, and
// must survive being signed again.
func FuzzClaims(f *testing.F) {
	key := testKeys[HS256]
	issuer, verifier, c := pair(f, key)
	good := toJSON(f, goodClaims())
	f.Add(good)
	f.Add(strings.Replace(good, `"sub"`, `"s\u0075b"`, 1))
	f.Add(strings.Replace(good, `"user-42"`, `"\ud800"`, 1))
	f.Add(strings.Replace(good, `"https://api.example.com"`, `["https://api.example.com","x"]`, 1))
	f.Add(strings.Replace(good, "{", `{"nbf":1772366400,"x":{"y":[1,2,{"z":null}]},`, 1))
	f.Add(strings.Replace(good, `"gen":3`, `"gen":-0`, 1))
	f.Add(`{"iss":null}`)

	f.Fuzz(func(t *testing.T, claims string) {
		raw := forge(t, key, ownHeader(t, key), claims)
		token, err := verifier.Verify(raw)
		if errors.Is(err, session.ErrInvalidToken) {
			return
		}
		read, written := members(t, claims), members(t, toJSON(t, issuer.claims(&token)))
		for name := range written {
			if name != "aud" && !reflect.DeepEqual(read[name], written[name]) {
				t.Errorf("%s is %v, encoding/json reads %v", name, written[name], read[name])
			}
		}
		if err == nil {
			if err := accepted(key, raw, c.t); err != nil {
				t.Errorf("accepted, and golang-jwt says %v", err)
			}
		}
		again, err := issuer.Sign(token)
		if err != nil {
			t.Fatalf("accepted, and can't be signed: %v", err)
		}
		if got, _ := verifier.Verify(again); !reflect.DeepEqual(got, token) {
			t.Errorf("signed again it is\n%+v, was\n%+v", got, token)
		}
	})
}

// members returns what encoding/json reads, less what is empty.
func members(t *testing.T, text string) map[string]any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var m map[string]any
	if err := d.Decode(&m); err != nil {
		t.Fatalf("encoding/json says %v", err)
	}
	for name, value := range m {
		switch v := value.(type) {
		case json.Number:
			if v == "-0" {
				m[name] = json.Number("0")
			}
		case []any:
			if len(v) == 0 {
				delete(m, name)
			}
		}
	}
	return m
}
