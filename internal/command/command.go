// Package command is the command line: what `sessiongate <command>` does. It
// reads arguments, environment and standard input, calls the packages that do
// the work, and writes for people. It never exits and knows no global state, so
// that a test can run a command as a shell would.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/sessiongate/sessiongate/internal/config"
)

// Process is what a command sees of the process it runs in.
type Process struct {
	Args    []string // without the program's name
	Environ []string // "NAME=value"
	Stdin   io.Reader
	Stdout  io.Writer // the result
	Stderr  io.Writer // everything else

	Version   string
	Reference []byte // config.yaml as it is in the repository
}

// ErrUsage is wrapped by the error of a command line that makes no sense.
var ErrUsage = errors.New("usage")

// errUnhealthy: doctor found something. It has been printed.
var errUnhealthy = errors.New("not healthy")

// ExitCode returns what the process should exit with: 0 without an error, 2 for
// a wrong command line or configuration, which no retry will mend, else 1.
func ExitCode(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, ErrUsage), errors.Is(err, config.ErrInvalid):
		return 2
	}
	return 1
}

// line is the command line.
type line struct {
	Config string `help:"Read the settings from this file. Default: $SESSIONGATE_CONFIG, else ./config.yaml if it is there." placeholder:"FILE" type:"path"`

	Serve    serveCommand    `cmd:"" help:"Run the gateway."`
	Dev      devCommand      `cmd:"" help:"Run a development gateway, with a Redis and a Postgres of its own."`
	Migrate  migrateCommand  `cmd:"" help:"Bring the database schema up to date, and nothing else."`
	Doctor   doctorCommand   `cmd:"" help:"Check the configuration, Redis and Postgres, and say what to do."`
	Keys     keysCommand     `cmd:"" help:"Print the names of a user's keys in Redis; list and rotate the keys that sign tokens."`
	Users    usersCommand    `cmd:"" help:"Add, list, disable, enable and erase users, and set passwords."`
	Notices  noticesCommand  `cmd:"" help:"List what people and programs are told, and send what was parked."`
	Settings settingsCommand `cmd:"" name:"config" help:"Check or print the configuration."`
	Version  versionCommand  `cmd:"" help:"Print the version."`
}

// Run runs one command until it is done or ctx is. The error is for standard
// error; ExitCode says what it means.
func Run(ctx context.Context, p Process) error {
	var l line
	helped := false
	parser, err := kong.New(&l,
		kong.Name("sessiongate"),
		kong.Description("A session gateway: it signs users in, keeps their sessions in Redis, and tells other "+
			"services whether a token is still good."),
		kong.Writers(p.Stdout, p.Stderr),
		kong.Exit(func(int) { helped = true }), // --help would exit here
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.BindTo(ctx, (*context.Context)(nil)),
	)
	if err != nil {
		return fmt.Errorf("command: %w", err)
	}
	parsed, err := parser.Parse(p.Args)
	if helped {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: %w; see sessiongate --help", ErrUsage, err)
	}
	return parsed.Run(&invocation{Process: p, file: l.Config})
}

// invocation is what a command gets to run with.
type invocation struct {
	Process
	file string // --config
}

// load returns the complete configuration.
func (in *invocation) load() (config.Config, error) { return config.Load(in.file, in.Environ) }

// loadOnly returns a configuration of which only the named sections or settings
// have been validated: a command that migrates needs no signing secret.
func (in *invocation) loadOnly(names ...string) (config.Config, error) {
	cfg, err := config.Read(in.file, in.Environ)
	if err != nil {
		return cfg, err
	}
	var e *config.InvalidError
	if !errors.As(cfg.Validate(), &e) {
		return cfg, nil
	}
	var problems []config.Problem
	for _, p := range e.Problems {
		for _, s := range names {
			if p.Key == s || strings.HasPrefix(p.Key, s+".") {
				problems = append(problems, p)
			}
		}
	}
	if len(problems) == 0 {
		return cfg, nil
	}
	return cfg, &config.InvalidError{Problems: problems}
}

// variable returns the value of an environment variable, the last one as a shell
// would, "" if it is not set.
func (in *invocation) variable(name string) string {
	value := ""
	for _, entry := range in.Environ {
		if v, ok := strings.CutPrefix(entry, name+"="); ok {
			value = v
		}
	}
	return value
}

func (in *invocation) printf(format string, args ...any) { fmt.Fprintf(in.Stdout, format, args...) }

type versionCommand struct{}

func (versionCommand) Run(in *invocation) error {
	in.printf("sessiongate %s\n", in.Version)
	return nil
}
