// Package geo tells in which country and network an IP address is, from mmdb
// files that the operator provides. It sends nothing anywhere and ships no data:
// without files every address is unknown, and unknown is never a reason to
// suspect anybody.
//
// Files of different makers can be mixed; each adds what it has:
//
//	MaxMind         GeoLite2/GeoIP2 Country, City, ASN, and DB-IP, which has the same layout
//	IPinfo          Lite, Country, Country + ASN, Location
//	ip-location-db  country, asn, city, for IPv4 and IPv6 together or apart
package geo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/sessiongate/sessiongate/session"
)

// A Place is what the files know of an address. The zero Place is nowhere.
type Place struct {
	Country string // ISO 3166-1 alpha-2; "" if unknown
	ASN     uint32 // autonomous system; 0 if unknown

	// Degrees, if Located. Where the network is thought to be: tens or hundreds of
	// kilometres from where the person is.
	Lat, Lon float64
	Located  bool
}

// DB answers from all files at once. It may be used by any number of goroutines;
// a file that is replaced meanwhile is swapped in as a whole by Reload.
type DB struct {
	paths []string
	files atomic.Pointer[[]*file]
}

// Open reads the files. Without any it returns a DB that knows nothing. A file
// that can't be read, is not an mmdb file or has nothing of use is an error that
// names it.
func Open(paths []string) (*DB, error) {
	db := &DB{paths: paths}
	files := make([]*file, len(paths))
	for i, path := range paths {
		var err error
		if files[i], err = open(path); err != nil {
			return nil, fmt.Errorf("geo: %w", err)
		}
	}
	db.files.Store(&files)
	return db, nil
}

// On says whether there are any files.
func (db *DB) On() bool { return len(db.paths) > 0 }

// Lookup returns what is known of an address: of each thing what the first file
// says that knows it. Addresses that are not on the public internet are nowhere.
// It takes microseconds and waits for nothing.
func (db *DB) Lookup(addr netip.Addr) Place {
	var p Place
	addr = addr.Unmap().WithZone("")
	if !db.On() || !public(addr) {
		return p
	}
	for _, f := range *db.files.Load() {
		found := f.lookup(addr)
		if p.Country == "" {
			p.Country = found.Country
		}
		if p.ASN == 0 {
			p.ASN = found.ASN
		}
		if !p.Located && found.Located {
			p.Lat, p.Lon, p.Located = found.Lat, found.Lon, true
		}
	}
	return p
}

// Of returns the place of an address as sessions and events keep it. ip is kept
// whatever it is.
func (db *DB) Of(ip string) session.Place {
	p := session.Place{IP: ip}
	if addr, err := netip.ParseAddr(ip); err == nil {
		found := db.Lookup(addr)
		p.Country, p.ASN = found.Country, found.ASN
	}
	return p
}

// Reload reads the files that have changed since they were last read, and returns
// how many. One that can't be used is left as it was and tried again next time:
// the error names it. For one caller at a time.
func (db *DB) Reload(ctx context.Context) (reloaded int, err error) {
	var errs []error
	files := append([]*file(nil), *db.files.Load()...)
	for i, f := range files {
		if ctx.Err() != nil {
			errs = append(errs, ctx.Err())
			break
		}
		changed, err := f.changed()
		if err == nil && changed {
			if f, err = open(f.path); err == nil {
				files[i] = f
				reloaded++
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("geo: reload: %w", err))
		}
	}
	if reloaded > 0 {
		db.files.Store(&files)
	}
	return reloaded, errors.Join(errs...)
}

// A File is what an operator wants to know of a file.
type File struct {
	Path  string
	Type  string    // as its maker calls it
	Built time.Time // by its maker
	Has   string    // "country, network"
}

// Files describes the files in use.
func (db *DB) Files() []File {
	var list []File
	for _, f := range *db.files.Load() {
		list = append(list, f.describe())
	}
	return list
}

// The addresses that netip does not know to be private.
var (
	carrierNAT = netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64}), 10) // RFC 6598
	broadcast  = netip.PrefixFrom(netip.AddrFrom4([4]byte{240}), 4)      // RFC 1112 §4 and RFC 919
	thisNet    = netip.PrefixFrom(netip.AddrFrom4([4]byte{0}), 8)        // RFC 791 §3.2
)

// public says whether an address can be somewhere.
func public(a netip.Addr) bool {
	return a.IsValid() && a.IsGlobalUnicast() && !a.IsPrivate() &&
		!carrierNAT.Contains(a) && !broadcast.Contains(a) && !thisNet.Contains(a)
}
