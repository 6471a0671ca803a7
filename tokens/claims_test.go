package tokens

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

// What a holder of the key may write otherwise than Issuer does.
func TestVerifyAcceptsForeignSpelling(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		claims map[string]any
	}{
		{"as it is", nil},
		{"an array with our audience alone", map[string]any{"aud": []string{testAudience}}},
		{"an array with our audience among others", map[string]any{"aud": []string{"https://other.example.com", testAudience}}},
		{"a claim we do not know", map[string]any{"jwk": map[string]any{"sub": "root", "sid": []int{1}}, "Sub": "root", "nonce": nil}},
		{"an nbf in the past", map[string]any{"nbf": born.Unix()}},
	}
	key := testKeys[EdDSA]
	_, verifier, _ := pair(t, key)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			raw := forge(t, key, ownHeader(t, key), toJSON(t, with(tt.claims)))
			got, err := verifier.Verify(raw)
			if err != nil {
				t.Fatal(err)
			}
			if want := testToken(); !reflect.DeepEqual(got, want) {
				t.Errorf("got\n%+v, want\n%+v", got, want)
			}
		})
	}
}

func TestVerifyRefusesClaims(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		changes map[string]any
	}{
		{"iss of another", map[string]any{"iss": "https://evil.example.com"}},
		{"iss with a slash", map[string]any{"iss": testIssuer + "/"}},
		{"iss in another case", map[string]any{"iss": strings.ToUpper(testIssuer)}},
		{"iss a list", map[string]any{"iss": []string{testIssuer}}},
		{"iss empty", map[string]any{"iss": ""}},
		{"iss null", map[string]any{"iss": nil}},

		{"aud of another", map[string]any{"aud": "https://other.example.com"}},
		{"aud empty", map[string]any{"aud": ""}},
		{"aud null", map[string]any{"aud": nil}},
		{"aud a number", map[string]any{"aud": 1}},
		{"aud an object", map[string]any{"aud": map[string]any{testAudience: testAudience}}},
		{"aud an empty list", map[string]any{"aud": []string{}}},
		{"aud a list with an empty text", map[string]any{"aud": []string{""}}},
		{"aud a list of others", map[string]any{"aud": []string{"a", "b"}}},
		{"aud a list with a number beside ours", map[string]any{"aud": []any{testAudience, 1}}},
		{"aud a list with null beside ours", map[string]any{"aud": []any{nil, testAudience}}},
		{"aud a list in a list", map[string]any{"aud": []any{[]string{testAudience}}}},
		{"aud with a part of ours", map[string]any{"aud": testAudience[:10]}},
		{"aud with more than ours", map[string]any{"aud": testAudience + " x"}},

		{"sub empty", map[string]any{"sub": ""}},
		{"sub a number", map[string]any{"sub": 42}},
		{"sub null", map[string]any{"sub": nil}},
		{"sub a list", map[string]any{"sub": []string{"user-42"}}},
		{"sub with a control character", map[string]any{"sub": "a\nb"}},
		{"sub with NUL", map[string]any{"sub": "user-42\x00"}},
		{"sub with a space at its end", map[string]any{"sub": "user-42 "}},
		{"sub of 256 bytes", map[string]any{"sub": strings.Repeat("u", 256)}},

		{"sid empty", map[string]any{"sid": ""}},
		{"sid a number", map[string]any{"sid": 1}},
		{"sid a UUIDv4", map[string]any{"sid": "b4b0e6c5-3c9e-4c5a-9c7e-0123456789ab"}},
		{"sid cut short", map[string]any{"sid": "019ca9b0-c800-7abc-8def-0123456789a"}},
		{"sid extended", map[string]any{"sid": "019ca9b0-c800-7abc-8def-0123456789abc"}},
		{"sid in upper case", map[string]any{"sid": "019CA9B0-C800-7ABC-8DEF-0123456789AB"}},
		{"sid in braces", map[string]any{"sid": "{019ca9b0-c800-7abc-8def-0123456789ab}"}},
		{"sid a pattern", map[string]any{"sid": "*"}},

		{"jti empty", map[string]any{"jti": ""}},
		{"jti a number", map[string]any{"jti": 1}},
		{"client_id empty", map[string]any{"client_id": ""}},
		{"client_id a list", map[string]any{"client_id": []string{"sessiongate"}}},
		{"scope a list", map[string]any{"scope": []string{"openid"}}},
		{"amr a text", map[string]any{"amr": "pwd"}},
		{"amr a list of numbers", map[string]any{"amr": []int{1}}},
		{"amr with an empty text", map[string]any{"amr": []string{"pwd", ""}}},

		{"preferred_username a list", map[string]any{"preferred_username": []string{"ana"}}},
		{"preferred_username with a line break", map[string]any{"preferred_username": "ana\nroot"}},
		{"preferred_username of 321 bytes", map[string]any{"preferred_username": strings.Repeat("a", 321)}},
		{"roles a text", map[string]any{"roles": "admin"}},
		{"roles a list of numbers", map[string]any{"roles": []int{1}}},
		{"roles with an empty text", map[string]any{"roles": []string{"admin", ""}}},
		{"roles with a comma", map[string]any{"roles": []string{"user,admin"}}},
		{"roles with a space", map[string]any{"roles": []string{"user admin"}}},
		{"roles, 17 of them", map[string]any{"roles": strings.Fields(strings.Repeat("a ", 17))}},

		{"gen negative", map[string]any{"gen": -1}},
		{"gen a fraction", map[string]any{"gen": 1.5}},
		{"gen a text", map[string]any{"gen": "3"}},
		{"gen null", map[string]any{"gen": nil}},
		{"gen beyond 64 bits", map[string]any{"gen": rawJSON("9223372036854775808")}},
		{"gen with an exponent", map[string]any{"gen": rawJSON("3e0")}},
		{"gen with a point", map[string]any{"gen": rawJSON("3.0")}},

		{"exp a text", map[string]any{"exp": "1772368200"}},
		{"exp null", map[string]any{"exp": nil}},
		{"exp true", map[string]any{"exp": true}},
		{"exp zero", map[string]any{"exp": 0}},
		{"exp negative", map[string]any{"exp": -1}},
		{"exp a fraction", map[string]any{"exp": rawJSON("1772368200.5")}},
		{"exp 1e308", map[string]any{"exp": rawJSON("1e308")}},
		{"exp beyond the year 9999", map[string]any{"exp": maxTime + 1}},
		{"exp beyond 64 bits", map[string]any{"exp": rawJSON("99999999999999999999")}},
		{"exp a list", map[string]any{"exp": []int64{born.Add(time.Hour).Unix()}}},

		{"iat in the future", map[string]any{"iat": born.Add(61 * time.Second).Unix()}},
		{"iat far in the future", map[string]any{"iat": maxTime}},
		{"iat a text", map[string]any{"iat": "1772366400"}},
		{"iat zero", map[string]any{"iat": 0}},
		{"nbf in the future", map[string]any{"nbf": born.Add(61 * time.Second).Unix()}},
		{"nbf a text", map[string]any{"nbf": "1772366400"}},
		{"nbf null", map[string]any{"nbf": nil}},
		{"auth_time a text", map[string]any{"auth_time": "1772366400"}},
		{"auth_time negative", map[string]any{"auth_time": -5}},

		{"an iat in the future on an expired token", map[string]any{
			"iat": born.Add(time.Hour).Unix(), "exp": born.Add(-time.Hour).Unix(),
		}},
		{"another issuer on an expired token", map[string]any{
			"iss": "https://evil.example.com", "exp": born.Add(-time.Hour).Unix(),
		}},
	}
	for _, name := range required {
		tests = append(tests, struct {
			name    string
			changes map[string]any
		}{"no " + name, map[string]any{name: absent}})
	}
	eachKey(t, func(t *testing.T, key *Key) {
		_, verifier, _ := pair(t, key)
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				claims := with(tt.changes)
				for name, value := range claims {
					if value == absent {
						delete(claims, name)
					}
				}
				raw := forge(t, key, ownHeader(t, key), toJSON(t, claims))
				wantInvalid(t, verifier, raw)
				wantInvalid(t, verifier, raw) // nor from the cache
			})
		}
	})
}

// absent marks a claim that is left out.
var absent any = struct{ absent bool }{true}

// rawJSON is a value that is written as it stands.
type rawJSON string

func (r rawJSON) MarshalJSON() ([]byte, error) { return []byte(r), nil }

func TestVerifyRefusesPayloads(t *testing.T) {
	t.Parallel()
	good := toJSON(t, goodClaims())
	first := func(member string) string { return "{" + member + "," + good[1:] }
	last := func(member string) string { return good[:len(good)-1] + "," + member + "}" }
	tests := map[string]string{
		"sub twice": first(`"sub":"root"`), "sub twice, the other last": last(`"sub":"root"`),
		"sub twice, spelled otherwise": last(`"s\u0075b":"root"`), "the same sub twice": last(`"sub":"user-42"`),
		"exp twice": last(`"exp":4102444800`), "an unknown claim twice": last(`"x":1,"x":2`),
		"empty": "", "not JSON": "x", "null": "null", "a text": `"sub"`, "a list": "[" + good + "]", "a number": "1",
		"an empty object": "{}", "cut short": good[:len(good)-1], "two objects": good + good,
		"something after it": good + "x", "a comma after the last member": good[:len(good)-1] + ",}",
		"NUL after it": good + "\x00", "a byte order mark": "\ufeff" + good, "a comment": good + "//",
		"not UTF-8": strings.Replace(good, "user-42", "user-\xff", 1), "not UTF-8 in an unknown claim": last("\"x\":\"\xff\""), "a raw control character": strings.Replace(good, "user-42", "user\n42", 1),
		"claims by other names": strings.NewReplacer(`"sub"`, `"SUB"`, `"sid"`, `"Sid"`).Replace(good),
		"nested deeply":         last(`"x":` + strings.Repeat("[", 1200) + strings.Repeat("]", 1199)),
	}
	eachKey(t, func(t *testing.T, key *Key) {
		_, verifier, _ := pair(t, key)
		for name, payload := range tests {
			t.Run(name, func(t *testing.T) {
				wantInvalid(t, verifier, forge(t, key, ownHeader(t, key), payload))
			})
		}
	})
}
