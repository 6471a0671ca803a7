package geo

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
)

// maxBytes bounds the memory that a file may take. The largest that is sold, of
// cities with ranges for every provider, is below it.
const maxBytes = 1 << 30

// sample is how many networks of a file are looked at to find out what it has.
const sample = 1000

// file is one mmdb file, in memory: a mapped one that somebody overwrites in
// place would end the process.
type file struct {
	path     string
	modified time.Time
	size     int64
	db       *maxminddb.Reader
	has      Place // the fields that its sample has, with any value
}

// open reads a file and finds out what it has.
func open(path string) (*file, error) {
	b, info, err := read(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	db, err := maxminddb.OpenBytes(b)
	if err != nil {
		return nil, fmt.Errorf("%s is not a whole mmdb file: %w", path, err)
	}
	f := &file{path: path, modified: info.ModTime(), size: info.Size(), db: db}
	if err := f.examine(); err != nil {
		return nil, fmt.Errorf("%s (%s): %w", path, db.Metadata.DatabaseType, err)
	}
	return f, nil
}

func read(path string) ([]byte, os.FileInfo, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, bare(err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, nil, bare(err)
	case !info.Mode().IsRegular():
		return nil, nil, errors.New("is not a regular file")
	case info.Size() > maxBytes:
		return nil, nil, fmt.Errorf("has %d bytes, at most %d are read", info.Size(), maxBytes)
	}
	b := make([]byte, info.Size())
	if _, err := io.ReadFull(f, b); err != nil {
		return nil, nil, fmt.Errorf("changed while it was read: %w", err)
	}
	return b, info, nil
}

// bare is an error of the file system without the path, which is said already.
func bare(err error) error {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return e.Err
	}
	return err
}

// examine looks at the file's first networks: one about something else than
// places would otherwise do nothing, silently.
func (f *file) examine() error {
	seen := 0
	for result := range f.db.Networks() {
		var r record
		if err := result.Decode(&r); err != nil {
			return fmt.Errorf("is broken: %w", err)
		}
		p := r.place()
		if p.Country != "" {
			f.has.Country = p.Country
		}
		if p.ASN != 0 {
			f.has.ASN = p.ASN
		}
		f.has.Located = f.has.Located || p.Located
		if seen++; seen >= sample {
			break
		}
	}
	if f.has == (Place{}) {
		return errors.New("has neither countries nor networks nor coordinates that are known here: " +
			"want a country, city or ASN file of MaxMind, IPinfo, DB-IP or ip-location-db")
	}
	return nil
}

// changed says whether somebody has replaced the file since it was read.
func (f *file) changed() (bool, error) {
	info, err := os.Stat(f.path)
	if err != nil {
		return false, fmt.Errorf("read %s: %w", f.path, bare(err))
	}
	return !info.ModTime().Equal(f.modified) || info.Size() != f.size, nil
}

// lookup finds the address. A record that can't be read is an unknown place: no
// file may keep anybody from signing in.
func (f *file) lookup(addr netip.Addr) Place {
	var r record
	if addr.Is6() && f.db.Metadata.IPVersion == 4 {
		return Place{}
	}
	if err := f.db.Lookup(addr).Decode(&r); err != nil {
		return Place{}
	}
	return r.place()
}

func (f *file) describe() File {
	var has []string
	if f.has.Country != "" {
		has = append(has, "country")
	}
	if f.has.ASN != 0 {
		has = append(has, "network")
	}
	if f.has.Located {
		has = append(has, "coordinates")
	}
	m := f.db.Metadata
	return File{Path: f.path, Type: m.DatabaseType, Built: m.BuildTime().UTC(), Has: strings.Join(has, ", ")}
}
