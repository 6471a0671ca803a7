package archtest

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/sessiongate/sessiongate"

// rules names, for each package, the packages of this module that it may import.
// A package that is not here may not exist. It is a decision, not a description:
// to change it, change docs/ARCHITECTURE.md in the same commit and say why there.
var rules = map[string][]string{
	// The vocabulary and the SQL know nobody.
	"session": {},
	"sql":     {},

	// State. jobs and store are the only two that know how an event travels:
	// jobs may name store's values (Entry, Fence, its errors) but meets the stores
	// themselves through interfaces of its own, as everybody does.
	// store knows risk as data: it fills histories and stores assessments.
	"store": {"session", "sql", "risk"},
	"jobs":  {"session", "store"},

	// The domain.
	"tokens": {"session"},
	"geo":    {"session"},
	"risk":   {"session"},
	"notify": {"session"}, // words and sends; the outbox is store's, the trying again is jobs'

	"risk/simulation": {"session", "risk"}, // what risk is measured by

	"login": {"session", "tokens", "risk"},

	// The edge. Nothing here knows where state is kept.
	"middleware": {"session", "tokens", "internal/problem", "internal/browser"},
	"handlers":   {"session", "tokens", "login", "internal/problem", "internal/browser"},

	// Plumbing, each of one kind.
	"internal/problem":   {"session"},
	"internal/browser":   {"session", "internal/problem"},             // cookies, and whose pages may use them
	"internal/extauthz":  {"session", "handlers", "internal/problem"}, // forward-auth in Envoy's protocol
	"internal/config":    {},
	"internal/telemetry": {},
	"internal/devstack":  {},
	"internal/testenv":   {"internal/devstack"},
	"internal/sink":      {}, // what a gateway sends arrives here, in tests
	"internal/archtest":  {},

	// Wiring knows all the others.
	"internal/app":     everything,
	"internal/command": everything,
	"":                 {"internal/command"}, // main.go
	"e2e":              {},                   // black box: HTTP and the binary
	"e2e/gateways":     {},                   // the same, through the gateways in front
}

// everything is what the wiring may import: all but the program itself and what
// is for tests only (testOnly).
var everything = []string{"*"}

// testOnly are packages that only _test.go files may import. go list without
// -test does not see those.
var testOnly = []string{
	"internal/testenv", "internal/sink", "internal/archtest", "e2e", "e2e/gateways", "risk/simulation",
}

// onlyIn names the packages that may import a library directly. The others meet
// it through one of these, if at all. A library stands for its subpackages too.
var onlyIn = map[string][]string{
	"github.com/gin-gonic/gin":              {"handlers", "middleware", "internal/problem", "internal/app"},
	"github.com/redis/go-redis/v9":          {"store", "internal/app", "internal/devstack", "internal/testenv"},
	"github.com/jmoiron/sqlx":               {"store", "internal/app"},
	"github.com/lib/pq":                     {"store", "internal/app", "internal/devstack", "internal/testenv"},
	"github.com/pressly/goose/v3":           {"store"},
	"github.com/robfig/cron/v3":             {"jobs"},
	"github.com/golang-jwt/jwt/v5":          {"tokens"},
	"github.com/wneessen/go-mail":           {"notify"},
	"github.com/SherClockHolmes/webpush-go": {"notify"},
	"github.com/emersion":                   {"internal/sink"},
	"golang.org/x/crypto/argon2":            {"login"},
	"golang.org/x/crypto/bcrypt":            {"login"},
	"github.com/knadh/koanf":                {"internal/config"},
	"github.com/alecthomas/kong":            {"internal/command"},

	"github.com/oschwald/maxminddb-golang/v2": {"geo"},

	"google.golang.org/grpc":                 {"internal/extauthz"},
	"google.golang.org/genproto":             {"internal/extauthz"},
	"github.com/envoyproxy/go-control-plane": {"internal/extauthz"},
}

// banned names packages that must not be linked into the program, and why.
var banned = map[string]string{
	"testing": "test helpers must stay out of the binary",
}

// pkg is what go list says of a package.
type pkg struct {
	ImportPath string
	Name       string
	Imports    []string // without those of _test.go files
	Deps       []string
}

func TestImports(t *testing.T) {
	t.Parallel()
	for _, p := range list(t, module+"/...") {
		name := local(p.ImportPath)
		allowed, ruled := rules[name]
		if !ruled {
			t.Errorf("package %s has no rule: say in rules what it may import", p.ImportPath)
			continue
		}
		for _, imported := range p.Imports {
			if within(imported, module) && !mayImport(allowed, local(imported)) {
				t.Errorf("%s imports %s; the rules allow it %q", p.ImportPath, imported, allowed)
			}
			for library, users := range onlyIn {
				if within(imported, library) && !slices.Contains(users, name) {
					t.Errorf("%s imports %s; only %q may", p.ImportPath, imported, users)
				}
			}
		}
	}
}

func TestBinary(t *testing.T) {
	t.Parallel()
	main := list(t, module)[0]
	if main.Name != "main" {
		t.Fatalf("%s is package %s, want the program", module, main.Name)
	}
	for _, dep := range main.Deps {
		if why, bad := banned[dep]; bad {
			t.Errorf("the program links %s: %s; see go list -deps", dep, why)
		}
		if within(dep, module) && slices.Contains(testOnly, local(dep)) {
			t.Errorf("the program links %s, which is for tests", dep)
		}
	}
}

func mayImport(allowed []string, name string) bool {
	if slices.Contains(testOnly, name) || name == "" {
		return false
	}
	return slices.Contains(allowed, name) || slices.Equal(allowed, everything)
}

// local returns the path of one of our packages within the module.
func local(importPath string) string {
	return strings.TrimPrefix(strings.TrimPrefix(importPath, module), "/")
}

// within says whether the package is root or below it.
func within(importPath, root string) bool {
	return importPath == root || strings.HasPrefix(importPath, root+"/")
}

func list(t *testing.T, pattern string) []pkg {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Name,Imports,Deps", pattern).Output()
	if err != nil {
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			err = errors.New(string(failed.Stderr))
		}
		t.Fatalf("go list %s: %v", pattern, err)
	}
	var pkgs []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}
