package risk_test

import (
	"time"

	"github.com/sessiongate/sessiongate/risk"
	"github.com/sessiongate/sessiongate/session"
)

// where is a place on the network that timelines name.
type where struct {
	ip, country string
	asn         uint32
	at          risk.Point
}

var (
	hanoi  = risk.Point{Lat: 21.03, Lon: 105.85, Known: true}
	saigon = risk.Point{Lat: 10.78, Lon: 106.70, Known: true}
	berlin = risk.Point{Lat: 52.52, Lon: 13.40, Known: true}
	paris  = risk.Point{Lat: 48.85, Lon: 2.35, Known: true}

	places = map[string]where{
		"home":         {"1.52.10.7", "VN", 45899, hanoi},
		"home, later":  {"1.52.99.7", "VN", 45899, hanoi},
		"carrier":      {"27.64.1.9", "VN", 7552, hanoi},
		"café":         {"14.160.5.5", "VN", 18403, hanoi},
		"office":       {"113.160.4.4", "VN", 45543, hanoi},
		"Saigon":       {"118.69.1.1", "VN", 131386, saigon},
		"Berlin":       {"80.128.1.1", "DE", 3320, berlin},
		"Berlin hotel": {"84.128.7.7", "DE", 6805, berlin},
		"Paris":        {"90.1.1.1", "FR", 3215, paris},
		"VPN":          {"185.159.1.1", "CH", 9009, risk.Point{Lat: 47.37, Lon: 8.54, Known: true}},
		"nowhere":      {"10.1.2.3", "", 0, risk.Point{}},
		"country only": {"81.1.1.1", "DE", 0, risk.Point{}},
		"server":       {"167.99.1.1", "US", 14061, risk.Point{Lat: 40.7, Lon: -74, Known: true}},
	}
)

// with is what timelines sign in with.
var with = map[string]struct{ platform, id, agent string }{
	"phone":         {"ios", "a", "Dart/3.5 (dart:io)"},
	"phone updated": {"ios", "a", "Dart/3.9 (dart:io)"},
	"new phone":     {"ios", "b", "Dart/3.5 (dart:io)"},
	"laptop":        {"", "", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36"},
	"laptop later":  {"", "", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/144.0 Safari/537.36"},
	"other browser": {"", "", "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0"},
	"Edge":          {"", "", "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36 Edg/130.0"},
	"curl":          {"", "", "curl/8.5.0"},
	"python":        {"", "", "python-requests/2.32"},
	"headless":      {"", "", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/130.0 Safari/537.36"},
	"nothing":       {"", "", ""},
}

func attempt(place, device string, at time.Time) risk.Attempt {
	w, okPlace := places[place]
	d, okDevice := with[device]
	if !okPlace || !okDevice {
		panic("no place " + place + " or no device " + device)
	}
	return risk.Attempt{
		At: at, Where: w.at, Device: session.Device{Platform: d.platform, ID: d.id},
		Origin: session.Origin{IP: w.ip, UserAgent: d.agent, Country: w.country, ASN: w.asn},
	}
}

var start = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

// A timeline is lines of "<after> <what> <place> / <device>": what is login, fail
// (with the user's name), try (with another's: fails), other (another user's login)
// or seen. "x20" repeats. The last line is the sign-in that is judged.
type timeline struct {
	name  string
	lines string
	want  string // the signals, sorted; "" for none
}

const (
	settled = "0h login home / phone; 24h login home / laptop; 48h login home / phone; 72h login carrier / phone; 96h login home / laptop; "
	again   = settled + "120h login home / phone; "
)

var timelines = []timeline{
	// The first weeks.
	{"the first sign-in ever", "0h login home / phone", ""},
	{"the first, from a script", "0h login server / curl", "automation"},
	{"the second, on a new device in another country", "0h login home / phone; 24h login Berlin / laptop", ""},
	{"the fourth", "0h login home / phone; 1h login home / phone; 2h login home / phone; 24h login Berlin / laptop", ""},
	{"the sixth is no longer the beginning", settled + "120h login Berlin / other browser", "new_country new_device"},
	{"the second, three weeks later", "0h login home / phone; 504h login Berlin / other browser", "new_country new_device"},

	// Every day.
	{"the same again", settled + "120h login home / phone", ""},
	{"the laptop again", settled + "120h login home / laptop", ""},
	{"Wi-Fi to LTE", settled + "96h30m login carrier / phone", ""},
	{"LTE to Wi-Fi, minute by minute", settled + "100h login carrier / phone; 100h1m login home / phone; 100h2m login carrier / phone", ""},
	{"the provider hands out another address", settled + "120h login home, later / phone", ""},
	{"a café", settled + "120h login café / phone", "new_network"},
	{"the café again", settled + "120h login café / phone; 144h login café / phone", ""},
	{"the app was updated", settled + "120h login home / phone updated", ""},
	{"the browser was updated", settled + "120h login home / laptop later", ""},
	{"a new phone at home", settled + "120h login home / new phone", "new_device"},
	{"a new phone in a café", settled + "120h login café / new phone", "new_device new_network"},
	{"the new phone a day later", settled + "120h login home / new phone; 144h login home / new phone", ""},
	{"another browser at home", settled + "120h login home / other browser", "new_device"},
	{"Edge is not Chrome", settled + "120h login home / Edge", "new_device"},
	{"a mistyped password", settled + "120h fail home / phone; 120h1m login home / phone", ""},
	{"four of them", settled + "120h fail x4 home / phone; 120h1m login home / phone", ""},
	{"five of them", settled + "120h fail x5 home / phone; 120h1m login home / phone", "failures_before"},
	{"five of them, but long ago", settled + "120h fail x5 home / phone; 120h16m login home / phone", ""},
	{"five of them, then another day", settled + "120h fail x5 home / phone; 144h login home / laptop", ""},
	{"half a year away", settled + "4440h login home / phone", "dormant"},
	{"just less", settled + "4400h login home / phone", ""},
	{"half a year away, and a new phone", settled + "4440h login home / new phone", "dormant new_device"},

	// Travel.
	{"a flight of twelve hours", settled + "96h login home / phone; 112h login Berlin / phone", "new_country"},
	{"the second day there", settled + "112h login Berlin / phone; 130h login Berlin / phone", ""},
	{"another hotel", settled + "112h login Berlin / phone; 130h login Berlin hotel / phone", "new_network"},
	{"on to Paris by train", settled + "112h login Berlin / phone; 124h login Paris / phone", "new_country"},
	{"home again", settled + "112h login Berlin / phone; 200h login home / phone", ""},
	{"home again, from another laptop", settled + "112h login Berlin / phone; 200h login home / Edge", "new_device"},
	{"a domestic flight", settled + "99h login Saigon / phone", "new_network"},
	{"in no time, on the known phone", settled + "96h30m login Berlin / phone", "new_country"},
	{"in no time, on another device", settled + "96h30m login Berlin / other browser", "impossible_travel new_country new_device"},
	{"in ten hours, on another device", settled + "107h login Berlin / other browser", "new_country new_device"},
	{"two days later, on another device", settled + "144h login Berlin / other browser", "new_country new_device"},
	{"a new laptop in Saigon at once", settled + "96h30m login Saigon / other browser", "impossible_travel new_device new_network"},
	{"a VPN for the first time", settled + "120h login VPN / laptop", "new_country"},
	{"a VPN on and off", settled + "120h login VPN / laptop; 121h login home / laptop; 122h login VPN / laptop", ""},
	{"a VPN on and off, and another browser", settled + "120h login VPN / laptop; 121h login home / laptop; 122h login VPN / other browser", "new_device"},

	// What is not known.
	{"an address that is nowhere", settled + "120h login nowhere / phone", ""},
	{"nowhere, on a new device", settled + "120h login nowhere / new phone", "new_device"},
	{"everything before was nowhere", "0h login nowhere / phone; 24h login nowhere / phone; 48h login nowhere / phone; 72h login nowhere / phone; 96h login nowhere / phone; 120h login Berlin / phone", ""},
	{"a file that knows countries only", settled + "96h30m login country only / other browser", "new_country new_device"},

	// One address for many.
	{"the office in the morning", settled + "120h other x30 office / laptop; 120h5m login office / laptop", "ip_many_logins ip_many_users new_network"},
	{"the office the next day", settled + "119h login office / laptop; 143h50m other x30 office / laptop; 144h login office / laptop", "ip_many_logins ip_many_users"},
	{"ten sign-ins from an address", again + "121h other x8 home / laptop; 122h login home / phone", ""},
	{"eleven, of which this is one", again + "121h other x9 home / laptop; 122h login home / phone", "ip_many_logins"},
	{"eleven over two days", again + "121h other x10 home / laptop; 146h login home / phone", ""},
	{"a family of four", again + "121h other x3 home / laptop; 121h2m login home / phone", ""},

	// Attacks.
	{"stuffing from a server", settled + "120h try x60 server / python; 120h5m login server / python", "automation ip_failures ip_many_users new_country new_device"},
	{"nineteen tries are too few to tell", settled + "120h try x19 café / laptop; 120h5m login café / laptop", "ip_many_users new_network"},
	{"guessing", settled + "120h fail x20 Berlin / other browser; 120h5m login Berlin / other browser", "failures_before ip_failures new_country new_device"},
	{"guessing by somebody else, and the user at home", settled + "120h fail x20 Berlin / other browser; 120h5m login home / phone", "failures_before"},
	{"phishing from abroad", settled + "120h login server / other browser", "new_country new_device"},
	{"phishing through the victim's own provider", settled + "120h login home, later / other browser", "new_device"},
	{"a script at home", settled + "120h login home / curl", "automation new_device"},
	{"a browser without a head", settled + "120h login home / headless", "automation new_device"},
	{"no user agent at all", settled + "120h login home / nothing", "automation new_device"},
	{"an account that goes round", settled + "120h seen Berlin / laptop; 120h10m seen Paris / laptop; 120h20m seen VPN / laptop; 120h30m login server / other browser", "impossible_travel many_networks new_country new_device"},
	{"three networks in an hour are a day in town", settled + "120h seen café / phone; 120h10m seen carrier / phone; 120h30m login home / phone", ""},
}
