SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO ?= go
FUZZTIME ?= 10s
COUNT ?= 5
# A tool is built from its own go.mod, and works on those of go.work.
TOOL = $$(GOWORK=off $(GO) tool -modfile=$(CURDIR)/tools/tools.mod -n $(1))
MODULES = $(sort $(patsubst %/go.mod,%,$(shell find . -name go.mod -not -path '*/testdata/*')))

# The packages of the modules that are released, and the examples. A pattern stays
# in its module.
PACKAGES = ./... ./cmd/mq/... ./drivers/sqlite/... ./examples/... ./mqcron/... ./mqotel/... ./mqui/...

# The packages that must be covered by the tests, and by how much.
COVERED = github.com/portmq/mq github.com/portmq/mq/driver github.com/portmq/mq/drivers/mem
COVERMIN = 90

# The module whose tests use live servers. It waits more than it works, and
# under the race detector its times are too short: test-docker runs it so.
LIVE = ./internal/integration
SLOWEST = $(LIVE)/rabbitmq $(LIVE)/pgmq/suite $(LIVE)/cli $(LIVE)/pgmq/faults
export MQ_TEST_REQUIRE ?= pgmq,pgbouncer,rabbitmq
TESTSUM = bin/testsum -skips tools/skips.txt -secrets '$(SECRETS)' -args

# What stands in the passwords, bodies, headers and reasons with which tests look for leaks:
# none of it may be in anything that a test run prints.
SECRETS = c4n4ry|s3cret|hunter2

# The flag of go test with which tests are skipped that repeat in another
# set-up, or on real time, what another one shows.
SHORT ?= -short

# RACE are the modules whose tests run under the race detector, PLAIN those of programs,
# whose tests take mostly build time and run under it only in test-all. What takes longest
# to run comes first.
RACE ?= ./drivers/sqlite . ./mqcron ./mqui ./mqotel
PLAIN ?= ./cmd/mq ./examples ./tools

# SQLite's translated C code takes half the time under the race detector and is not ours
# to check. The code that calls it is.
RACEFLAGS = -race -gcflags=modernc.org/sqlite/lib=-race=false

comma := ,
empty :=
space := $(empty) $(empty)

# each runs $(1) in every module.
each = for m in $(MODULES); do (cd $$m && $(1)); done

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | \
		while IFS=$$'\t' read -r target what; do printf '  %-11s %s\n' "$$target" "$$what"; done

.PHONY: demo
demo: ## Run the orders job: make demo [DSN=sqlite://orders.db] [IN=orders.ndjson]
	@$(GO) build -o bin/orders ./examples/orders
	@bin/orders $(if $(DSN),-dsn '$(DSN)') $(if $(IN),-in '$(IN)')

.PHONY: test-versions
test-versions: ## Run the live tests on other versions of the servers: make test-versions [VERSIONS='postgres 13 18']
	@scripts/test-versions $(VERSIONS)

# The two parts run side by side: one uses the CPU, the other mostly waits. test-all, whose
# parts both are long, runs them one after the other. make check runs go vet.
JOBS ?= 2
.PHONY: test
test: gcc bin/testsum ## Run the tests of all modules, those of the library under the race detector
	@$(MAKE) --no-print-directory -k -j$(JOBS) test-race test-live

.PHONY: test-race
test-race: bin/testsum
	@$(TESTSUM) '$(RACEFLAGS) -shuffle=on -vet=off $(SHORT)' $(RACE)

.PHONY: test-live
test-live: bin/testsum bin/withservers servers
	@bin/withservers $(TESTSUM) '-shuffle=on -vet=off -timeout=30m -p=3 -parallel=4 $(SHORT)' $(SLOWEST) $(LIVE) $(PLAIN)

.PHONY: test-all
test-all: ## Run test with the full product of suite and set-ups, and every module without a server under the race detector
	@$(MAKE) --no-print-directory test SHORT= JOBS=1 RACE='$(RACE) $(PLAIN) ./bench ./internal/integration/sqlite' PLAIN=

.PHONY: test-loaded
test-loaded: ## Run test three times over beside four busy loops: how flakiness is found
	@scripts/loaded $(MAKE) --no-print-directory test

.PHONY: test-pgmq
test-pgmq: bin/testsum bin/withservers servers ## Run the tests on PostgreSQL: make test-pgmq [MQ_TEST_POSTGRES=postgres://...] [TESTFLAGS=-run=TestPGX]
	@bin/withservers $(TESTSUM) '-shuffle=on -timeout=30m -p=2 $(TESTFLAGS)' $(LIVE)

.PHONY: test-rabbitmq
test-rabbitmq: bin/testsum servers ## Run the tests on RabbitMQ: make test-rabbitmq [MQ_TEST_AMQP=amqp://...] [TESTFLAGS=-run=TestRabbitMQ]
	@$(TESTSUM) '-shuffle=on -timeout=20m $(TESTFLAGS)' $(LIVE)/rabbitmq

.PHONY: ui-test
ui-test: bin/withservers servers ## Look at the web page in a browser, with a million messages, and take its pictures
	@cd $(LIVE) && $(CURDIR)/bin/withservers $(GO) test -count=1 -timeout=30m -v ./ui -update

.PHONY: test-docker
test-docker: bin/testsum ## Make the mq command's image, and run the main tests on PostgreSQL in a container, under the race detector
	@scripts/with-docker scripts/image mq-test
	@MQ_TEST_POSTGRES_FROM=docker scripts/with-docker $(TESTSUM) \
		'-race -shuffle=on -parallel=4 -run=^Test(PGX|Database|Role|Restart|Killed)$$ -skip=/body/limit$$' $(LIVE)/server $(LIVE)/pgmq/suite

.PHONY: gcc
gcc:
	@scripts/need 'gcc=gcc libc6-dev' jq=jq || true

# Where they cannot be installed the tests say what they miss.
.PHONY: servers
servers: gcc
	@scripts/need /usr/lib/postgresql=postgresql pgbouncer=pgbouncer /usr/lib/rabbitmq=rabbitmq-server || true
	@scripts/need chromium=chromium || true

.PHONY: check
check: ## Check format, go.mod, vet, staticcheck, errcheck, go fix, and what links and imports what
	@echo gofumpt
	@files=$$($(call TOOL,gofumpt) -l .); if [[ -n $$files ]]; then echo "make fmt would change: $$files"; exit 1; fi
	@echo go mod tidy
	@scripts/tidy -diff
	@echo go vet
	@$(call each,$(GO) vet ./...)
	@echo staticcheck
	@$(call each,$(call TOOL,staticcheck) ./...)
	@echo errcheck
	@$(call each,$(call TOOL,errcheck) -exclude $(CURDIR)/tools/errcheck.txt ./...)
	@echo go fix
	@$(call each,$(GO) fix -diff ./...)
	@echo the repository\'s own rules
	@$(GO) test -count=1 -run '^TestRepo' ./internal/repo

.PHONY: docs-test
docs-test: ## Run every program, command and snippet of the README and the docs, and every example
	@$(GO) test -count=1 -run '^(TestDocs|TestGuide|Example)' $(PACKAGES)

.PHONY: api
api: ## Show how the API differs from the last release
	@scripts/apidiff

.PHONY: build
build: ## Build the mq command: bin/mq
	@CGO_ENABLED=0 $(GO) build -buildvcs=auto -trimpath -o bin/mq ./cmd/mq

.PHONY: image
image: ## Make a container image of the mq command: make image [TAG=mq]
	@scripts/image $(TAG)

.PHONY: fmt
fmt: ## Format and modernise the code
	@$(call TOOL,gofumpt) -w .
	@$(call each,$(GO) fix ./...)

.PHONY: tidy
tidy: ## Tidy the go.mod of every module
	@scripts/tidy

.PHONY: race
race: ## Run the library's tests COUNT=5 times over, shuffled, under the race detector
	@$(GO) test -race -shuffle=on -count=$(COUNT) $(PACKAGES)

.PHONY: fuzz
fuzz: ## Fuzz every fuzz target for FUZZTIME=10s
	@scripts/fuzz $(FUZZTIME)

.PHONY: chaos
chaos: DURATION ?= 5m
chaos: PROVIDER ?= all
chaos: servers ## Break the backends and the workers at random, and prove that all promises were kept: make chaos [DURATION=5m] [SEED=42] [PROVIDER=sqlite,pgx] [CHAOSFLAGS='-keep bin']
	@cd internal/chaos && $(GO) build -o $(CURDIR)/bin/chaos .
	@bin/chaos -duration $(DURATION) -provider '$(PROVIDER)' $(if $(SEED),-seed $(SEED)) $(CHAOSFLAGS)

.PHONY: soak
soak: DURATION ?= 2m
soak: PROVIDER ?= pgmq,rabbitmq
soak: RATE ?= 500
soak: servers ## Send at a steady rate, and see whether anything grows: make soak [DURATION=1h] [RATE=500] [PROVIDER=pgmq,rabbitmq] [SOAKFLAGS='-break snapshot']
	@cd bench && $(GO) build -o $(CURDIR)/bin/soak ./soak
	@bin/soak -duration $(DURATION) -provider '$(PROVIDER)' -rate $(RATE) -dir bin $(SOAKFLAGS)

.PHONY: bench
bench: ## Measure mq beside its embedded peers: make bench [BENCHFLAGS='-n 100000 -rounds 5']
	@cd bench && $(GO) run . $(BENCHFLAGS)

.PHONY: bench-pgmq
bench-pgmq: ## Measure mq on PGMQ beside hand-written SQL and River: make bench-pgmq [BENCHFLAGS='-only a,c']
	@cd bench && $(GO) run ./pgmq $(BENCHFLAGS)

.PHONY: bench-sqlite
bench-sqlite: ## Measure mq on SQLite beside hand-written SQL and goqite: make bench-sqlite [BENCHFLAGS='-only a,c']
	@cd bench && $(GO) run ./sqlite $(BENCHFLAGS)

.PHONY: bench-rabbitmq
bench-rabbitmq: ## Measure mq on RabbitMQ beside amqp091-go by hand and Watermill: make bench-rabbitmq [BENCHFLAGS='-only a']
	@cd bench && $(GO) run ./rabbitmq $(BENCHFLAGS)

.PHONY: cover
cover: bin/covercheck ## Print the statement coverage of the core, and fail under COVERMIN=90 percent
	@$(GO) test -short -coverprofile=cover.out -coverpkg=$(subst $(space),$(comma),$(COVERED)) $(PACKAGES) >bin/cover.log || { cat bin/cover.log; exit 1; }
	@bin/covercheck -min $(COVERMIN) cover.out $(COVERED)

bin/withservers: FORCE
	@cd $(LIVE) && $(GO) build -o $(CURDIR)/$@ ./withservers

bin/%: FORCE
	@cd tools && $(GO) build -o ../$@ ./$*

.PHONY: FORCE
FORCE:
