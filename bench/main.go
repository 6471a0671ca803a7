// Bench measures the gateway beside a bare gin handler on the same machine.
//
//	bench run     all the figures, paired and interleaved; writes RESULTS.md
//	bench quick   several gateways on the hot paths: before and after a change
//	bench memory  what a session costs in Redis, at 200,000 sessions
//	bench serve   one of the handlers that the gateway is compared with
//
// Machines are noisy and this one carries load generator, gateway and Redis at
// once: only the ratios within one run mean anything. `make bench` builds the
// gateway and runs all of it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("want one of run, memory, gin")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	var (
		binary   = flags.String("binary", "../bin/sessiongate", "the gateway to measure")
		binaries = flags.String("binaries", "", "gateways to compare, comma-separated")
		paths    = flags.String("paths", "introspect,forward,status", "what to compare them on")
		conns    = flags.String("connections", "64,4", "over how many connections")
		rounds   = flags.Int("rounds", 5, "how often each target is measured, in turn")
		duration = flags.Duration("duration", 4*time.Second, "of one measurement")
		addr     = flags.String("addr", "127.0.0.1:0", "where the handler listens")
		kind     = flags.String("kind", "gin", "of handler")
		results  = flags.String("results", "RESULTS.md", "where run writes what it found")
		events   = flags.Int("events", 1_000_000, "in the backlog of flush")
		sessions = flags.Int("sessions", 200_000, "to measure the memory of")
	)
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	switch args[0] {
	case "run":
		return everything(ctx, *binary, *results, *rounds, *sessions, *duration)
	case "quick":
		return quick(ctx, *binaries, *paths, *rounds, *duration, *conns)
	case "flush":
		return flushBench(ctx, *events)
	case "memory":
		_, err := memory(ctx, *sessions)
		return err
	case "serve":
		return serve(ctx, *kind, *addr)
	}
	return fmt.Errorf("unknown command %q, want run, quick, memory, flush or serve", args[0])
}
