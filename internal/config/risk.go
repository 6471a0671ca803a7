package config

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Geo is where addresses are said to be.
type Geo struct {
	Files  []string      `koanf:"files"`  // mmdb; none: off
	Reload time.Duration `koanf:"reload"` // whole seconds
}

// The modes of Risk.
const (
	RiskOff     = "off"
	RiskObserve = "observe"
	RiskNotify  = "notify"
	RiskBlock   = "block"
)

// Risk is what makes a sign-in unusual, and what follows.
type Risk struct {
	Mode     string        `koanf:"mode"`
	NotifyAt int           `koanf:"notify_at"`
	BlockAt  int           `koanf:"block_at"`
	Points   []string      `koanf:"points"` // "signal=points"; those left out keep the default
	Timeout  time.Duration `koanf:"timeout"`
	Remember time.Duration `koanf:"remember"`

	LearnLogins  int           `koanf:"learn_logins"`
	LearnFor     time.Duration `koanf:"learn_for"`
	DormantAfter time.Duration `koanf:"dormant_after"`

	TravelKmh    int           `koanf:"travel_kmh"`
	TravelKm     int           `koanf:"travel_km"`
	TravelWindow time.Duration `koanf:"travel_window"`

	FailureCount  int           `koanf:"failure_count"`
	FailureWindow time.Duration `koanf:"failure_window"`
	NetworkCount  int           `koanf:"network_count"` // within an hour

	IPUsers        int           `koanf:"ip_users"`
	IPTries        int           `koanf:"ip_tries"`
	IPFailureShare float64       `koanf:"ip_failure_share"` // 0 to 1
	IPLogins       int           `koanf:"ip_logins"`
	IPWindow       time.Duration `koanf:"ip_window"`

	TrustedNetworks []string `koanf:"trusted_networks"`
	AllowCountries  []string `koanf:"allow_countries"`
	DenyCountries   []string `koanf:"deny_countries"`
}

const day = 24 * time.Hour

func defaultRisk() Risk {
	return Risk{
		Mode: RiskNotify, NotifyAt: 50, BlockAt: 100,
		Points: []string{
			"new_device=30", "new_country=25", "new_network=10", "impossible_travel=40", "failures_before=30",
			"many_networks=30", "ip_many_users=10", "ip_failures=20", "ip_many_logins=5", "automation=15", "dormant=15",
			"refresh_country=40", "refresh_network=40", "refresh_agent=15", "refresh_reused=80",
		},
		Timeout: 300 * time.Millisecond, Remember: 90 * day,
		LearnLogins: 5, LearnFor: 14 * day, DormantAfter: 180 * day,
		TravelKmh: 900, TravelKm: 500, TravelWindow: day,
		FailureCount: 5, FailureWindow: 15 * time.Minute, NetworkCount: 4,
		IPUsers: 10, IPTries: 20, IPFailureShare: 0.8, IPLogins: 10, IPWindow: day,
		TrustedNetworks: []string{}, AllowCountries: []string{}, DenyCountries: []string{},
	}
}

// PointsOf returns the points of every signal, the defaults of those that are not
// in the list among them.
func (r Risk) PointsOf() map[string]int {
	all := map[string]int{}
	for _, item := range slices.Concat(defaultRisk().Points, r.Points) {
		if name, points, ok := parsePoints(item); ok {
			all[name] = points
		}
	}
	return all
}

func parsePoints(item string) (name string, points int, ok bool) {
	name, text, found := strings.Cut(item, "=")
	points, err := strconv.Atoi(strings.TrimSpace(text))
	return strings.TrimSpace(name), points, found && err == nil && points >= 0 && points <= 1000
}

// countryCode is ISO 3166-1 alpha-2's form.
var countryCode = regexp.MustCompile(`^[A-Z]{2}$`)

func (v *validator) geo(g Geo) {
	v.duration("geo.reload", g.Reload, time.Second, day)
	v.check(g.Reload%time.Second == 0, "geo.reload", g.Reload, "whole seconds")
	v.check(len(g.Files) <= 16, "geo.files", fmt.Sprint(len(g.Files)), "at most 16 files")
	for i, path := range g.Files {
		v.check(path != "" && !slices.Contains(g.Files[:i], path), "geo.files", path, "the names of mmdb files, each once")
	}
}

func (v *validator) risk(r Risk, geo Geo) {
	v.oneOf("risk.mode", r.Mode, RiskOff, RiskObserve, RiskNotify, RiskBlock)
	v.count("risk.notify_at", r.NotifyAt, 1, 10000)
	v.count("risk.block_at", r.BlockAt, 1, 10000)
	v.check(r.BlockAt >= r.NotifyAt, "risk.block_at", r.BlockAt, "at least risk.notify_at (%d): nobody is refused in silence", r.NotifyAt)
	known := Risk{}.PointsOf()
	for _, item := range r.Points {
		name, _, ok := parsePoints(item)
		_, isSignal := known[name]
		v.check(ok && isSignal, "risk.points", item, "signal=points, such as new_device=30, 0 to 1000; the signals are %s",
			strings.Join(slices.Sorted(maps.Keys(known)), ", "))
	}
	v.duration("risk.timeout", r.Timeout, 10*time.Millisecond, 5*time.Second)
	v.duration("risk.remember", r.Remember, day, 3650*day)
	v.count("risk.learn_logins", r.LearnLogins, 1, 100)
	v.duration("risk.learn_for", r.LearnFor, 0, 365*day)
	v.duration("risk.dormant_after", r.DormantAfter, day, 3650*day)
	v.count("risk.travel_kmh", r.TravelKmh, 100, 100_000)
	v.count("risk.travel_km", r.TravelKm, 50, 20_000)
	v.duration("risk.travel_window", r.TravelWindow, time.Minute, 7*day)
	v.count("risk.failure_count", r.FailureCount, 1, 100)
	v.duration("risk.failure_window", r.FailureWindow, time.Minute, day)
	v.count("risk.network_count", r.NetworkCount, 2, 100)
	v.count("risk.ip_users", r.IPUsers, 2, 400)
	v.count("risk.ip_tries", r.IPTries, 2, 400)
	v.check(r.IPFailureShare > 0 && r.IPFailureShare < 1, "risk.ip_failure_share", r.IPFailureShare, "more than 0 and less than 1")
	v.count("risk.ip_logins", r.IPLogins, 1, 400)
	v.duration("risk.ip_window", r.IPWindow, r.FailureWindow, 7*day)
	for _, n := range r.TrustedNetworks {
		_, errAddr := netip.ParseAddr(n)
		_, errPrefix := netip.ParsePrefix(n)
		v.check(errAddr == nil || errPrefix == nil, "risk.trusted_networks", n, "IP addresses or networks, such as 10.0.0.0/8")
	}
	v.countries("risk.allow_countries", r.AllowCountries, geo)
	v.countries("risk.deny_countries", r.DenyCountries, geo)
}

// countries checks a list. Without files it would keep everybody out, or nobody.
func (v *validator) countries(key string, list []string, geo Geo) {
	for _, c := range list {
		v.check(countryCode.MatchString(c), key, c, "codes of ISO 3166-1 such as DE, or ZZ for unknown")
	}
	v.check(len(list) == 0 || len(geo.Files) > 0, key, strings.Join(list, ","), "geo.files to be set, which say what country an address is in")
}
