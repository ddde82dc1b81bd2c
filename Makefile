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

.PHONY: help up down ps logs env clean demo figures e2e-latency capacity soak perf-compare history collections resolution docs test lint types contracts unit integration e2e doors servers venv bench stress loadtest rotate-key reconcile replay tamper ledger-figures

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

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

rotate-key: $(STAMP) ## Give the ledger a new signing key; the old public key stays known
	@$(STACK_COMMAND) rotate-key

clean: $(STAMP) ## Stop it and delete its data
	@$(STACK_COMMAND) clean

demo: up ## Start it, then tell a lease's life in the terminal
	@$(WITH_STACK) .venv/bin/python -m demo

figures: up ## Start it, then measure its headline figures against their thresholds
	@$(WITH_STACK) .venv/bin/python -m perf.system.headline

e2e-latency: servers ## Follow each command hop by hop on a private system (SECONDS=20 RATE=…)
	@.venv/bin/python -m perf.system.hop_latency --seconds $(or $(SECONDS),20) $(if $(RATE),--rate $(RATE))

capacity: servers ## Find the highest rate of creations that can be sustained, on a private system
	@.venv/bin/python -m perf.system.capacity

soak: servers ## The same load for a long time, on a private system: does anything grow? (RUN_TIME=30m)
	@RUN_TIME=$(or $(RUN_TIME),30m) .venv/bin/python -m perf.system.soak $(if $(RATE),--rate $(RATE))

perf-compare: servers ## Measure this checkout and another revision in turn (BASE=main)
	@.venv/bin/python -m perf.system.compare_revisions $(BASE)

history: up ## Measure this commit in every way, and add it to perf/history.jsonl
	@$(WITH_STACK) .venv/bin/python -m perf.reporting.history record

collections: servers ## Measure collections on a private system, also killed half way (LEASES=100000)
	@LEASES=$(or $(LEASES),20000) .venv/bin/python -m perf.system.collections

reconcile: $(STAMP) ## Compare the ledger with the outboxes, name and heal what differs (SINCE=2026-11-01, JSON=1)
	@$(WITH_STACK) .venv/bin/python -m ledger_svc reconcile $(if $(SINCE),--since $(SINCE)) $(if $(JSON),--json)

resolution: servers ## Take the gateway away amid attempts, on a private system: how soon is each resolved after its return? (ATTEMPTS=1000 OUTAGE=60s)
	@.venv/bin/python -m perf.system.unknown_resolution --attempts $(or $(ATTEMPTS),1000) --outage $(or $(OUTAGE),60s)

bench: servers ## Benchmark single operations against thresholds and this machine's stored figures (K=lease SAVE=1)
	@.venv/bin/python -m perf.bench $(if $(K),-k "$(K)") $(if $(SAVE),--save)

stress: servers ## Press a private system in three ways (SCENARIO=storm USERS=50 OPERATIONS=10)
	@.venv/bin/python -m tests.performance.stress_tests $(SCENARIO) \
		$(if $(USERS),--users $(USERS)) $(if $(OPERATIONS),--operations $(OPERATIONS))

loadtest: up ## Start it, then load it with simulated users (USERS=10 SPAWN_RATE=1 RUN_TIME=5m), at RATE=100 requests a second, or at RATE=max
	@$(WITH_STACK) .venv/bin/python -m perf.loadtest

replay: $(STAMP) ## Read the running system's stream again and compare it with the ledger (ARGS="rebuild --switch")
	@$(WITH_STACK) .venv/bin/python -m ledger_svc replay $(ARGS)

ledger-figures: servers ## Measure the ledger's writer, and a ledger of ENTRIES=5000000 against one of 10,000
	@.venv/bin/python -m perf.bench.ledger --entries $(or $(ENTRIES),5000000)

tamper: servers ## Falsify exports of a private system and see whether the verifier finds it all (TAMPERINGS=1000)
	@TAMPERINGS=$(or $(TAMPERINGS),1000) .venv/bin/python -m perf.checks.tamper

docs: $(STAMP) ## Generate the events, OpenAPI, decline codes and problems of docs/reference from the code
	@.venv/bin/python -m common.docgen lease_svc payment_svc ledger_svc

test: servers ## Run everything that must pass, two at a time
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

servers: $(STAMP)
	@$(STACK_COMMAND) install

venv: $(STAMP) ## Make .venv with the pinned packages

$(STAMP): requirements.txt
	@$(PYTHON) deployment/local/venv.py
