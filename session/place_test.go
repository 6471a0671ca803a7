package session

import (
	"reflect"
	"testing"
)

func TestPackPlace(t *testing.T) {
	t.Parallel()
	for packed, p := range map[string]Place{
		"":                     {},
		"192.0.2.1":            {IP: "192.0.2.1"},
		"2001:db8::1\tVN":      {IP: "2001:db8::1", Country: "VN"},
		"192.0.2.1\tVN\t45899": {IP: "192.0.2.1", Country: "VN", ASN: 45899},
		"192.0.2.1\t\t45899":   {IP: "192.0.2.1", ASN: 45899},
		"\tVN\t4294967295":     {Country: "VN", ASN: 4294967295},
	} {
		if got := PackPlace(p); got != packed {
			t.Errorf("%+v is packed as %q, want %q", p, got, packed)
		}
		if got := UnpackPlace(packed); got != p {
			t.Errorf("%q is unpacked as %+v, want %+v", packed, got, p)
		}
	}
	for _, bad := range []string{"192.0.2.1\tVietnam\tAS1", "192.0.2.1\tvn\t-1", "192.0.2.1\tV1\t4294967296"} {
		if got, want := UnpackPlace(bad), (Place{IP: "192.0.2.1"}); got != want {
			t.Errorf("%q is unpacked as %+v, want %+v", bad, got, want)
		}
	}
}

func TestPackRisk(t *testing.T) {
	t.Parallel()
	for packed, r := range map[string]Risk{
		"":                          {},
		"15":                        {Score: 15},
		"0 dormant":                 {Signals: []string{"dormant"}},
		"55 new_device new_country": {Score: 55, Signals: []string{"new_device", "new_country"}},
	} {
		if got := PackRisk(r); got != packed {
			t.Errorf("%+v is packed as %q, want %q", r, got, packed)
		}
		if got := UnpackRisk(packed); !reflect.DeepEqual(got, r) {
			t.Errorf("%q is unpacked as %+v, want %+v", packed, got, r)
		}
	}
	for _, bad := range []string{"new_device 55", "-1 new_device", "99999999999999999999"} {
		if got := UnpackRisk(bad); !reflect.DeepEqual(got, Risk{}) {
			t.Errorf("%q is unpacked as %+v, want nothing", bad, got)
		}
	}
}
