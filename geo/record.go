package geo

import (
	"math"
	"strconv"
	"strings"

	"github.com/sessiongate/sessiongate/session"
)

// record has the members of all layouts, whatever their types: a maker's change
// of a type must not make the record unreadable.
type record struct {
	Country     any `maxminddb:"country"`      // MaxMind: {iso_code}; IPinfo: code or name
	CountryCode any `maxminddb:"country_code"` // ip-location-db, IPinfo Lite

	ASNumber any `maxminddb:"autonomous_system_number"` // MaxMind, ip-location-db
	ASN      any `maxminddb:"asn"`                      // IPinfo: "AS15169"

	Location  any `maxminddb:"location"` // MaxMind: {latitude, longitude}
	Latitude  any `maxminddb:"latitude"` // ip-location-db
	Longitude any `maxminddb:"longitude"`
	Lat       any `maxminddb:"lat"` // IPinfo: as text
	Lng       any `maxminddb:"lng"`
}

func (r *record) place() Place {
	var p Place
	nested, _ := r.Country.(map[string]any)
	for _, v := range []any{nested["iso_code"], r.CountryCode, r.Country} {
		if p.Country = country(v); p.Country != "" {
			break
		}
	}
	for _, v := range []any{r.ASNumber, r.ASN} {
		if p.ASN = asn(v); p.ASN != 0 {
			break
		}
	}
	at, _ := r.Location.(map[string]any)
	for _, pair := range [][2]any{{at["latitude"], at["longitude"]}, {r.Latitude, r.Longitude}, {r.Lat, r.Lng}} {
		if p.Lat, p.Lon, p.Located = degrees(pair); p.Located {
			break
		}
	}
	return p
}

// country reads a code. What makers write for "somewhere in Europe" or "nobody
// knows" is no country.
func country(v any) string {
	s, _ := v.(string)
	s = strings.ToUpper(s)
	switch s {
	case "EU", "AP", "ZZ", "XX":
		return ""
	}
	if !session.IsCountry(s) {
		return ""
	}
	return s
}

func asn(v any) uint32 {
	var n uint64
	switch v := v.(type) {
	case uint64:
		n = v
	case string:
		if len(v) > 2 && strings.EqualFold(v[:2], "AS") {
			v = v[2:]
		}
		n, _ = strconv.ParseUint(v, 10, 32)
	}
	if n > math.MaxUint32 {
		return 0
	}
	return uint32(n)
}

// degrees reads a pair of coordinates. 0, 0 is what makers write for nowhere.
func degrees(pair [2]any) (lat, lon float64, ok bool) {
	lat, okLat := degree(pair[0], 90)
	lon, okLon := degree(pair[1], 180)
	if !okLat || !okLon || lat == 0 && lon == 0 {
		return 0, 0, false
	}
	return lat, lon, true
}

func degree(v any, limit float64) (float64, bool) {
	var d float64
	switch v := v.(type) {
	case float64:
		d = v
	case float32:
		d = float64(v)
	case string:
		var err error
		if d, err = strconv.ParseFloat(v, 64); err != nil {
			return 0, false
		}
	default:
		return 0, false
	}
	return d, math.Abs(d) <= limit // false for NaN
}
