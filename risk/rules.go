package risk

import (
	"math"
	"net/netip"
	"slices"
	"time"
)

// Rules are what counts how much; the section risk of config.yaml.
type Rules struct {
	Mode     Mode
	NotifyAt int            // the score from which the user is told
	BlockAt  int            // the score from which a sign-in is refused
	Points   map[string]int // of each signal; one that is not here is worth 0, and off

	// A user is being learned, and nothing is new, until there have been
	// LearnLogins or LearnFor is over.
	LearnLogins int
	LearnFor    time.Duration

	TravelKmh    int           // faster than any airliner
	TravelKm     int           // nearer is within the error of the files
	TravelWindow time.Duration // longer ago is not asked how

	FailureCount   int
	FailureWindow  time.Duration
	NetworkCount   int     // within an hour
	IPUsers        int     // within FailureWindow
	IPTries        int     // within FailureWindow, from which IPFailureShare counts
	IPFailureShare float64 // 0 to 1
	IPLogins       int     // one more is many
	IPWindow       time.Duration
	DormantAfter   time.Duration

	Trusted []netip.Prefix // networks whose places say nothing: an office, a VPN
	Allow   []string       // countries, or Unknown; empty: all
	Deny    []string
}

// Mode is how far scores go.
type Mode string

// The modes.
const (
	Off     Mode = "off"     // nothing is assessed
	Observe Mode = "observe" // scores are stored, and nothing follows
	Notify  Mode = "notify"  // the user is told, from NotifyAt
	Block   Mode = "block"   // and a sign-in is refused, from BlockAt
)

// On says whether anything is assessed. The zero Rules are off.
func (r Rules) On() bool { return r.Mode != Off && r.Mode != "" }

// Unknown stands in Allow and Deny for addresses whose country is not known.
const Unknown = "ZZ"

// Default are the rules that docs/RISK.md has measured.
func Default() Rules {
	return Rules{
		Mode: Notify, NotifyAt: 50, BlockAt: 100,
		Points: map[string]int{
			NewDevice: 30, NewCountry: 25, NewNetwork: 10, ImpossibleTravel: 40, Failures: 30, ManyNetworks: 30,
			IPUsers: 10, IPFailures: 20, IPLogins: 5, Automation: 15, Dormant: 15,
			RefreshCountry: 40, RefreshNetwork: 40, RefreshAgent: 15, RefreshReused: 80,
		},
		LearnLogins: 5, LearnFor: 14 * 24 * time.Hour,
		TravelKmh: 900, TravelKm: 500, TravelWindow: 24 * time.Hour,
		FailureCount: 5, FailureWindow: 15 * time.Minute, NetworkCount: 4,
		IPUsers: 10, IPTries: 20, IPFailureShare: 0.8, IPLogins: 10, IPWindow: 24 * time.Hour,
		DormantAfter: 180 * 24 * time.Hour,
	}
}

// NotifyFrom is the score from which users are told: more than any score is where
// the mode tells nobody.
func (r Rules) NotifyFrom() int {
	if r.Mode == Notify || r.Mode == Block {
		return r.NotifyAt
	}
	return math.MaxInt
}

// Verdict is what follows from a score.
type Verdict struct {
	Notify bool // tell the user
	Refuse bool // a sign-in; a session that has begun is not ended by a score
}

// Verdict says what follows from a score.
func (r Rules) Verdict(score int) Verdict {
	return Verdict{
		Notify: score >= r.NotifyFrom(),
		Refuse: r.Mode == Block && score >= r.BlockAt,
	}
}

// Admits says whether anybody may sign in from a country, "" if it is not known.
// It asks nobody and holds in every mode.
func (r Rules) Admits(country string) bool {
	if country == "" {
		country = Unknown
	}
	return !slices.Contains(r.Deny, country) && (len(r.Allow) == 0 || slices.Contains(r.Allow, country))
}

// learned says whether enough is on record to tell what is new.
func (r Rules) learned(h History, now time.Time) bool {
	return h.Logins > 0 && (h.Logins >= r.LearnLogins || now.Sub(h.FirstLogin) >= r.LearnFor)
}

// trusts says whether an address or a network lies in one that is trusted.
func (r Rules) trusts(text string) bool {
	if len(r.Trusted) == 0 {
		return false
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			return false
		}
		addr = network.Addr()
	}
	addr = addr.Unmap()
	return slices.ContainsFunc(r.Trusted, func(p netip.Prefix) bool { return p.Contains(addr) })
}
