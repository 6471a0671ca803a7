.DEFAULT_GOAL := help
SHELL := /bin/bash

TOOL    := go tool -modfile=tools/go.mod
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)

# How long each fuzz target runs in `make fuzz`.
FUZZTIME ?= 30s

.PHONY: help
help: ## Say what each target does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# exec: a Ctrl-C or SIGTERM meets the gateway itself, which stops its servers.
.PHONY: run
run: deps build ## Run a development gateway with its own Redis and Postgres
	@exec ./bin/sessiongate dev

.PHONY: deps
deps: ## Install redis-server, PostgreSQL and gcc if they are missing
	@scripts/deps.sh

.PHONY: deps-test
deps-test: ## Install Node.js, Chromium, nginx, Caddy, HAProxy and Apache as well
	@scripts/deps.sh node chromium gateways

.PHONY: build
build: ## Build bin/sessiongate
	go build -trimpath -ldflags '$(LDFLAGS)' -o bin/sessiongate .

.PHONY: test
test: deps-test ## All tests, with the race detector, against real servers
	$(TOOL) gotestsum --format pkgname -- -race -timeout 20m ./...
	@$(MAKE) --no-print-directory foreign test-clients

# -count=1: the go command does not see that the program has changed.
.PHONY: foreign
foreign: ## Other people's client libraries, for Go and Node.js, against the program
	@scripts/deps.sh node
	cd e2e/foreign && go test -count=1 ./...

NPM_CI := npm ci --prefer-offline --ignore-scripts --no-audit --no-fund --no-update-notifier

clients/typescript/dist: $(wildcard clients/typescript/src/*.ts) clients/typescript/package-lock.json
	@scripts/deps.sh node
	cd clients/typescript && $(NPM_CI) && npm run --silent build

# A program in Dart, compiled once: that takes longer than to run it.
DART_LIBRARIES := $(shell find clients/dart -name '*.dart')

define compile-dart
	@scripts/deps.sh node dart
	@mkdir -p $(@D)
	scripts/dart.sh --packages=clients/dart/test/package_config.json --snapshot=$@.new --snapshot-kind=kernel $<
	@mv $@.new $@
endef

bin/dart/tests.dill: clients/dart/test/main.dart clients/dart/test/package_config.json scripts/dart.sh $(DART_LIBRARIES)
	$(compile-dart)

bin/dart/example.dill: examples/dart/main.dart $(wildcard examples/dart/*.dart) scripts/dart.sh $(DART_LIBRARIES)
	$(compile-dart)

.PHONY: test-clients
test-clients: build clients/typescript/dist bin/dart/tests.dill ## The client libraries: their contract, and the real gateway
	@scripts/deps.sh node chromium dart
	cd clients/typescript && npm run --silent check
	node scripts/test-clients.mjs
	node scripts/test-dart.mjs
	for module in clients/go clients/go/gin; do (cd $$module && go test -race -count=1 ./...) || exit; done
	cd clients/typescript && npm run --silent test

.PHONY: example-web
example-web: clients/typescript/dist ## A web page with a session, against `make run`
	@exec node examples/web/server.mjs

.PHONY: example-dart
example-dart: bin/dart/example.dill ## A Flutter-shaped application on the console, against `make run`
	@exec scripts/dart.sh bin/dart/example.dill

.PHONY: example-go-api
example-go-api: ## A Go API behind the middleware, against `make run`
	@cd examples/go-api && exec go run .

.PHONY: gateways
gateways: deps-test ## Put the recipes of deploy/gateways through the matrix, and print it
	@matrix=$$(mktemp) && trap 'rm -f "$$matrix"' EXIT && \
		{ go test -count=1 ./e2e/gateways -matrix "$$matrix"; code=$$?; cat "$$matrix"; exit $$code; }

.PHONY: bench
bench: build ## Measure all figures beside a bare gin handler; writes bench/RESULTS.md
	@scripts/deps.sh bench
	cd bench && go build -o ../bin/bench . && ../bin/bench run -binary ../bin/sessiongate && ../bin/bench flush


.PHONY: lint
lint: ## Everything that reads the code without running it
	go vet ./...
	$(TOOL) staticcheck ./...
	@set -e; for module in bench e2e/foreign clients/go clients/go/gin examples/go-api; do \
		echo "$$module"; \
		(cd $$module && go vet ./... && go tool -modfile=$(CURDIR)/tools/go.mod staticcheck ./... && go fix -diff ./... && go mod tidy -diff); \
	done
	@files=$$($(TOOL) gofumpt -l .) && { test -z "$$files" || { echo "not formatted (make fmt):"; echo "$$files"; exit 1; } >&2; }
	go fix -diff ./...
	go mod tidy -diff

.PHONY: fmt
fmt: ## Format the code, and write it as the current Go would
	$(TOOL) gofumpt -w .
	go fix ./...

.PHONY: fuzz
fuzz: deps-test ## Fuzz each target for FUZZTIME (30s)
	@set -e; for package in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' "$$package" | grep '^Fuzz' || true); do \
			echo "$$package $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10s "$$package"; \
		done; \
	done

.PHONY: risk-report
risk-report: ## Measure the rules about unusual sign-ins on a made-up population (docs/RISK.md)
	go test -count=1 ./risk/simulation -run '^TestReport$$' -v -report $(CURDIR)/docs/RISK.md
