package simulation

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/sessiongate/sessiongate/risk"
	"github.com/sessiongate/sessiongate/session"
)

// city is where people live and travel to.
type city struct {
	country string
	at      risk.Point
	isps    []uint32 // fixed lines
	mobile  []uint32 // carriers: thousands of customers behind a few addresses
}

func town(country string, lat, lon float64, first uint32) city {
	return city{country, risk.Point{Lat: lat, Lon: lon, Known: true}, []uint32{first, first + 1, first + 2}, []uint32{first + 5, first + 6}}
}

// cities of a service that is at home in Vietnam, with customers abroad.
var cities = []city{
	town("VN", 21.03, 105.85, 45890), town("VN", 10.78, 106.70, 45890), town("VN", 16.05, 108.20, 45890),
	town("VN", 20.86, 106.68, 45890), town("TH", 13.75, 100.50, 7470), town("SG", 1.35, 103.82, 9500),
	town("DE", 52.52, 13.40, 3320), town("FR", 48.85, 2.35, 3215), town("US", 37.77, -122.42, 7018),
	town("US", 40.71, -74.01, 7018), town("JP", 35.68, 139.69, 4713), town("AU", -33.87, 151.21, 1221),
	town("GB", 51.51, -0.13, 2856), town("BR", -23.55, -46.63, 28573), town("RU", 55.75, 37.62, 12389), town("NG", 6.52, 3.38, 29465),
}

const (
	homes   = 6     // the first so many are where people live
	vpnASN  = 9009  // exits in other countries
	hostASN = 14061 // servers for rent
)

// agents of browsers, and of the service's own application.
var agents = []string{
	"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36",
	"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15",
	"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:132.0) Gecko/20100101 Firefox/132.0",
	"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36 Edg/130.0",
	"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36",
}

const appAgent = "Dart/3.5 (dart:io)"

// spot is a place on the network.
type spot struct {
	ip  string
	asn uint32
	in  city
}

func (s spot) attempt(at time.Time, d device) risk.Attempt {
	return risk.Attempt{
		At: at, Device: session.Device{Platform: d.platform, ID: d.id}, Where: s.in.at,
		Origin: session.Origin{IP: s.ip, UserAgent: d.agent, Country: s.in.country, ASN: s.asn},
	}
}

// device is what somebody signs in with.
type device struct{ platform, id, agent string }

// person is one user and their habits.
type person struct {
	id                string
	home              city
	line, office, vpn spot // office and vpn without ip: none
	carrier           uint32
	phone, computer   device
	everyDays         float64 // between sign-ins
	away              []trip
	sleeps            int  // from this day on not seen for 200 days; 0: never
	usesVPN, mover    bool // mover: a line whose address is another network each week
}

// trip is days somewhere else.
type trip struct {
	from, to int
	in       city
}

// world draws everything from one source.
type world struct {
	*rand.Rand
	ledger *Ledger
	days   int
	start  time.Time
	people []*person
}

func (w *world) chance(p float64) bool { return w.Float64() < p }

func (w *world) pick(asns []uint32) uint32 { return asns[w.IntN(len(asns))] }

// address is one of a network's; each network number is 256 addresses.
func address(asn uint32, network, host int) string {
	n := int(asn)*61 + network*7919
	return fmt.Sprintf("%d.%d.%d.%d", 20+n%150, n/150%256, n/38400%256, 1+host%250)
}

// lineIn is a fixed line, new ones of the same provider in other networks.
func (w *world) lineIn(c city) spot {
	asn := w.pick(c.isps)
	return spot{address(asn, w.IntN(4000), w.IntN(250)), asn, c}
}

// cell is a telephone's place: the carrier has few addresses, and hands them out anew
// every time.
func (w *world) cell(p *person, c city) spot {
	asn := p.carrier
	if c.country != p.home.country && w.chance(0.5) {
		asn = w.pick(c.mobile) // a card bought there; roaming keeps the carrier at home
	} else {
		c = p.home
	}
	return spot{address(asn, 5000+w.IntN(40), w.IntN(8)), asn, c}
}

func (w *world) newPhone() device {
	platform := "android"
	if w.chance(0.4) {
		platform = "ios"
	}
	return device{platform, fmt.Sprintf("installation-%d", w.Uint64()), appAgent}
}

func (w *world) newComputer() device { return device{agent: agents[w.IntN(len(agents))]} }

// populate makes n people: families of up to four on one line, offices of up to 200
// behind one address.
func (w *world) populate(n int) {
	var family spot
	var office spot
	left, desks := 0, 0
	for i := range n {
		p := &person{
			id: fmt.Sprintf("user-%d", i), home: cities[w.homeOf()], phone: w.newPhone(), computer: w.newComputer(),
			everyDays: 2 + w.ExpFloat64()*6, usesVPN: w.chance(0.08), mover: w.chance(0.3),
		}
		if left == 0 {
			left, family = 1+w.IntN(4), w.lineIn(p.home)
		}
		if desks == 0 {
			desks, office = 5+w.IntN(196), w.lineIn(p.home)
		}
		p.home, p.line = family.in, family
		left--
		p.carrier = w.pick(p.home.mobile)
		if w.chance(0.5) {
			p.office = office
			desks--
		}
		if p.usesVPN {
			out := cities[w.IntN(len(cities))]
			p.vpn = spot{address(vpnASN, w.IntN(30), w.IntN(20)), vpnASN, out}
		}
		if w.chance(0.02) {
			p.sleeps = 1 + w.IntN(w.days/2)
		}
		for day := w.IntN(180); day < w.days; day += 30 + w.IntN(250) { // twice a year or so
			if w.chance(0.4) {
				p.away = append(p.away, trip{day, day + 2 + w.IntN(12), cities[w.IntN(len(cities))]})
			}
		}
		w.people = append(w.people, p)
	}
}

func (w *world) homeOf() int {
	if w.chance(0.85) {
		return w.IntN(4)
	}
	return w.IntN(homes)
}

// whereabouts is where somebody is on a day, and with what.
func (w *world) whereabouts(p *person, day int) (spot, device) {
	if p.usesVPN && w.chance(0.3) {
		out := p.vpn
		if w.chance(0.1) { // another exit than usual
			out = spot{address(vpnASN, w.IntN(30), w.IntN(20)), vpnASN, cities[w.IntN(len(cities))]}
		}
		return out, p.computer
	}
	for _, t := range p.away {
		if day >= t.from && day <= t.to {
			if w.chance(0.5) {
				return w.cell(p, t.in), p.phone
			}
			if w.chance(0.7) {
				return w.lineIn(t.in), p.phone // a hotel
			}
			return w.lineIn(t.in), p.computer
		}
	}
	switch x := w.Float64(); {
	case x < 0.35:
		return w.cell(p, p.home), p.phone
	case x < 0.40:
		return w.lineIn(p.home), p.phone // a café
	case x < 0.65 && p.office.ip != "":
		return p.office, p.computer
	case x < 0.80:
		return p.line, p.computer
	}
	return p.line, p.phone
}

// change is what happens to people's things in a day: a new phone every two years,
// another browser every three, and lines that get another network.
func (w *world) change(p *person) {
	if w.chance(1.0 / 730) {
		p.phone = w.newPhone()
	}
	if w.chance(1.0 / 1100) {
		p.computer = w.newComputer()
	}
	if p.mover && w.chance(1.0/7) {
		p.line.ip = address(p.line.asn, w.IntN(4000), w.IntN(250))
	}
}
