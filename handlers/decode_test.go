package handlers

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/sessiongate/sessiongate/internal/problem"
	"github.com/sessiongate/sessiongate/session"
)

type decoded struct {
	Text   string
	Clean  string
	Flag   bool
	List   []string
	Device session.Device
}

func (d *decoded) members() members {
	return members{
		"text": take(&d.Text), "clean": takeClean(&d.Clean, 5), "flag": takeFlag(&d.Flag),
		"list": takeMethods(&d.List), "device_info": takeDevice(&d.Device),
	}
}

func jsonRequest(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return r
}

func TestReadJSON(t *testing.T) {
	tests := []struct {
		name, body string
		want       decoded
		err        string // what the caller is told
	}{
		{"nothing of it", `{}`, decoded{}, ""},
		{"space around it", " \n{ \"text\" : \"a\" } \t", decoded{Text: "a"}, ""},
		{
			"all of it", `{"text":"é\n\u0000","clean":"\u0000ab  cdefg","flag":true,"list":["pwd"],"device_info":"Ana's"}`,
			decoded{Text: "é\n\x00", Clean: "ab  c", Flag: true, List: []string{"pwd"}, Device: session.Device{Name: "Ana's"}},
			"",
		},
		{
			"device as an object", `{"device_info":{"name":"a\u202eb","platform":" ios ","id":"x"}}`,
			decoded{Device: session.Device{Name: "ab", Platform: "ios", ID: "x"}},
			"",
		},
		{"nulls", `{"text":null,"flag":null,"device_info":{"name":null},"list":null}`, decoded{}, ""},
		{"astral character", `{"text":"\ud83d\ude00"}`, decoded{Text: "😀"}, ""},
		{"replacement character that was sent", `{"text":"\ufffd` + "\ufffd" + `"}`, decoded{Text: "\ufffd\ufffd"}, ""},
		{"escaped backslash before u", `{"text":"\\ud800"}`, decoded{Text: `\ud800`}, ""},

		{"empty", ``, decoded{}, "the body must be a JSON object and is empty"},
		{"only space", ` `, decoded{}, "the body is not valid JSON, at byte 1"},
		{"an array", `[]`, decoded{}, "the body must be an object"},
		{"null", `null`, decoded{}, "the body must be an object"},
		{"a text", `"x"`, decoded{}, "the body must be an object"},
		{"cut off", `{"text":"a`, decoded{}, "the body is not valid JSON, at byte 10"},
		{"something after it", `{} {}`, decoded{}, "the body is not valid JSON, at byte 4"},
		{"single quotes", `{'text':1}`, decoded{}, "the body is not valid JSON, at byte 2"},
		{"byte order mark", "\ufeff{}", decoded{}, "the body is not valid JSON, at byte 1"},
		{"not UTF-8", "{\"text\":\"\xff\"}", decoded{}, "the body must be UTF-8"},
		{"very deep", strings.Repeat("[", 20_000), decoded{}, "the body is not valid JSON, at byte 10001"},
		{
			"deep in a field that is not there", `{"x":` + strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000) + `}`,
			decoded{},
			"x is not a field of this request",
		},
		{"unknown field", `{"texts":1}`, decoded{}, "texts is not a field of this request"},
		{"another case", `{"Text":"a"}`, decoded{}, "Text is not a field of this request"},
		{
			"unknown field to break the log", `{"a\nb\u001b[31m` + strings.Repeat("x", 99) + `":1}`,
			decoded{},
			"ab[31m" + strings.Repeat("x", 34) + " is not a field of this request",
		},
		{"unknown field of the device", `{"device_info":{"model":"x"}}`, decoded{}, "device_info.model is not a field of this request"},
		{"twice", `{"text":"a","text":"a"}`, decoded{Text: "a"}, "text must not occur twice"},
		{"twice, one spelled with an escape", `{"text":"a","\u0074ext":"a"}`, decoded{Text: "a"}, "text must not occur twice"},
		{"number for a text", `{"text":1}`, decoded{}, "text must be a string"},
		{"text for a flag", `{"flag":"true"}`, decoded{}, "flag must be true or false"},
		{"text for a list", `{"list":"pwd"}`, decoded{}, "list must be an array of strings"},
		{"number in a list", `{"list":["pwd",1]}`, decoded{}, "list[1] must be a string"},
		{"too many in a list", `{"list":["a","a","a","a","a","a","a","a","a"]}`, decoded{}, "list must have at most 8 elements"},
		{"number for a device", `{"device_info":1}`, decoded{}, "device_info must be a string or an object with name, platform and id"},
		{"list for a device's name", `{"device_info":{"name":[]}}`, decoded{}, "device_info.name must be a string"},
		{"half a pair", `{"text":"\ud800"}`, decoded{}, "text must not contain half of a surrogate pair"},
		{"half a pair beside a replacement", `{"text":"\ufffd\uD800x"}`, decoded{}, "text must not contain half of a surrogate pair"},
		{"the second half first", `{"text":"\ude00\ud83d"}`, decoded{}, "text must not contain half of a surrogate pair"},
		{"two first halves", `{"text":"\ud83d\ud83d"}`, decoded{}, "text must not contain half of a surrogate pair"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got decoded
			err := readJSON(jsonRequest(tt.body), false, got.members())
			if tt.err != "" {
				invalid, ok := errors.AsType[*problem.Invalid](err)
				if !ok || invalid.Error() != tt.err {
					t.Fatalf("error %v, want %s", err, tt.err)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
}

func TestReadJSONEnvelope(t *testing.T) {
	tests := []struct {
		name, contentType, body string
		optional                bool
		want                    int
	}{
		{"JSON", "application/json", "{}", false, 200},
		{"with a charset", "application/json; charset=utf-8", "{}", false, 200},
		{"in capitals", "APPLICATION/JSON", "{}", false, 200},
		{"no type", "", "{}", false, 415},
		{"a form", "application/x-www-form-urlencoded", "a=b", false, 415},
		{"text, as a form on another site can send it", "text/plain", "{}", false, 415},
		{"no body, no type", "", "", true, 200},
		{"no body, odd type", "application/x-www-form-urlencoded", "", true, 200},
		{"no body where there must be one", "application/json", "", false, 400},
		{"wrong type where none is needed", "text/plain", "{}", true, 415},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := jsonRequest(tt.body)
			r.Header.Set("Content-Type", tt.contentType)
			err := readJSON(r, tt.optional, members{})
			got := 200
			if _, ok := errors.AsType[*problem.MediaType](err); ok {
				got = 415
			} else if err != nil {
				got = 400
			}
			if got != tt.want {
				t.Errorf("%v, want %d", err, tt.want)
			}
		})
	}
}

func TestReadJSONTooLarge(t *testing.T) {
	r := jsonRequest(`{"text":"` + strings.Repeat("x", 100) + `"}`)
	r.Body = http.MaxBytesReader(nil, r.Body, 50)
	if _, ok := errors.AsType[*http.MaxBytesError](readJSON(r, false, members{})); !ok {
		t.Error("the limit of the body does not come through")
	}
}

// FuzzReadJSON: no body makes it panic, every refusal is worded for the caller,
// and what goes on to the stores is something they take.
func FuzzReadJSON(f *testing.F) {
	f.Add(`{"text":"a","device_info":{"name":"x"},"list":["pwd"],"flag":true}`)
	f.Add(`{"text":"\ud83d\ude00\ud800"}`)
	f.Add(`{"clean":"\u0000\u202e` + "\ufffd" + `"}`)
	f.Fuzz(func(t *testing.T, body string) {
		var d decoded
		err := readJSON(jsonRequest(body), true, d.members())
		if _, ok := errors.AsType[*problem.Invalid](err); err != nil && !ok {
			t.Fatalf("%q: %v", body, err)
		}
		for _, s := range []string{d.Clean, d.Device.Name, d.Device.Platform, d.Device.ID} {
			if s != session.CleanText(s, session.MaxDeviceBytes) {
				t.Errorf("%q: %q is not clean", body, s)
			}
		}
	})
}
