#!/bin/sh
# Runs all vectors of clients/contract, and prints a line of JSON for each; for
# scripts/test-clients.mjs. It takes nothing.
set -eu
cd "$(dirname "$0")"
lines=$(mktemp)
trap 'rm -f "$lines"' EXIT
code=0
go test -count=1 -run '^TestContract$' . -report "$lines" >&2 || code=$?
cat "$lines"
exit "$code"
