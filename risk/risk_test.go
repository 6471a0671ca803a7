package risk_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sessiongate/sessiongate/risk"
	"github.com/sessiongate/sessiongate/risk/simulation"
	"github.com/sessiongate/sessiongate/session"
)

func TestTimelines(t *testing.T) {
	t.Parallel()
	if len(timelines) < 50 {
		t.Fatalf("only %d timelines", len(timelines))
	}
	for _, tl := range timelines {
		t.Run(tl.name, func(t *testing.T) {
			t.Parallel()
			got := names(play(t, tl.lines, risk.Default()))
			if strings.Join(got, " ") != tl.want {
				t.Errorf("%s\n got %v\nwant %s", tl.lines, got, tl.want)
			}
		})
	}
}

// play lives through the lines and assesses the last.
func play(t *testing.T, lines string, rules risk.Rules) risk.Assessment {
	t.Helper()
	ledger := simulation.NewLedger(rules)
	all := strings.Split(lines, "; ")
	for i, line := range all {
		after, rest, _ := strings.Cut(line, " ")
		what, rest, _ := strings.Cut(rest, " ")
		n := 1
		if _, err := fmt.Sscanf(rest, "x%d ", &n); err == nil {
			_, rest, _ = strings.Cut(rest, " ")
		}
		place, device, _ := strings.Cut(rest, " / ")
		d, err := time.ParseDuration(after)
		if err != nil {
			t.Fatal(err)
		}
		a := attempt(place, device, start.Add(d))
		if i == len(all)-1 {
			return ledger.Assess("u", a)
		}
		for i := range n {
			switch what {
			case "login":
				ledger.Login("u", a)
			case "seen":
				ledger.Seen("u", a)
			case "fail":
				ledger.Failed("u", a)
			case "try":
				ledger.Failed(fmt.Sprint("victim ", i), a)
			case "other":
				ledger.Login(fmt.Sprint("colleague ", i), a)
			default:
				t.Fatalf("nobody knows what %q is", what)
			}
		}
	}
	return risk.Assessment{}
}

func names(a risk.Assessment) []string {
	var all []string
	for _, s := range a.Signals {
		all = append(all, s.Name)
	}
	slices.Sort(all)
	return all
}

func TestRefreshes(t *testing.T) {
	t.Parallel()
	chrome, firefox := with["laptop"].agent, with["other browser"].agent
	for _, c := range []struct {
		name, began, now, beganAgent, nowAgent string
		reused                                 bool
		want                                   string
		notify                                 bool
	}{
		{"the same place", "home", "home", chrome, chrome, false, "", false},
		{"Wi-Fi to LTE", "home", "carrier", chrome, chrome, false, "", false},
		{"an update on the way", "home", "carrier", chrome, with["laptop later"].agent, false, "", false},
		{"abroad with the same program", "home", "Berlin", chrome, chrome, false, "refresh_country", false},
		{"another program in the same network", "home", "home, later", chrome, firefox, false, "refresh_agent", false},
		{"another program in another network", "home", "café", chrome, firefox, false, "refresh_agent refresh_network", true},
		{"another program abroad", "home", "Berlin", chrome, firefox, false, "refresh_agent refresh_country refresh_network", true},
		{"a script abroad", "home", "server", chrome, with["curl"].agent, false, "refresh_agent refresh_country refresh_network", true},
		{"reuse", "home", "home", chrome, chrome, true, "refresh_reused", true},
		{"from where nobody knows", "nowhere", "Berlin", chrome, firefox, false, "refresh_agent", false},
		{"to where nobody knows", "home", "nowhere", chrome, chrome, false, "", false},
		{"a session whose beginning was lost", "home", "café", "", firefox, false, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			rules := risk.Default()
			a := risk.AssessRefresh(risk.Refresh{
				Began: attempt(c.began, "phone", start).Origin.Place(), Now: attempt(c.now, "phone", start).Origin.Place(),
				BeganAgent: c.beganAgent, NowAgent: c.nowAgent, Reused: c.reused,
			}, rules)
			if got := strings.Join(names(a), " "); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if got := rules.Verdict(a.Score).Notify; got != c.notify {
				t.Errorf("score %d tells the user: %v, want %v", a.Score, got, c.notify)
			}
		})
	}
}

// TestARepeatNeverRaisesTheScore: who has just got in and does the same again is no
// more suspect than before, but for the guide's count of sign-ins from one address,
// which counts repeats by its nature.
func TestARepeatNeverRaisesTheScore(t *testing.T) {
	t.Parallel()
	rules := risk.Default()
	delete(rules.Points, risk.IPLogins)
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		ledger, at := simulation.NewLedger(rules), start
		for range r.IntN(20) {
			live(r, ledger, &at)
		}
		a := draw(r, at.Add(time.Minute))
		before := ledger.Assess("u", a)
		for range 3 {
			ledger.Login("u", a)
			a.At = a.At.Add(time.Duration(r.IntN(90)) * time.Minute)
			after := ledger.Assess("u", a)
			if after.Score > before.Score {
				t.Errorf("seed %d: a repeat scores %d (%s), the first %d (%s)", seed, after.Score, after, before.Score, before)
			}
		}
	}
}

func live(r *rand.Rand, ledger *simulation.Ledger, at *time.Time) {
	*at = at.Add(time.Duration(r.IntN(100)) * time.Hour / 2)
	a := draw(r, *at)
	switch r.IntN(4) {
	case 0:
		ledger.Failed("u", a)
	case 1:
		ledger.Seen("u", a)
	default:
		ledger.Login("u", a)
	}
}

func draw(r *rand.Rand, at time.Time) risk.Attempt {
	return attempt(drawn(r, places), drawn(r, with), at)
}

func drawn[V any](r *rand.Rand, m map[string]V) string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys[r.IntN(len(keys))]
}

// TestWithoutPlacesNoSignalIsAboutThem, whatever happens.
func TestWithoutPlacesNoSignalIsAboutThem(t *testing.T) {
	t.Parallel()
	about := []string{risk.NewCountry, risk.NewNetwork, risk.ImpossibleTravel, risk.ManyNetworks, risk.RefreshCountry, risk.RefreshNetwork}
	blank := func(a risk.Attempt) risk.Attempt {
		a.Origin.Country, a.Origin.ASN, a.Where = "", 0, risk.Point{}
		return a
	}
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		known, blind, at := simulation.NewLedger(risk.Default()), simulation.NewLedger(risk.Default()), start
		for range 15 {
			at = at.Add(time.Duration(r.IntN(60)) * time.Hour)
			a := draw(r, at)
			// Nothing is known now; and nothing was known before.
			for _, found := range []risk.Assessment{known.Assess("u", blank(a)), blind.Assess("u", a)} {
				for _, s := range found.Signals {
					if slices.Contains(about, s.Name) {
						t.Fatalf("seed %d: %s: %s", seed, s.Name, s.Reason)
					}
				}
			}
			known.Login("u", a)
			blind.Login("u", blank(a))
		}
	}
}

func TestEveryPointHasAReason(t *testing.T) {
	t.Parallel()
	a := play(t, settled+"96h20m try x60 server / python; 96h25m fail x9 server / python; 96h30m login server / python", risk.Default())
	sum := 0
	for i, s := range a.Signals {
		if sum += s.Points; s.Reason == "" || s.Points <= 0 || s.Points != risk.Default().Points[s.Name] {
			t.Errorf("signal %+v", s)
		}
		if i > 0 && s.Points > a.Signals[i-1].Points {
			t.Errorf("%s stands behind %s", s.Name, a.Signals[i-1].Name)
		}
		if !strings.Contains(a.String(), s.Reason) {
			t.Errorf("%q does not say %q", a, s.Reason)
		}
	}
	if sum != a.Score || len(a.Signals) < 5 {
		t.Errorf("score %d of %d signals that make %d", a.Score, len(a.Signals), sum)
	}
	if r := a.Risk(); r.Score != a.Score || len(r.Signals) != len(a.Signals) || session.PackRisk(session.UnpackRisk(session.PackRisk(r))) != session.PackRisk(r) {
		t.Errorf("as an event carries it: %+v", r)
	}
}

func TestRules(t *testing.T) {
	t.Parallel()
	t.Run("a signal without points is off", func(t *testing.T) {
		t.Parallel()
		rules := risk.Default()
		delete(rules.Points, risk.NewDevice)
		if got := names(play(t, settled+"120h login Berlin / other browser", rules)); !slices.Equal(got, []string{risk.NewCountry}) {
			t.Errorf("got %v", got)
		}
	})
	t.Run("a trusted network says nothing of a place", func(t *testing.T) {
		t.Parallel()
		rules := risk.Default()
		rules.Trusted = []netip.Prefix{netip.MustParsePrefix("80.128.0.0/16")}
		if got := names(play(t, settled+"96h30m login Berlin / other browser", rules)); !slices.Equal(got, []string{risk.NewDevice}) {
			t.Errorf("got %v", got)
		}
		// And nobody has to travel from it.
		if got := names(play(t, settled+"112h login Berlin / phone; 113h login home, later / Edge", rules)); !slices.Equal(got, []string{risk.NewDevice}) {
			t.Errorf("got %v", got)
		}
	})
	t.Run("what follows in each mode", func(t *testing.T) {
		t.Parallel()
		for mode, want := range map[risk.Mode][3]risk.Verdict{
			risk.Off:     {},
			risk.Observe: {},
			risk.Notify:  {{}, {Notify: true}, {Notify: true}},
			risk.Block:   {{}, {Notify: true}, {Notify: true, Refuse: true}},
		} {
			rules := risk.Default()
			rules.Mode = mode
			for i, score := range []int{49, 99, 100} {
				if got := rules.Verdict(score); got != want[i] {
					t.Errorf("%s, %d: %+v, want %+v", mode, score, got, want[i])
				}
			}
			if rules.On() != (mode != risk.Off) {
				t.Errorf("%s is on: %v", mode, rules.On())
			}
		}
	})
	t.Run("countries", func(t *testing.T) {
		t.Parallel()
		for _, c := range []struct {
			allow, deny, country string
			want                 bool
		}{
			{"", "", "VN", true},
			{"", "", "", true},
			{"", "RU", "RU", false},
			{"", "RU", "", true},
			{"", "ZZ", "", false},
			{"VN DE", "", "DE", true},
			{"VN DE", "", "FR", false},
			{"VN DE", "", "", false},
			{"VN ZZ", "", "", true},
			{"VN DE", "DE", "DE", false},
		} {
			rules := risk.Rules{Allow: strings.Fields(c.allow), Deny: strings.Fields(c.deny)}
			if got := rules.Admits(c.country); got != c.want {
				t.Errorf("allow %q, deny %q: from %q %v, want %v", c.allow, c.deny, c.country, got, c.want)
			}
		}
	})
}

func TestNetworks(t *testing.T) {
	t.Parallel()
	for ip, want := range map[string]string{
		"1.53.9.200": "1.53.9.0/24", "::ffff:1.53.9.200": "1.53.9.0/24", "2405:4800:1:2::3": "2405:4800:1::/48",
		"fe80::1%eth0": "fe80::/48", "": "", "x": "",
	} {
		if got := risk.Network(ip); got != want {
			t.Errorf("%q is in %q, want %q", ip, got, want)
		}
	}
}

func TestDeviceKeysTellNothing(t *testing.T) {
	t.Parallel()
	keys := risk.DeviceKeys(session.Device{Name: "Ana's iPhone", Platform: "iOS", ID: "0A1B-SERIAL"}, with["phone"].agent)
	if text := strings.Join(keys, " "); strings.Contains(text, "SERIAL") || strings.Contains(text, "Ana") || len(keys) != 2 {
		t.Errorf("keys are %q", keys)
	}
	long := risk.DeviceKeys(session.Device{Platform: strings.Repeat("ü", 500)}, strings.Repeat("é", 500))
	if len(long) != 1 || len(long[0]) > 128 {
		t.Errorf("keys are %q", long)
	}
}

func TestDistance(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b risk.Point
		km   float64
	}{
		{hanoi, hanoi, 0},
		{hanoi, saigon, 1143},
		{hanoi, berlin, 8325},
		{risk.Point{Lat: 90}, risk.Point{Lat: -90}, 20015},
		{risk.Point{Lon: 179.9}, risk.Point{Lon: -179.9}, 22},
	} {
		if got := risk.Distance(c.a, c.b); got < c.km*0.99-1 || got > c.km*1.01+1 {
			t.Errorf("%v to %v is %.0f km, want %.0f", c.a, c.b, got, c.km)
		}
	}
}
