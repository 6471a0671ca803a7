package risk

import (
	"crypto/sha256"
	"encoding/base64"
	"net/netip"
	"slices"
	"strings"

	"github.com/sessiongate/sessiongate/session"
)

// DeviceKeys are what a device is known again by, at most two: the digest of the
// installation's own id, where the application tells one, and the kind of program
// and system. Neither says more about anybody than that they are the same.
func DeviceKeys(d session.Device, userAgent string) []string {
	keys := []string{"c:" + clip(clientOf(userAgent)+"/"+strings.ToLower(d.Platform))}
	if d.ID != "" {
		sum := sha256.Sum256([]byte(d.ID))
		keys = append(keys, "i:"+base64.RawURLEncoding.EncodeToString(sum[:12]))
	}
	return keys
}

// clip keeps a key within its column.
func clip(s string) string { return session.CleanText(s, 120) }

// knownDevice says whether a device is on record. An installation that has an id
// is known by it alone; another by its kind.
func knownDevice(record []string, d session.Device, userAgent string) bool {
	keys := DeviceKeys(d, userAgent)
	return slices.Contains(record, keys[len(keys)-1])
}

// What user agents say, the most special first: every one that says Edg says
// Chrome and Safari, too.
var (
	programs = []string{
		"Edg", "OPR/", "SamsungBrowser", "YaBrowser", "Firefox", "FxiOS", "CriOS", "Chrome", "Safari", "okhttp", "Dart",
		"CFNetwork", "Dalvik",
	}
	systems = []string{"iPhone", "iPad", "Android", "Windows", "CrOS", "Mac OS X", "Darwin", "Linux"}
)

// clientOf reduces a user agent to the kind of program and system, which survive
// updates: "Chrome Windows". A program that is not known is called as it calls
// itself, up to the version.
func clientOf(userAgent string) string {
	program := ""
	for _, p := range programs {
		if strings.Contains(userAgent, p) {
			program = strings.TrimSuffix(p, "/")
			break
		}
	}
	if program == "" {
		program, _, _ = strings.Cut(userAgent, "/")
		program, _, _ = strings.Cut(program, " ")
	}
	for _, s := range systems {
		if strings.Contains(userAgent, s) {
			return program + " " + s
		}
	}
	return program
}

// robots are what programs call themselves that nobody sits in front of.
var robots = []string{
	"curl/", "wget/", "python", "aiohttp", "httpx", "go-http-client", "java/", "apache-httpclient", "libwww-perl", "axios/",
	"node-fetch", "undici", "node", "headlesschrome", "phantomjs", "selenium", "puppeteer", "playwright", "scrapy", "postmanruntime",
	"httpie", "guzzlehttp", "ruby", "okhttp-bot",
}

// automated says whether a user agent is a program's. None at all is one, too.
func automated(userAgent string) bool {
	lower := strings.ToLower(userAgent)
	return lower == "" || slices.ContainsFunc(robots, func(r string) bool {
		return strings.HasPrefix(lower, r) || strings.Contains(lower, " "+r)
	})
}

// Network returns the network of an address as history keeps it: 24 bits of IPv4,
// 48 of IPv6, "" for what is no address. An address itself changes from day to
// day, and is more than needs to be kept.
func Network(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return ""
	}
	addr = addr.Unmap().WithZone("")
	bits := 48
	if addr.Is4() {
		bits = 24
	}
	network, err := addr.Prefix(bits)
	if err != nil {
		return ""
	}
	return network.String()
}
