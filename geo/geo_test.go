package geo

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"

	"github.com/sessiongate/sessiongate/session"
)

type (
	m = mmdbtype.Map
	s = mmdbtype.String
)

// mmdb writes a file that has one record for each network.
func mmdb(t testing.TB, path, kind string, records map[string]mmdbtype.DataType) string {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: kind, RecordSize: 24})
	if err != nil {
		t.Fatal(err)
	}
	for network, record := range records {
		_, n, err := net.ParseCIDR(network)
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Insert(n, record); err != nil {
			t.Fatal(err)
		}
	}
	temporary := path + ".new"
	f, err := os.Create(temporary)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tree.WriteTo(f); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(temporary, path); err != nil {
		t.Fatal(err)
	}
	return path
}

func openAt(t *testing.T, paths ...string) *DB {
	t.Helper()
	db, err := Open(paths)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func TestLayouts(t *testing.T) {
	t.Parallel()
	names := m{"en": s("Vietnam"), "de": s("Vietnam")}
	for name, c := range map[string]struct {
		record mmdbtype.DataType
		want   Place
	}{
		"MaxMind Country": {
			m{"country": m{"iso_code": s("VN"), "geoname_id": mmdbtype.Uint32(1562822), "names": names}},
			Place{Country: "VN"},
		},
		"MaxMind City": {
			m{
				"city": m{"names": names}, "country": m{"iso_code": s("VN")},
				"location": m{"latitude": mmdbtype.Float64(21.03), "longitude": mmdbtype.Float64(105.85), "accuracy_radius": mmdbtype.Uint16(20)},
			},
			Place{Country: "VN", Lat: 21.03, Lon: 105.85, Located: true},
		},
		"MaxMind ASN": {
			m{"autonomous_system_number": mmdbtype.Uint32(45899), "autonomous_system_organization": s("VNPT")},
			Place{ASN: 45899},
		},
		"MaxMind with a registered country alone": {m{
			"registered_country": m{"iso_code": s("US")}, "location": m{"latitude": mmdbtype.Float64(1), "longitude": mmdbtype.Float64(2)},
		}, Place{Lat: 1, Lon: 2, Located: true}},
		"IPinfo Lite": {
			m{"asn": s("AS45899"), "as_name": s("VNPT"), "country": s("Vietnam"), "country_code": s("VN")},
			Place{Country: "VN", ASN: 45899},
		},
		"IPinfo Country + ASN":   {m{"country": s("VN"), "country_name": s("Vietnam"), "asn": s("AS45899")}, Place{Country: "VN", ASN: 45899}},
		"IPinfo Location":        {m{"country": s("VN"), "lat": s("21.03"), "lng": s("105.85")}, Place{Country: "VN", Lat: 21.03, Lon: 105.85, Located: true}},
		"ip-location-db country": {m{"country_code": s("vn")}, Place{Country: "VN"}},
		"ip-location-db city": {
			m{"country_code": s("VN"), "latitude": mmdbtype.Float32(21), "longitude": mmdbtype.Float32(105.5)},
			Place{Country: "VN", Lat: 21, Lon: 105.5, Located: true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := openAt(t, mmdb(t, filepath.Join(t.TempDir(), "x.mmdb"), name, map[string]mmdbtype.DataType{"1.52.0.0/14": c.record, "2405:4800::/32": c.record}))
			for _, ip := range []string{"1.53.9.9", "2405:4800::1", "::ffff:1.53.9.9"} {
				if got := db.Lookup(netip.MustParseAddr(ip)); got != c.want {
					t.Errorf("%s is %+v, want %+v", ip, got, c.want)
				}
			}
			if got := db.Lookup(netip.MustParseAddr("8.8.8.8")); got != (Place{}) {
				t.Errorf("an address that is not in the file is %+v", got)
			}
		})
	}
}

func TestValues(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		record record
		want   Place
	}{
		"a continent is no country":        {record{CountryCode: "EU"}, Place{}},
		"a name is no code":                {record{Country: "Vietnam"}, Place{}},
		"a country of another type":        {record{CountryCode: uint64(7)}, Place{}},
		"a network that is too large":      {record{ASNumber: uint64(1 << 40)}, Place{}},
		"a network that is none":           {record{ASN: "AS"}, Place{}},
		"0, 0 is nowhere":                  {record{Latitude: 0.0, Longitude: 0.0}, Place{}},
		"half a coordinate":                {record{Latitude: 3.0}, Place{}},
		"a latitude beyond the pole":       {record{Latitude: 91.0, Longitude: 1.0}, Place{}},
		"a text that is no number":         {record{Lat: "x", Lng: "1"}, Place{}},
		"the equator is a place, too":      {record{Latitude: 0.0, Longitude: 9.0}, Place{Lon: 9, Located: true}},
		"not a number is not a coordinate": {record{Lat: "NaN", Lng: "1"}, Place{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := c.record.place(); got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

func TestFilesAddUp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := openAt(t,
		mmdb(t, filepath.Join(dir, "country.mmdb"), "country", map[string]mmdbtype.DataType{"1.52.0.0/14": m{"country_code": s("VN")}}),
		mmdb(t, filepath.Join(dir, "asn.mmdb"), "asn", map[string]mmdbtype.DataType{"1.53.0.0/16": m{"autonomous_system_number": mmdbtype.Uint32(45899)}}),
		mmdb(t, filepath.Join(dir, "other.mmdb"), "other", map[string]mmdbtype.DataType{"1.52.0.0/14": m{"country_code": s("LA")}}))
	if got, want := db.Of("1.53.0.1"), (session.Place{IP: "1.53.0.1", Country: "VN", ASN: 45899}); got != want {
		t.Errorf("%+v, want %+v: the first file that knows counts", got, want)
	}
	var has []string
	for _, f := range db.Files() {
		has = append(has, f.Type+": "+f.Has)
	}
	if got := strings.Join(has, "; "); got != "country: country; asn: network; other: country" {
		t.Errorf("the files are said to have %q", got)
	}
}

func TestPrivateAddressesAreNowhere(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "all.mmdb")
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "all", IncludeReservedNetworks: true, DisableIPv4Aliasing: true})
	if err != nil {
		t.Fatal(err)
	}
	_, everything, _ := net.ParseCIDR("::/0")
	if err := tree.Insert(everything, m{"country_code": s("VN")}); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tree.WriteTo(f); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	db := openAt(t, path)
	if db.Of("1.53.0.1").Country != "VN" {
		t.Fatal("the file does not cover the internet")
	}
	for _, ip := range []string{
		"10.1.2.3", "172.16.0.1", "192.168.1.1", "127.0.0.1", "169.254.0.1", "100.64.0.1", "0.0.0.0", "0.1.2.3", "224.0.0.1",
		"255.255.255.255", "240.0.0.1", "::1", "::", "fe80::1", "fd00::1", "ff02::1", "::ffff:10.0.0.1", "", "no address",
	} {
		if got := db.Of(ip); got != (session.Place{IP: ip}) {
			t.Errorf("%s is %+v", ip, got)
		}
	}
}

func TestNoFiles(t *testing.T) {
	t.Parallel()
	db := openAt(t)
	if db.On() || db.Of("1.53.0.1") != (session.Place{IP: "1.53.0.1"}) || len(db.Files()) != 0 {
		t.Error("without files something is known")
	}
	if n, err := db.Reload(t.Context()); n != 0 || err != nil {
		t.Errorf("reload: %d, %v", n, err)
	}
}

func TestFilesOfNoUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good := mmdb(t, filepath.Join(dir, "good.mmdb"), "country", map[string]mmdbtype.DataType{"1.52.0.0/14": m{"country_code": s("VN")}})
	whole, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, c := range map[string]struct{ path, want string }{
		"one that is not there": {filepath.Join(dir, "none.mmdb"), "no such file"},
		"a directory":           {dir, "not a regular file"},
		"an empty one":          {write("empty.mmdb", nil), "not a whole mmdb file"},
		"half of one":           {write("half.mmdb", whole[:len(whole)/2]), "not a whole mmdb file"},
		"a tree that was cut":   {write("tree.mmdb", append(append([]byte{}, whole[:60]...), whole[len(whole)-200:]...)), "tree.mmdb"},
		"another kind": {mmdb(t, filepath.Join(dir, "isp.mmdb"), "Some-Domain",
			map[string]mmdbtype.DataType{"1.52.0.0/14": m{"domain": s("example.com")}}), "neither countries nor networks"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Open([]string{good, c.path})
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), filepath.Base(c.path)) {
				t.Errorf("the error is %v, want one that names the file and says %q", err, c.want)
			}
		})
	}
}

func TestReload(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "country.mmdb")
	of := func(code string) map[string]mmdbtype.DataType {
		return map[string]mmdbtype.DataType{"1.52.0.0/14": m{"country_code": s(code)}}
	}
	age := func(d time.Duration) {
		at := time.Now().Add(-d)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	mmdb(t, path, "country", of("VN"))
	age(time.Hour)
	db := openAt(t, path)
	check := func(what string, wantN int, wantErr bool, country string) {
		t.Helper()
		n, err := db.Reload(t.Context())
		if n != wantN || (err != nil) != wantErr || db.Of("1.53.0.1").Country != country {
			t.Errorf("%s: %d reloaded, %v, in %s; want %d, %s", what, n, err, db.Of("1.53.0.1").Country, wantN, country)
		}
	}
	check("nothing has changed", 0, false, "VN")
	mmdb(t, path, "country", of("LA"))
	check("a new file", 1, false, "LA")
	check("the same again", 0, false, "LA")
	if err := os.WriteFile(path, []byte("half a download"), 0o600); err != nil {
		t.Fatal(err)
	}
	check("a broken file", 0, true, "LA")
	check("still broken", 0, true, "LA")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	check("no file", 0, true, "LA")
	mmdb(t, path, "country", of("TH"))
	age(time.Minute)
	check("mended", 1, false, "TH")
}

// TestReloadWhileAsked runs for the race detector.
func TestReloadWhileAsked(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "country.mmdb")
	records := map[string]mmdbtype.DataType{"1.52.0.0/14": m{"country_code": s("VN")}}
	db := openAt(t, mmdb(t, path, "country", records))
	ctx, stop := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	for range 4 {
		asking.Go(func() {
			for ctx.Err() == nil {
				if got := db.Of("1.53.0.1").Country; got != "VN" {
					t.Errorf("in %q", got)
					return
				}
			}
		})
	}
	for i := range 20 {
		mmdb(t, path, "country", records)
		at := time.Unix(int64(1_700_000_000+i), 0)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
		if n, err := db.Reload(ctx); n != 1 || err != nil {
			t.Errorf("reload: %d, %v", n, err)
		}
	}
	stop()
	asking.Wait()
}
