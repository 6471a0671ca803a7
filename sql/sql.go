// Package schema holds the gateway's SQL as files: the migrations that make the
// tables and the statements that use them. It has no logic of its own.
//
//	migrations/  goose files, NNNNN_name.sql, Up and Down
//	queries/     one statement a file, with the parameters $1, $2, …
//	ddl/         statements about a table whose name is only known when they
//	             run; Postgres takes no parameters there, so the names are
//	             filled in
//
// Times are timestamptz, ids of sessions and events uuid. A batch is a set of
// text arrays, one a column, that the statement casts; the empty text is NULL.
package schema

import (
	"embed"
	"io/fs"
	"strings"
)

//go:embed migrations/*.sql queries/*.sql ddl/*.sql
var files embed.FS

// Migrations returns the goose migrations, in the order of their file names.
func Migrations() fs.FS {
	sub, err := fs.Sub(files, "migrations")
	if err != nil {
		panic("schema: no migrations: " + err.Error()) // the directory is embedded above
	}
	return sub
}

// Query returns the statement in queries/<name>.sql. Call it in a package
// variable, so that a wrong name fails when the program starts.
func Query(name string) string { return read("queries/" + name + ".sql") }

// DDL returns the statements in ddl/<name>.sql with each {{key}} replaced by its
// value. Values are put in as they are: pass only what the program itself made.
// It panics if one is missing.
func DDL(name string, values map[string]string) string {
	text := read("ddl/" + name + ".sql")
	for k, v := range values {
		text = strings.ReplaceAll(text, "{{"+k+"}}", v)
	}
	if strings.Contains(text, "{{") {
		panic("schema: a value is missing for " + name)
	}
	return text
}

func read(path string) string {
	b, err := files.ReadFile(path)
	if err != nil {
		panic("schema: no file " + path)
	}
	return string(b)
}
