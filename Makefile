# Every target works from a fresh clone: the first one makes .venv, `up` and `test` install missing servers.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

# The interpreter .venv is made with; any Python of 3.11 or newer.
PYTHON ?= python3
# Where the tests run one after another, these say which took longest.
PYTEST := .venv/bin/python -m pytest --quiet --durations=10
STACK_COMMAND := .venv/bin/python -m deployment.local
# Before a command: the addresses of the stack; where there is none, nothing is run.
WITH_STACK := exports="$$($(STACK_COMMAND) env)" && eval "$$exports" &&
STAMP := .venv/installed-requirements.txt
CODE := common deployment lease_svc payment_svc ledger_svc gateway_sandbox demo perf tests

.PHONY: help venv servers up down ps logs env clean demo figures bench stress loadtest e2e-latency capacity soak collections resolution ledger-figures perf-compare history test lint types contracts unit integration e2e doors tamper reconcile replay rotate-key docs

help: ## List the targets by what they are for
	@awk -F ':.*## ' '/^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Set up
venv: $(STAMP) ## Make .venv with the pinned packages

$(STAMP): requirements.txt
	@$(PYTHON) deployment/local/venv.py

servers: $(STAMP) ## Install PostgreSQL and RabbitMQ where they are missing
	@$(STACK_COMMAND) install

##@ Run
up: $(STAMP) ## Start the whole system in the background; returns when it is healthy
	@$(STACK_COMMAND) up

down: $(STAMP) ## Stop it; the data is kept
	@$(STACK_COMMAND) down

ps: $(STAMP) ## Show its processes
	@$(STACK_COMMAND) ps

logs: $(STAMP) ## Show the last lines of its logs (NAME=lease-api LINES=100)
	@$(STACK_COMMAND) logs --lines $(or $(LINES),20) $(NAME)

env: $(STAMP) ## Print its addresses with passwords: eval "$(make -s env)"
	@$(STACK_COMMAND) env

clean: $(STAMP) ## Stop it and delete its data
	@$(STACK_COMMAND) clean

demo: up ## Start it, then play a lease's life in the terminal, every claim checked
	@$(WITH_STACK) .venv/bin/python -m demo

##@ Measure
figures: up ## Start it, then measure its headline figures against their thresholds
	@$(WITH_STACK) .venv/bin/python -m perf.system.headline

bench: servers ## Benchmark single operations against thresholds and this machine's stored figures (K=lease SAVE=1)
	@.venv/bin/python -m perf.bench $(if $(K),-k "$(K)") $(if $(SAVE),--save)

stress: servers ## Press a private system in three ways (SCENARIO=storm USERS=50 OPERATIONS=10)
	@.venv/bin/python -m tests.performance.stress_tests $(SCENARIO) \
		$(if $(USERS),--users $(USERS)) $(if $(OPERATIONS),--operations $(OPERATIONS))

loadtest: up ## Start it, then load it with simulated users (USERS=10 SPAWN_RATE=1 RUN_TIME=5m) or at a rate (RATE=100 or RATE=max)
	@$(WITH_STACK) .venv/bin/python -m perf.loadtest

e2e-latency: servers ## Follow each command hop by hop on a private system (SECONDS=20 RATE=50)
	@.venv/bin/python -m perf.system.hop_latency --seconds $(or $(SECONDS),20) $(if $(RATE),--rate $(RATE))

capacity: servers ## Find the highest rate of creations that a private system sustains
	@.venv/bin/python -m perf.system.capacity

soak: servers ## Load a private system for a long time: does anything grow? (RUN_TIME=30m RATE=50)
	@RUN_TIME=$(or $(RUN_TIME),30m) .venv/bin/python -m perf.system.soak $(if $(RATE),--rate $(RATE))

collections: servers ## Measure a day's collections on a private system, also killed half way (LEASES=20000)
	@LEASES=$(or $(LEASES),20000) .venv/bin/python -m perf.system.collections

resolution: servers ## Take a private system's gateway away: when is each attempt resolved after its return? (ATTEMPTS=1000 OUTAGE=60s)
	@.venv/bin/python -m perf.system.unknown_resolution --attempts $(or $(ATTEMPTS),1000) --outage $(or $(OUTAGE),60s)

ledger-figures: servers ## Measure the ledger's writer, and a large ledger against one of 10,000 entries (ENTRIES=5000000)
	@.venv/bin/python -m perf.bench.ledger --entries $(or $(ENTRIES),5000000)

perf-compare: servers ## Measure this checkout and another revision in turn (BASE=main)
	@.venv/bin/python -m perf.system.compare_revisions $(BASE)

history: up ## Measure this commit in every way, and add it to perf/history.jsonl
	@$(WITH_STACK) .venv/bin/python -m perf.reporting.history record

##@ Check
test: servers ## Run all of the following but `doors` and `tamper`, two at a time
	@$(MAKE) --no-print-directory --jobs=2 e2e integration unit lint types contracts

lint: $(STAMP) ## Check style
	@.venv/bin/python -m ruff check $(CODE)

types: $(STAMP) ## Check types
	@.venv/bin/python -m mypy

contracts: $(STAMP) ## Check which packages import which
	@.venv/bin/lint-imports

unit: $(STAMP) ## Run the tests that need no servers
	@$(PYTEST) tests/unit

integration: servers ## Run the tests against a real PostgreSQL and RabbitMQ
	@$(PYTEST) tests/integration

e2e: servers ## Run the tests against whole systems
	@$(PYTEST) tests/e2e -m "not long"

doors: servers ## Run the commands of the performance guide, as they are written there, for a moment each
	@$(PYTEST) tests/e2e -m long

tamper: servers ## Falsify exports of a private system: does the verifier find each? (TAMPERINGS=1000)
	@TAMPERINGS=$(or $(TAMPERINGS),1000) .venv/bin/python -m perf.checks.tamper

##@ Maintain
reconcile: $(STAMP) ## Compare the ledger with the outboxes, name and heal what differs (SINCE=2026-11-01, JSON=1)
	@$(WITH_STACK) .venv/bin/python -m ledger_svc reconcile $(if $(SINCE),--since $(SINCE)) $(if $(JSON),--json)

replay: $(STAMP) ## Read the running system's stream again and compare it with the ledger (ARGS="rebuild --switch")
	@$(WITH_STACK) .venv/bin/python -m ledger_svc replay $(ARGS)

rotate-key: $(STAMP) ## Give the ledger a new signing key; the old public key stays known
	@$(STACK_COMMAND) rotate-key

docs: $(STAMP) ## Write the generated pages of docs/reference, and the processes in compose.yaml
	@.venv/bin/python -m common.docgen lease_svc payment_svc ledger_svc
	@.venv/bin/python -m deployment.compose_file
