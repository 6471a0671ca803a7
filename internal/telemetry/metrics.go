package telemetry

import (
	"database/sql"
	"fmt"
	"net/http"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// NewRegistry returns a registry with what every Go process has to say: the
// runtime, the process, and which build this is. It is the program's only one;
// the default registry is not used.
func NewRegistry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		newBuildInfo(),
	)
	return reg
}

// RegisterDB adds the statistics of a pool of database connections, labeled with
// the name.
func RegisterDB(reg prometheus.Registerer, db *sql.DB, name string) error {
	if err := reg.Register(collectors.NewDBStatsCollector(db, name)); err != nil {
		return fmt.Errorf("telemetry: register pool %s: %w", name, err)
	}
	return nil
}

// Handler serves the metrics of the registry. A collector that fails does not
// keep the others from being served.
func Handler(reg *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError,
		Registry:      reg,
	})
}

// Build says which program this is.
type Build struct {
	Version   string // of the module, "(devel)" for a build from a checkout
	Revision  string // of the source, "" if the build did not know it
	GoVersion string
}

// ReadBuild returns what the Go linker wrote into the program.
func ReadBuild() Build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return Build{}
	}
	b := Build{Version: info.Main.Version, GoVersion: info.GoVersion}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			b.Revision = s.Value
		}
	}
	return b
}

func newBuildInfo() prometheus.Collector {
	b := ReadBuild()
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "sessiongate_build_info",
		Help: "Always 1; its labels say which build this is.",
		ConstLabels: prometheus.Labels{
			"version": b.Version, "revision": b.Revision, "goversion": b.GoVersion,
		},
	}, func() float64 { return 1 })
}
