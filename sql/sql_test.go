package schema_test

import (
	"database/sql"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/lib/pq"
	"github.com/pressly/goose/v3"

	"github.com/sessiongate/sessiongate/internal/testenv"
	schema "github.com/sessiongate/sessiongate/sql"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// open returns one connection to an empty database and its migrations.
func open(t *testing.T) (*sql.DB, *goose.Provider) {
	t.Helper()
	db, err := sql.Open("postgres", testenv.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(1)
	m, err := goose.NewProvider(goose.DialectPostgres, db, schema.Migrations())
	if err != nil {
		t.Fatal(err)
	}
	return db, m
}

func TestSQLMigrationsGoUpAndDown(t *testing.T) {
	t.Parallel()
	db, m := open(t)
	for range 2 {
		if _, err := m.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := relations(t, db); len(got) < 10 {
			t.Fatalf("after Up there are %v", got)
		}
		if _, err := m.DownTo(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if got := relations(t, db); len(got) > 0 {
			t.Fatalf("after Down there still are %v", got)
		}
	}
}

// relations are the tables, indexes and sequences other than goose's own.
func relations(t *testing.T, db *sql.DB) []string {
	t.Helper()
	var names pq.StringArray
	err := db.QueryRowContext(t.Context(), `SELECT COALESCE(array_agg(CAST(relname AS text)), '{}') FROM pg_class
		WHERE relnamespace = CAST('public' AS regnamespace) AND relname NOT LIKE 'goose%'`).Scan(&names)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestSQLMigrationsLeaveOthersTablesAlone(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"users", "user_sessions", "session_logs", "session_logs_dead", "redis_partitions"} {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			db, m := open(t)
			if _, err := db.ExecContext(t.Context(), "CREATE TABLE "+table+" (theirs integer)"); err != nil {
				t.Fatal(err)
			}
			_, err := m.Up(t.Context())
			if pq.As(err, "42P07") == nil || !strings.Contains(err.Error(), table) {
				t.Errorf("error is %v, want duplicate_table that names %s", err, table)
			}
			if got := relations(t, db); !slices.Equal(got, []string{table}) {
				t.Errorf("there are %v, want %s alone", got, table)
			}
		})
	}
}

func TestSQLMigrationsAreNumberedWithoutGaps(t *testing.T) {
	t.Parallel()
	names, err := fs.Glob(schema.Migrations(), "*")
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		if !strings.HasPrefix(name, fmt.Sprintf("%05d_", i+1)) {
			t.Errorf("file %d is %s", i+1, name)
		}
	}
}

// TestSQLQueriesPrepare lets Postgres read every statement, and holds what its
// header says about the parameters to what Postgres makes of them.
func TestSQLQueriesPrepare(t *testing.T) {
	t.Parallel()
	db, m := open(t)
	if _, err := m.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob("queries/*.sql")
	if err != nil || len(names) == 0 {
		t.Fatalf("no statements: %v", err)
	}
	for _, file := range names {
		name := strings.TrimSuffix(filepath.Base(file), ".sql")
		t.Run(name, func(t *testing.T) {
			text := schema.Query(name)
			if !strings.HasPrefix(text, "-- "+name+": ") {
				t.Errorf("does not begin with its name")
			}
			if strings.Contains(text, "::") {
				t.Errorf("has a :: cast, of which sqlx eats a colon; write CAST(x AS type)")
			}
			if _, err := db.ExecContext(t.Context(), "PREPARE "+name+" AS "+text); err != nil {
				t.Fatal(err)
			}
			said := parameters(t, text)
			var same bool
			var real string
			err := db.QueryRowContext(t.Context(), `SELECT parameter_types = CAST($1 AS regtype[]), parameter_types
				FROM pg_prepared_statements WHERE name = $2`, pq.StringArray(said), name).Scan(&same, &real)
			if err != nil {
				t.Fatal(err)
			}
			if !same {
				t.Errorf("header says the parameters are %v, Postgres %s", said, real)
			}
		})
	}
}

var parameterLine = regexp.MustCompile(`(?m)^-- +\$(\d+) (\S+)  ?`)

// parameters returns the types in the header, in order.
func parameters(t *testing.T, text string) []string {
	t.Helper()
	types := []string{}
	for i, found := range parameterLine.FindAllStringSubmatch(text, -1) {
		if found[1] != strconv.Itoa(i+1) {
			t.Errorf("header describes $%s where $%d is due", found[1], i+1)
		}
		types = append(types, found[2])
	}
	return types
}

func TestSQLQueryPanicsOnAWrongName(t *testing.T) {
	t.Parallel()
	for what, do := range map[string]func(){
		"query":            func() { schema.Query("no_such_statement") },
		"ddl":              func() { schema.DDL("no_such_statement", nil) },
		"ddl, value short": func() { schema.DDL("create_month", map[string]string{"name": "x"}) },
	} {
		t.Run(what, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("did not panic")
				}
			}()
			do()
		})
	}
}

func TestSQLDDLFillsIn(t *testing.T) {
	t.Parallel()
	files, err := os.ReadDir("ddl")
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{"name": "session_logs_202601", "from": "2026-01-01", "to": "2026-02-01"}
	for _, f := range files {
		name := strings.TrimSuffix(f.Name(), ".sql")
		text := schema.DDL(name, values)
		if !strings.HasPrefix(text, "-- "+name+": ") || !strings.Contains(text, "session_logs_202601") {
			t.Errorf("%s is %q", name, text)
		}
	}
}
