package devstack

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Where packages put programs that they keep out of PATH; newest major version
// wins. Debian's PostgreSQL, then Homebrew's on both kinds of Mac.
var (
	redisPlaces    = []string{"/opt/homebrew/opt/redis*/bin", "/usr/local/opt/redis*/bin"}
	postgresPlaces = []string{
		"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin",
		"/opt/homebrew/opt/postgresql*/bin", "/usr/local/opt/postgresql*/bin",
	}
)

// findRedis returns the path of redis-server; PATH goes first.
func findRedis() (string, error) {
	if path, err := exec.LookPath("redis-server"); err == nil {
		return filepath.Abs(path)
	}
	for _, dir := range expand(redisPlaces) {
		if path := filepath.Join(dir, "redis-server"); executable(path) {
			return path, nil
		}
	}
	return "", fmt.Errorf("redis-server: %w", ErrMissing)
}

// findPostgres returns a directory with initdb and postgres of the given major
// version; of the one in PATH, else the newest, if version is "".
func findPostgres(version string) (string, error) {
	dirs := expand(postgresPlaces)
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			dirs = slices.Insert(dirs, 0, filepath.Dir(path))
		}
	}
	var seen []string
	for _, dir := range dirs {
		if !executable(filepath.Join(dir, "initdb")) || !executable(filepath.Join(dir, "postgres")) {
			continue
		}
		major := majorOf(filepath.Join(dir, "postgres"))
		if version == "" || major == version {
			return dir, nil
		}
		seen = append(seen, major)
	}
	if version != "" && len(seen) > 0 {
		return "", fmt.Errorf("the data was written by PostgreSQL %s, and only %s is installed: "+
			"install that version, or remove the data", version, strings.Join(slices.Compact(seen), ", "))
	}
	return "", fmt.Errorf("postgres: %w", ErrMissing)
}

// majorOf returns "15" for a binary that calls itself "postgres (PostgreSQL) 15.14 …".
func majorOf(postgres string) string {
	out, err := exec.Command(postgres, "--version").Output()
	if err != nil {
		return ""
	}
	_, version, _ := strings.Cut(string(out), ") ")
	major := strings.FieldsFunc(version, func(r rune) bool { return r < '0' || r > '9' })
	if len(major) == 0 {
		return ""
	}
	return major[0]
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// expand returns the directories that match, the highest number in a path first.
func expand(patterns []string) []string {
	var dirs []string
	for _, p := range patterns {
		found, _ := filepath.Glob(p) // fails on a malformed pattern only
		slices.SortFunc(found, func(a, b string) int { return cmp.Compare(versionIn(b), versionIn(a)) })
		dirs = append(dirs, found...)
	}
	return dirs
}

// versionIn returns the first number in a path, 0 if there is none.
func versionIn(path string) int {
	n, _ := strconv.Atoi(strings.Join(strings.FieldsFunc(path, func(r rune) bool { return r < '0' || r > '9' }), ""))
	return n
}
