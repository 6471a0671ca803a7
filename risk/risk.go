// Package risk says how unusual a sign-in is, and why.
//
// Assess is a pure function of what is on record about the user, the attempt and
// the rules: the same three give the same answer, on any machine, at any time.
// Each thing that it notices is a Signal with points and a reason in words; the
// score is their sum. What the score leads to is Rules.Verdict: nothing, a notice
// to the user, or a refusal.
//
// Nobody is suspected for what is not known. Without a file that says where
// addresses are, or for an address that is nowhere, there are no signals about
// places; without a history there are none about what is new.
package risk

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/sessiongate/sessiongate/session"
)

// The signals by name, as they stand in session_logs.signals.
const (
	NewDevice        = "new_device"
	NewCountry       = "new_country"
	NewNetwork       = "new_network"
	ImpossibleTravel = "impossible_travel"
	Failures         = "failures_before"
	ManyNetworks     = "many_networks"
	IPUsers          = "ip_many_users"
	IPFailures       = "ip_failures"
	IPLogins         = "ip_many_logins"
	Automation       = "automation"
	Dormant          = "dormant"
	RefreshCountry   = "refresh_country"
	RefreshNetwork   = "refresh_network"
	RefreshAgent     = "refresh_agent"
	RefreshReused    = "refresh_reused"
)

// Names are all signals.
func Names() []string {
	return []string{
		NewDevice, NewCountry, NewNetwork, ImpossibleTravel, Failures, ManyNetworks, IPUsers, IPFailures, IPLogins,
		Automation, Dormant, RefreshCountry, RefreshNetwork, RefreshAgent, RefreshReused,
	}
}

// A Signal is one thing that is unusual.
type Signal struct {
	Name   string
	Points int
	Reason string // in words, for people
}

// An Assessment is what is unusual about an attempt, the weightiest first.
type Assessment struct {
	Score   int // the sum of the points
	Signals []Signal
}

// Risk is the assessment as an event carries it.
func (a Assessment) Risk() session.Risk {
	r := session.Risk{Score: a.Score}
	for _, s := range a.Signals {
		r.Signals = append(r.Signals, s.Name)
	}
	return r
}

// String gives the reasons.
func (a Assessment) String() string {
	reasons := make([]string, len(a.Signals))
	for i, s := range a.Signals {
		reasons[i] = s.Reason
	}
	return strings.Join(reasons, "; ")
}

// An Attempt is a sign-in with the right password.
type Attempt struct {
	At     time.Time
	Device session.Device
	Origin session.Origin
	Where  Point
}

// A Point is a place on Earth in degrees, where Known.
type Point struct {
	Lat, Lon float64
	Known    bool
}

// History is what is on record about a user and an address before an attempt.
// The zero History is a user's who has never signed in.
type History struct {
	FirstLogin time.Time // zero: none on record
	Logins     int       // that succeeded, on record
	LastSeen   time.Time // the last sign-in or refresh on record
	Devices    []string  // keys as DeviceKeys makes them
	Places     []Place   // networks where the user has been, in any order
	Failures   int       // failed sign-ins as this user within Rules.FailureWindow
	IP         IP
}

// A Place is a network from which the user has been seen.
type Place struct {
	Network  string // as Network makes it
	Country  string
	ASN      uint32
	LastSeen time.Time
	Where    Point
}

// IP is what is on record about the address of an attempt.
type IP struct {
	Logins      int // that succeeded, of any user, within Rules.IPWindow
	RecentUsers int // that were tried within Rules.FailureWindow
	Tries       int // within Rules.FailureWindow
	Failures    int // of those
}

// Assess weighs a sign-in against what is on record.
func Assess(h History, a Attempt, r Rules) Assessment {
	w := weighing{rules: r}
	learned := r.learned(h, a.At)
	known := knownDevice(h.Devices, a.Device, a.Origin.UserAgent)
	if learned && !known {
		w.add(NewDevice, "a device that is not on record")
	}
	if learned && !r.trusts(a.Origin.IP) {
		w.place(h, a)
		if !known {
			w.travel(h, a)
		}
	}
	w.velocity(h, a)
	w.address(h.IP)
	if h.Failures >= r.FailureCount {
		w.add(Failures, fmt.Sprintf("%d failed attempts within %s", h.Failures, r.FailureWindow))
	}
	if automated(a.Origin.UserAgent) {
		w.add(Automation, "a program and not a browser or an app")
	}
	if asleep := a.At.Sub(h.LastSeen); !h.LastSeen.IsZero() && asleep >= r.DormantAfter {
		w.add(Dormant, fmt.Sprintf("the first time in %d days", int(asleep.Hours()/24)))
	}
	return w.done()
}

// weighing gathers signals.
type weighing struct {
	rules Rules
	found []Signal
}

func (w *weighing) add(name, reason string) {
	if points := w.rules.Points[name]; points > 0 {
		w.found = append(w.found, Signal{name, points, reason})
	}
}

func (w *weighing) done() Assessment {
	a := Assessment{Signals: w.found}
	slices.SortStableFunc(a.Signals, func(x, y Signal) int { return y.Points - x.Points })
	for _, s := range a.Signals {
		a.Score += s.Points
	}
	return a
}

// place looks for a country, or else a network, where the user has not been.
// What is on record must know of one: a file that was added today makes nobody's
// country new.
func (w *weighing) place(h History, a Attempt) {
	var countries []string
	newNetwork, networks := a.Origin.ASN != 0, false
	for _, p := range h.Places {
		if p.Country != "" && !slices.Contains(countries, p.Country) {
			countries = append(countries, p.Country)
		}
		networks = networks || p.ASN != 0
		newNetwork = newNetwork && p.ASN != a.Origin.ASN
	}
	if c := a.Origin.Country; c != "" && len(countries) > 0 && !slices.Contains(countries, c) {
		slices.Sort(countries)
		w.add(NewCountry, fmt.Sprintf("from %s; on record: %s", c, strings.Join(countries, ", ")))
	} else if newNetwork && networks {
		w.add(NewNetwork, fmt.Sprintf("from AS%d, which is not on record", a.Origin.ASN))
	}
}

// travel looks for a place from which nobody can have come here in the time. Two
// addresses of one network are one place: makers guess where they are. A place
// from which the user has been seen before needs no journey either: they have a
// VPN, or somebody at home.
func (w *weighing) travel(h History, a Attempt) {
	if !a.Where.Known {
		return
	}
	network := Network(a.Origin.IP)
	var worst float64
	var from Place
	for _, p := range h.Places {
		if p.Network == network || p.ASN != 0 && p.ASN == a.Origin.ASN && p.Country == a.Origin.Country {
			return
		}
		apart := a.At.Sub(p.LastSeen)
		if !p.Where.Known || apart < 0 || apart >= w.rules.TravelWindow || w.rules.trusts(p.Network) {
			continue
		}
		km := Distance(p.Where, a.Where)
		if km < float64(w.rules.TravelKm) {
			continue
		}
		if speed := km / max(apart.Hours(), 1.0/60); speed > float64(w.rules.TravelKmh) && speed > worst {
			worst, from = speed, p
		}
	}
	if worst > 0 {
		w.add(ImpossibleTravel, fmt.Sprintf("%.0f km from %s, where the user was %s before",
			Distance(from.Where, a.Where), from.Country, a.At.Sub(from.LastSeen).Round(time.Minute)))
	}
}

// velocity counts the networks from which the account was seen within an hour.
func (w *weighing) velocity(h History, a Attempt) {
	if a.Origin.ASN == 0 || w.rules.trusts(a.Origin.IP) {
		return
	}
	networks := map[uint32]bool{a.Origin.ASN: true}
	for _, p := range h.Places {
		if p.ASN != 0 && a.At.Sub(p.LastSeen) < time.Hour && !w.rules.trusts(p.Network) {
			networks[p.ASN] = true
		}
	}
	if len(networks) >= w.rules.NetworkCount {
		w.add(ManyNetworks, fmt.Sprintf("%d networks within an hour", len(networks)))
	}
}

// address weighs what else came from the address. An office and a carrier look
// like this every morning: alone, none of it should tell anybody anything.
func (w *weighing) address(ip IP) {
	if ip.RecentUsers >= w.rules.IPUsers {
		w.add(IPUsers, fmt.Sprintf("%d users tried from one address within %s", ip.RecentUsers, w.rules.FailureWindow))
	}
	if ip.Tries >= w.rules.IPTries && float64(ip.Failures) > w.rules.IPFailureShare*float64(ip.Tries) {
		w.add(IPFailures, fmt.Sprintf("%d of %d attempts from the address failed", ip.Failures, ip.Tries))
	}
	if ip.Logins >= w.rules.IPLogins { // with this one it is more
		w.add(IPLogins, fmt.Sprintf("more than %d sign-ins from one address within %s", w.rules.IPLogins, w.rules.IPWindow))
	}
}

// A Refresh is a refresh of a session: where and with what it began, and where
// and with what it is refreshed.
type Refresh struct {
	Began, Now           session.Place
	BeganAgent, NowAgent string // user agents; BeganAgent "" if not known
	Reused               bool   // an old token was presented
}

// AssessRefresh weighs a refresh. That an address or a network changes is what
// telephones do all day; with another program, or in another country, it is not.
func AssessRefresh(f Refresh, r Rules) Assessment {
	w := weighing{rules: r}
	if f.Reused {
		w.add(RefreshReused, "a token that had been replaced was presented again")
	}
	elsewhere := !r.trusts(f.Now.IP) && !r.trusts(f.Began.IP)
	if elsewhere && f.Now.Country != "" && f.Began.Country != "" && f.Now.Country != f.Began.Country {
		w.add(RefreshCountry, fmt.Sprintf("a session that began in %s goes on in %s", f.Began.Country, f.Now.Country))
	}
	if f.BeganAgent != "" && clientOf(f.BeganAgent) != clientOf(f.NowAgent) {
		w.add(RefreshAgent, "a session goes on in another program")
		if elsewhere && f.Now.ASN != 0 && f.Began.ASN != 0 && f.Now.ASN != f.Began.ASN {
			w.add(RefreshNetwork, fmt.Sprintf("and in another network: AS%d, before AS%d", f.Now.ASN, f.Began.ASN))
		}
	}
	return w.done()
}

// Distance is that of two points along a great circle, in kilometres.
func Distance(a, b Point) float64 {
	const radius, degree = 6371, math.Pi / 180
	sinLat, sinLon := math.Sin((b.Lat-a.Lat)*degree/2), math.Sin((b.Lon-a.Lon)*degree/2)
	h := sinLat*sinLat + math.Cos(a.Lat*degree)*math.Cos(b.Lat*degree)*sinLon*sinLon
	return 2 * radius * math.Asin(math.Sqrt(min(h, 1)))
}
