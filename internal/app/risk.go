package app

import (
	"context"
	"net/http"
	"net/netip"

	"github.com/sessiongate/sessiongate/geo"
	"github.com/sessiongate/sessiongate/internal/config"
	"github.com/sessiongate/sessiongate/login"
	"github.com/sessiongate/sessiongate/middleware"
	"github.com/sessiongate/sessiongate/risk"
	"github.com/sessiongate/sessiongate/session"
)

// openPlaces reads the files that say where addresses are, and says what follows
// from what there is.
func (g *gateway) openPlaces(ctx context.Context) (err error) {
	if g.rules, err = rulesOf(g.cfg.Risk); err != nil {
		return err
	}
	if g.places, err = geo.Open(g.cfg.Geo.Files); err != nil {
		return err
	}
	if !g.places.On() {
		g.log.InfoContext(ctx, "geo.files is empty: no countries or networks in sessions and logs, no signals about places")
		return nil
	}
	for _, f := range g.places.Files() {
		g.log.InfoContext(ctx, "places are known", "file", f.Path, "type", f.Type, "built", f.Built, "has", f.Has)
	}
	return nil
}

// rulesOf makes the rules of the settings.
func rulesOf(r config.Risk) (risk.Rules, error) {
	trusted, err := parseNetworks(r.TrustedNetworks)
	if err != nil {
		return risk.Rules{}, err
	}
	return risk.Rules{
		Mode: risk.Mode(r.Mode), NotifyAt: r.NotifyAt, BlockAt: r.BlockAt, Points: r.PointsOf(),
		LearnLogins: r.LearnLogins, LearnFor: r.LearnFor, DormantAfter: r.DormantAfter,
		TravelKmh: r.TravelKmh, TravelKm: r.TravelKm, TravelWindow: r.TravelWindow,
		FailureCount: r.FailureCount, FailureWindow: r.FailureWindow, NetworkCount: r.NetworkCount,
		IPUsers: r.IPUsers, IPTries: r.IPTries, IPFailureShare: r.IPFailureShare,
		IPLogins: r.IPLogins, IPWindow: r.IPWindow,
		Trusted: trusted, Allow: r.AllowCountries, Deny: r.DenyCountries,
	}, nil
}

func (g *gateway) newAssessor() (*login.Assessor, error) {
	metrics, err := login.NewAssessorMetrics(g.reg)
	if err != nil {
		return nil, err
	}
	return &login.Assessor{
		History: g.postgres, Locate: g.locate, Rules: g.rules, Timeout: g.cfg.Risk.Timeout, Metrics: metrics, Log: g.log,
	}, nil
}

// locate is where the files put an address.
func (g *gateway) locate(addr netip.Addr) risk.Point {
	p := g.places.Lookup(addr)
	return risk.Point{Lat: p.Lat, Lon: p.Lon, Known: p.Located}
}

// originOf tells where a request came from, on the network and in the world.
func (g *gateway) originOf(from *middleware.Addresses) func(*http.Request) session.Origin {
	return func(r *http.Request) session.Origin {
		o := from.Origin(r)
		p := g.places.Of(o.IP)
		o.Country, o.ASN = p.Country, p.ASN
		return o
	}
}
