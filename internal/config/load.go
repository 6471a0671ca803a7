package config

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"
)

// DefaultFile is read where no other file is named, if it is there: a container
// needs nothing but its environment.
const DefaultFile = "config.yaml"

// Load returns the settings of the file and the environment ("NAME=value", as
// from os.Environ), validated. With an empty path it takes SESSIONGATE_CONFIG,
// else DefaultFile. A wrong setting makes an *InvalidError, with all that is
// wrong. A variable that is set to nothing counts as not set.
func Load(path string, environ []string) (Config, error) {
	cfg, r, err := read(path, environ)
	if err != nil {
		return Config{}, err
	}
	return cfg, r.finish(cfg)
}

// Read is Load for those who complete the settings before they are valid: all
// is decoded, what was set wrongly is reported, what is missing is not.
func Read(path string, environ []string) (Config, error) {
	cfg, r, err := read(path, environ)
	if err != nil {
		return Config{}, err
	}
	return cfg, r.invalid()
}

// reader gathers the settings and what is wrong with them.
type reader struct {
	k        *koanf.Koanf
	fields   map[string]field  // by key
	sources  map[string]string // key: file or variable it came from
	fromEnv  map[string]bool
	problems []Problem
}

func read(path string, environ []string) (Config, *reader, error) {
	cfg := Default()
	r := &reader{
		k:       koanf.New("."),
		fields:  map[string]field{},
		sources: map[string]string{},
		fromEnv: map[string]bool{},
	}
	all := cfg.fields()
	for _, f := range all {
		r.fields[f.key] = f
	}
	if err := r.readFile(path, environ); err != nil {
		return Config{}, nil, err
	}
	if err := r.readEnviron(environ); err != nil {
		return Config{}, nil, err
	}
	for _, f := range all {
		if source, set := r.sources[f.key]; set {
			r.decode(f, source)
		}
	}
	return cfg, r, nil
}

func (r *reader) readFile(path string, environ []string) error {
	explicit := path != ""
	if !explicit {
		path = lookup(environ, FileVariable)
		explicit = path != ""
	}
	if !explicit {
		path = DefaultFile
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) && !explicit {
		return nil
	} else if err != nil {
		return &InvalidError{[]Problem{{Key: path, Want: "want a readable file: " + reason(err)}}}
	}
	if err := r.k.Load(rawbytes.Provider(b), yaml.Parser()); err != nil {
		return &InvalidError{[]Problem{{Key: path, Want: "want YAML: " + err.Error()}}}
	}
	for _, key := range r.k.Keys() {
		_, known := r.fields[key]
		switch {
		case known:
			r.sources[key] = path
		case !r.isSection(key):
			r.unknown(key, path, keysOf(r.fields))
		case !r.isEmpty(key):
			r.add(Problem{Key: key, Source: path, Given: given(r.k.Get(key)), Want: "want a section with settings"})
		}
	}
	return nil
}

func (r *reader) isSection(key string) bool {
	for k := range r.fields {
		if strings.HasPrefix(k, key+".") {
			return true
		}
	}
	return false
}

// isEmpty says whether everything below the key is commented out.
func (r *reader) isEmpty(key string) bool {
	v := r.k.Get(key)
	m, isMap := v.(map[string]any)
	return v == nil || isMap && len(m) == 0
}

// readEnviron lays the variables over the file's settings.
func (r *reader) readEnviron(environ []string) error {
	byVariable := map[string]field{}
	for _, f := range r.fields {
		byVariable[f.variable()] = f
	}
	names := keysOf(byVariable)
	transform := func(name, value string) (string, any) {
		if value == "" || slices.Contains([]string{FileVariable, DataDirVariable, urlVariable}, name) {
			return "", nil
		}
		f, known := byVariable[name]
		if !known {
			base, isFile := strings.CutSuffix(name, "_FILE")
			f, known = byVariable[base]
			if known = known && isFile && f.hidden(); !known {
				r.unknown(name, name, names)
				return "", nil
			}
			if lookup(environ, base) != "" {
				r.add(Problem{Key: f.key, Source: name, Want: "want one of " + base + " and " + name + ", not both"})
				return "", nil
			}
			b, err := os.ReadFile(value)
			if err != nil {
				r.add(Problem{Key: f.key, Source: name, Want: "want a readable file: " + reason(err)})
				return "", nil
			}
			value = strings.TrimRight(string(b), "\r\n")
		}
		r.sources[f.key] = name
		r.fromEnv[f.key] = true
		return f.key, value
	}
	o := env.Opt{Prefix: Prefix, TransformFunc: transform, EnvironFunc: func() []string { return environ }}
	if err := r.k.Load(env.Provider(".", o), nil); err != nil {
		return fmt.Errorf("config: read the environment: %w", err)
	}
	return nil
}

func (r *reader) add(p Problem) { r.problems = append(r.problems, p) }

func (r *reader) unknown(name, source string, known []string) {
	want := "no such setting"
	if similar := closest(name, known); similar != "" {
		want += "; did you mean " + similar + "?"
	}
	r.add(Problem{Key: name, Source: source, Want: want})
}

// finish adds what Validate finds to what could not be read, a problem a key.
func (r *reader) finish(cfg Config) error {
	var e *InvalidError
	if errors.As(cfg.Validate(), &e) {
		for _, p := range e.Problems {
			if !slices.ContainsFunc(r.problems, func(q Problem) bool { return q.Key == p.Key }) {
				p.Source = r.sources[p.Key]
				r.add(p)
			}
		}
	}
	return r.invalid()
}

func (r *reader) invalid() error {
	if len(r.problems) == 0 {
		return nil
	}
	return &InvalidError{r.problems}
}

// lookup returns the last value of a variable, as a shell would.
func lookup(environ []string, name string) string {
	for _, entry := range slices.Backward(environ) {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}

// reason is an error of the file system without what the caller has said already.
func reason(err error) string {
	var e *os.PathError
	if errors.As(err, &e) {
		return e.Path + ": " + e.Err.Error()
	}
	return err.Error()
}

func keysOf(m map[string]field) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// closest returns the candidate that takes the fewest edits, "" if even that is
// another word.
func closest(name string, candidates []string) string {
	best, limit := "", len(name)/4+1
	for _, c := range candidates {
		if d := distance(name, c); d < limit {
			best, limit = c, d
		}
	}
	return best
}

// distance is Levenshtein's, on bytes: settings are ASCII.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
