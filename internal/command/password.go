package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/sessiongate/sessiongate/internal/config"
	"github.com/sessiongate/sessiongate/login"
)

// newHash reads a new password and returns its hash.
func (in *invocation) newHash(ctx context.Context, cfg config.Config, file string) (string, error) {
	password, err := in.readPassword(file)
	if err != nil {
		return "", err
	}
	if err := login.CheckPassword(password); err != nil {
		return "", fmt.Errorf("%w: the password %w", ErrUsage, err)
	}
	hasher, err := newHasher(cfg.Passwords)
	if err != nil {
		return "", err
	}
	return hasher.Hash(ctx, password)
}

func newHasher(p config.Passwords) (*login.Hasher, error) {
	return login.NewHasher(login.HasherOptions{
		MemoryKiB:   uint32(min(p.MemoryKiB, math.MaxUint32)),
		Iterations:  uint32(min(p.Iterations, math.MaxUint32)),
		Parallelism: uint8(min(p.Parallelism, math.MaxUint8)),
		Concurrency: p.Concurrency,
		MaxWait:     p.MaxWait,
	})
}

// readPassword reads a password from the file, else from standard input: asked
// for twice at a terminal, else its content without the last line break. Never
// from an argument, which every user of the machine can see.
func (in *invocation) readPassword(file string) (string, error) {
	if file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("%w: %w", ErrUsage, err)
		}
		return trimLineBreak(b), nil
	}
	if f, ok := in.Stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return in.askPassword(int(f.Fd()))
	}
	b, err := io.ReadAll(io.LimitReader(in.Stdin, login.MaxPasswordBytes+3))
	if err != nil {
		return "", fmt.Errorf("command: read the password: %w", err)
	}
	return trimLineBreak(b), nil
}

func (in *invocation) askPassword(terminal int) (string, error) {
	var typed [2]string
	for i, prompt := range []string{"Password: ", "Once more: "} {
		fmt.Fprint(in.Stderr, prompt)
		b, err := term.ReadPassword(terminal)
		fmt.Fprintln(in.Stderr)
		if err != nil {
			return "", fmt.Errorf("command: read the password: %w", err)
		}
		typed[i] = string(b)
	}
	if typed[0] != typed[1] {
		return "", errors.New("the two passwords differ")
	}
	return typed[0], nil
}

func trimLineBreak(b []byte) string {
	return strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
}
