package app

import (
	"context"
	"net"
	"net/http"
	"net/http/pprof"
	"time"
)

// servePprof lets the Go profiler be asked on admin.pprof_addr, if that is set.
// What ends the server before its time is sent to failed.
func (g *gateway) servePprof(ctx context.Context, down *stack, failed chan<- error) error {
	addr := g.cfg.Admin.PprofAddr
	if addr == "" {
		return nil
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	// A profile that is being taken is not worth waiting for.
	down.push("pprof server", func(context.Context) error { return srv.Close() })
	go func() { failed <- srv.Serve(ln) }()
	g.log.InfoContext(ctx, "listening for the profiler", "addr", ln.Addr().String())
	return nil
}
