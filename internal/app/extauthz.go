package app

import (
	"context"
	"errors"
	"net"

	"github.com/sessiongate/sessiongate/internal/extauthz"
)

// serveEnvoy answers Envoy's questions on forward_auth.grpc_addr, if that is set.
// What ends the server before its time is sent to failed.
func (g *gateway) serveEnvoy(ctx context.Context, down *stack, failed chan<- error) error {
	addr := g.cfg.ForwardAuth.GRPCAddr
	if addr == "" {
		return nil
	}
	srv, err := extauthz.New(extauthz.Options{
		Decider: g.forwardAuth, Identity: g.forwardAuth.Identity, Login: g.forwardAuth.Login,
		Timeout: g.cfg.HTTP.RequestTimeout, Metrics: g.reg, Log: g.log,
	})
	if err != nil {
		return err
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	down.push("ext_authz server", func(ctx context.Context) error {
		err := srv.Shutdown(ctx)
		if errClose := ln.Close(); !errors.Is(errClose, net.ErrClosed) { // the server has usually done it
			err = errors.Join(err, errClose)
		}
		return err
	})
	go func() {
		if err := srv.Serve(ln); err != nil {
			failed <- err
		}
	}()
	g.log.InfoContext(ctx, "listening for Envoy", "addr", ln.Addr().String())
	return nil
}
