package command

import (
	"fmt"
	"time"

	"github.com/sessiongate/sessiongate/geo"
	"github.com/sessiongate/sessiongate/internal/config"
)

// stale is how old a file may be: networks move, and a country that is wrong is an
// alarm that is wrong.
const stale = 180 * 24 * time.Hour

// geo reads the files that say where addresses are.
func (e *examination) geo(cfg config.Config) {
	db, err := geo.Open(cfg.Geo.Files)
	if err != nil {
		e.bad("geo", err, "geo.files: download it again, or take it out of the list")
		return
	}
	if !db.On() {
		e.good("geo", "off: geo.files is empty, so there are no countries or networks and no signals about places")
		return
	}
	for _, f := range db.Files() {
		age := time.Since(f.Built)
		e.check(age < stale, warning, "geo: "+f.Path, fmt.Sprintf("%s of %s: %s", f.Type, f.Built.Format(time.DateOnly), f.Has),
			"older than half a year: download a new one")
	}
}
