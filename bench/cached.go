package main

import "fmt"

// cached is the coherent local cache (session_cache: tracking) on a gateway of its
// own, beside the handler without Redis.
func (s *suite) cached(binary string) func() error {
	return func() error {
		g, err := s.gateway(s.ctx, binary, "SESSIONGATE_SESSION_CACHE=tracking")
		if err != nil {
			return err
		}
		root, err := s.introspections("cached-root", "/", s.tokens)
		if err != nil {
			return err
		}
		introspect, err := s.introspections("cached", "/oauth2/introspect", s.tokens)
		if err != nil {
			return err
		}
		targets := []target{
			s.on("gin, form and token, no Redis", s.form, root),
			s.on("introspection, session_cache: tracking", g, introspect),
		}
		rows, err := table(s.ctx, targets, 64, s.rounds, s.duration)
		if err != nil {
			return err
		}
		write(s.out, fmt.Sprintf("## session_cache: tracking\n\n64 connections, %d rounds of %v, interleaved; medians.", s.rounds, s.duration),
			targets, rows)
		got := median(rows[1].ratios)
		s.note(got >= 0.95, "session_cache: tracking, introspection", "≥ 0.95 of the handler without Redis", "%.2f (%s)", got, spread(rows[1].ratios))
		return nil
	}
}
