// Sessiongate is a session gateway: it signs users in, keeps their sessions in
// Redis, and tells other services whether a token is still good.
//
// Start with docs/ARCHITECTURE.md. The settings are in config.yaml.
package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"github.com/sessiongate/sessiongate/internal/command"
)

// version is set by the build: -ldflags "-X main.version=…".
var version = "dev"

//go:embed config.yaml
var reference []byte

func main() {
	tuneMemory()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once

	err := command.Run(ctx, command.Process{
		Args:      os.Args[1:],
		Environ:   os.Environ(),
		Stdin:     os.Stdin,
		Stdout:    os.Stdout,
		Stderr:    os.Stderr,
		Version:   version,
		Reference: reference,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "sessiongate:", err)
	}
	os.Exit(command.ExitCode(err))
}

// gcPercent trades memory, of which a gateway needs little, for time: at the load
// that it is made for the collector would run many times a second.
const gcPercent = 400

// tuneMemory sets how the collector works, unless the environment does (GOGC,
// GOMEMLIMIT). A container's limit is taken for a bound: near it the collector works
// harder instead of being killed.
func tuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	text, err := os.ReadFile("/sys/fs/cgroup/memory.max")
	if err != nil {
		return // no cgroup, or another system
	}
	if limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil { // "max" for none
		debug.SetMemoryLimit(limit / 10 * 9)
	}
}
