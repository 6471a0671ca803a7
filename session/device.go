package session

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Device is what a client says about itself at login. It is shown to the user
// and never trusted.
type Device struct {
	Name     string // "Ana's iPhone"
	Platform string // "ios"; may be empty
	ID       string // the application's own id of the installation; may be empty
}

// String is the text of device_info: the name, with the platform where there is
// one. Analysts group by it.
func (d Device) String() string {
	switch {
	case d.Platform == "":
		return d.Name
	case d.Name == "":
		return d.Platform
	}
	return d.Name + " (" + d.Platform + ")"
}

// Origin is where a request came from, as far as the gateway can tell.
type Origin struct {
	IP        string // canonical text, no zone; "" if unknown
	UserAgent string // cleaned by CleanText
	Country   string // of IP, ISO 3166-1 alpha-2; "" if unknown
	ASN       uint32 // the network of IP; 0 if unknown
}

// Place returns where on the network and in the world that is.
func (o Origin) Place() Place { return Place{IP: o.IP, Country: o.Country, ASN: o.ASN} }

func originAt(p Place, userAgent string) Origin {
	return Origin{IP: p.IP, UserAgent: userAgent, Country: p.Country, ASN: p.ASN}
}

// Longest texts that are kept, in bytes.
const (
	MaxDeviceBytes    = 128 // each part of a Device
	MaxUserAgentBytes = 512
	MaxReasonBytes    = 128
)

// CleanText returns s as every store, log and terminal accepts it: valid UTF-8,
// no control or format-breaking characters, no space at the ends, at most limit
// bytes and never cut within a character. It is idempotent.
func CleanText(s string, limit int) string {
	clean := true
	for _, r := range s {
		if r == utf8.RuneError || unicode.IsControl(r) || isBreaking(r) {
			clean = false
			break
		}
	}
	if !clean {
		s = strings.Map(func(r rune) rune {
			if r == utf8.RuneError || unicode.IsControl(r) || isBreaking(r) {
				return -1
			}
			return r
		}, s)
	}
	s = strings.TrimSpace(s)
	if len(s) > limit {
		cut := limit
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = strings.TrimSpace(s[:cut])
	}
	return s
}

// isBreaking names the characters outside the control class that break lines or
// reverse the text around them (Unicode TR9 bidirectional overrides).
func isBreaking(r rune) bool {
	return r == '\u2028' || r == '\u2029' || r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069'
}
