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
	"syscall"

	"github.com/sessiongate/sessiongate/internal/command"
)

// version is set by the build: -ldflags "-X main.version=…".
var version = "dev"

//go:embed config.yaml
var reference []byte

func main() {
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
