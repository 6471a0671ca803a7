// Package app puts the gateway together from its parts and runs it. It is the
// only package that knows them all; the program, the tests and the benchmarks
// start the same one.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/sessiongate/sessiongate/internal/config"
)

// Run serves until ctx is done or the listener fails, then takes the parts down
// in the opposite order to which they came up. ready, if not nil, is called once,
// with the address in use, as soon as requests are served.
//
// It needs a Redis that can hold sessions, and waits half a minute for one that
// does not answer yet. Postgres may be away, at the start as at any other time.
//
// The way down: /readyz turns to 503 for http.drain_delay, then no connection is
// accepted any more and requests under way finish, the jobs stop, what they had
// left goes to the stores, and the stores are closed; that takes no longer than
// http.shutdown_timeout. A nil error means that all of it went well.
func Run(ctx context.Context, cfg config.Config, log *slog.Logger, ready func(net.Addr)) (err error) {
	var down stack
	defer func() {
		// ctx is done by now: the way down needs a context of its own.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cfg.HTTP.ShutdownTimeout)
		defer cancel()
		err = errors.Join(err, down.unwind(ctx))
	}()

	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", cfg.HTTP.Addr)
	if err != nil {
		return fmt.Errorf("app: %w", err)
	}
	down.push("listener", func(context.Context) error {
		if err := ln.Close(); !errors.Is(err, net.ErrClosed) { // the server has usually done it
			return err
		}
		return nil
	})
	g, err := build(ctx, cfg, log, ln.Addr().String(), &down)
	if ctx.Err() != nil {
		return nil // told to stop before it was up
	}
	if err != nil {
		return fmt.Errorf("app: %w", err)
	}

	srv := newServer(cfg.HTTP, g.handler, log)
	down.push("http server", func(ctx context.Context) error { return shutdown(ctx, srv) })
	// The server waits for all answers, and some of them wait for something to happen.
	down.push("streams", func(context.Context) error { g.end(); return nil })
	failed := make(chan error, 3) // one for each server: none waits for a reader
	go func() { failed <- srv.Serve(ln) }()
	if err := g.serveEnvoy(ctx, &down, failed); err != nil {
		return fmt.Errorf("app: %w", err)
	}
	if err := g.servePprof(ctx, &down, failed); err != nil {
		return fmt.Errorf("app: %w", err)
	}
	log.InfoContext(ctx, "listening", "addr", ln.Addr().String())
	if ready != nil {
		ready(ln.Addr())
	}

	select {
	case <-ctx.Done():
	case err := <-failed:
		return fmt.Errorf("app: serve: %w", err)
	}
	g.draining.Store(true)
	log.InfoContext(ctx, "stopping", "drain_delay", cfg.HTTP.DrainDelay)
	select {
	case <-time.After(cfg.HTTP.DrainDelay):
		return nil
	case err := <-failed:
		return fmt.Errorf("app: serve: %w", err)
	}
}

// writeMargin is what an answer may take beyond the time limit of its request:
// the 503 that says so has to be written too.
const writeMargin = 5 * time.Second

func newServer(cfg config.HTTP, h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: cfg.ReadHeaderTimeout,
		ReadTimeout:       cfg.ReadHeaderTimeout + cfg.RequestTimeout, // a body that trickles in
		WriteTimeout:      cfg.RequestTimeout + writeMargin,
		IdleTimeout:       cfg.IdleTimeout,
		MaxHeaderBytes:    cfg.MaxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),

		DisableGeneralOptionsHandler: true, // OPTIONS * is a path like any other
	}
}

// shutdown waits for requests under way, and cuts off what is left of them when
// ctx is done.
func shutdown(ctx context.Context, srv *http.Server) error {
	if err := srv.Shutdown(ctx); err != nil {
		return errors.Join(err, srv.Close())
	}
	return nil
}
