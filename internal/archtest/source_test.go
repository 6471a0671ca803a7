package archtest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// root is the top of the repository, as tests of this package see it.
const root = "../.."

// unfinished matches a TODO that no issue stands behind. Spelled so that it does
// not match itself.
var unfinished = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b(\(#\d+\))?`)

// TestNothingIsLeftToDo: whoever finds a TODO must be able to find out who meant
// to do it: TODO(#12).
func TestNothingIsLeftToDo(t *testing.T) {
	t.Parallel()
	for path, text := range files(t, ".go", ".lua", ".sql", ".yaml", "Makefile", "Dockerfile") {
		for _, m := range unfinished.FindAllStringSubmatch(text, -1) {
			if m[2] == "" && !strings.HasPrefix(path, "internal/archtest/") {
				t.Errorf("%s: %s without the number of an issue", path, m[1])
			}
		}
	}
}

// TestTestsDoNotSleep: a test that sleeps is slow when all is well and fails when
// the machine is. Wait for a condition, or let testing/synctest do it.
func TestTestsDoNotSleep(t *testing.T) {
	t.Parallel()
	for path, text := range files(t, "_test.go") {
		if strings.Contains(text, "time.Sleep"+"(") {
			t.Errorf("%s sleeps", path)
		}
	}
}

// TestPackagesSayWhatTheyAreFor: a package comment is where a reader begins.
func TestPackagesSayWhatTheyAreFor(t *testing.T) {
	t.Parallel()
	documented := make(map[string]bool)
	for path, text := range files(t, ".go") {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		dir := filepath.Dir(path)
		documented[dir] = documented[dir] || packageComment.MatchString(text)
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("%s has no package comment", dir)
		}
	}
}

var packageComment = regexp.MustCompile(`(?m)^// .*\npackage |^// (Package|Command) `)

// TestScriptsSayWhatTheyTake: a script is called by position, so its header is
// the only declaration it has.
func TestScriptsSayWhatTheyTake(t *testing.T) {
	t.Parallel()
	found := 0
	for path, text := range files(t, ".lua") {
		if !strings.HasPrefix(path, "store/lua/") {
			continue
		}
		found++
		text = strings.TrimPrefix(text, firstLine(text, "#!")) // tells Redis the flags
		header, body := splitHeader(strings.TrimPrefix(text, "\n"))
		checkName(t, path, header)
		if name(path) == "prelude" || name(path) == "begin" {
			continue // not scripts of their own: they are put in front of others
		}
		for _, word := range []string{"KEYS", "Returns"} {
			if !strings.Contains(header, word) {
				t.Errorf("%s: the header does not say %s", path, word)
			}
		}
		for _, used := range position.FindAllString(body, -1) {
			if !documents(header, used) {
				t.Errorf("%s: the header does not say what %s is", path, used)
			}
		}
	}
	if found == 0 {
		t.Fatal("there are no scripts")
	}
}

var (
	position = regexp.MustCompile(`\b(KEYS|ARGV)\[\d+\]`)
	// span is a header's word for several positions at once: ARGV[6..11], ARGV[2..].
	span = regexp.MustCompile(`\b(KEYS|ARGV)\[(\d+)\.\.(\d*)\]`)
)

// documents says whether the header names the position or a span it lies in.
func documents(header, used string) bool {
	if strings.Contains(header, used) {
		return true
	}
	n := number(used[len("KEYS[") : len(used)-1])
	for _, m := range span.FindAllStringSubmatch(header, -1) {
		if strings.HasPrefix(used, m[1]) && n >= number(m[2]) && (m[3] == "" || n <= number(m[3])) {
			return true
		}
	}
	return false
}

// TestStatementsSayWhatTheyTake: the same for SQL.
func TestStatementsSayWhatTheyTake(t *testing.T) {
	t.Parallel()
	found := 0
	for path, text := range files(t, ".sql") {
		if !strings.HasPrefix(path, "sql/queries/") && !strings.HasPrefix(path, "sql/ddl/") {
			continue
		}
		found++
		header, body := splitHeader(text)
		checkName(t, path, header)
		for _, used := range parameter.FindAllString(body, -1) {
			if !regexp.MustCompile(`(?m)^-- *` + regexp.QuoteMeta(used) + `\s`).MatchString(header) {
				t.Errorf("%s: the header does not say what %s is", path, used)
			}
		}
		if strings.Contains(body, "::") {
			t.Errorf("%s: write CAST(x AS type); sqlx takes :: for the name of a parameter", path)
		}
	}
	if found == 0 {
		t.Fatal("there are no statements")
	}
}

var parameter = regexp.MustCompile(`\$\d+|\{\{\w+\}\}`)

// checkName: a header begins with the file's name and what it does.
func checkName(t *testing.T, path, header string) {
	t.Helper()
	if want := "-- " + name(path) + ": "; !strings.HasPrefix(header, want) {
		t.Errorf("%s: the header does not begin with %q", path, want)
	}
}

// splitHeader cuts a file after its first block of comments.
func splitHeader(text string) (header, body string) {
	rest := text
	for strings.HasPrefix(rest, "--") {
		_, rest, _ = strings.Cut(rest, "\n")
	}
	return text[:len(text)-len(rest)], rest
}

// firstLine returns the first line if it begins with prefix.
func firstLine(text, prefix string) string {
	line, _, _ := strings.Cut(text, "\n")
	if !strings.HasPrefix(line, prefix) {
		return ""
	}
	return line
}

// name is the file's name without its extension.
func name(path string) string {
	base := filepath.Base(path)
	return strings.TrimSuffix(base, filepath.Ext(base))
}

func number(s string) (n int) {
	for _, digit := range s {
		n = 10*n + int(digit-'0')
	}
	return n
}

// files returns the text of the repository's files whose names end in one of the
// endings, by path. What git ignores (.data) and vendored tools are not ours.
func files(t *testing.T, endings ...string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if hidden := strings.HasPrefix(entry.Name(), ".") && path != root; hidden || entry.Name() == "node_modules" {
				return fs.SkipDir
			}
			return nil
		}
		for _, ending := range endings {
			if strings.HasSuffix(path, ending) {
				text, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				relative, err := filepath.Rel(root, path)
				found[filepath.ToSlash(relative)] = string(text)
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
