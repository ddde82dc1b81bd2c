# Every target works from a fresh clone: the first one makes .venv, `up` and `test` install missing servers.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

# The interpreter .venv is made with; any Python of 3.11 or newer.
PYTHON ?= python3
# Where the tests run one after another, these say which took longest.
PYTEST := .venv/bin/python -m pytest --quiet --durations=10
STACK_COMMAND := .venv/bin/python -m common.stack
STAMP := .venv/installed-requirements.txt
CODE := common lease_svc payment_svc ledger_svc perf tests

.PHONY: help up down ps logs env rotate-key clean demo figures collections resolution tamper docs test lint types contracts unit integration e2e servers venv

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
	@eval "$$($(STACK_COMMAND) env)" && .venv/bin/python -m perf.demo

figures: up ## Start it, then measure its headline figures against their thresholds
	@eval "$$($(STACK_COMMAND) env)" && .venv/bin/python -m perf.figures

collections: servers ## Measure collections on a private system, also killed half way (LEASES=100000)
	@LEASES=$(or $(LEASES),20000) .venv/bin/python -m perf.collections_run

resolution: up ## Start it, then let a third of 1,000 attempts time out at the gateway, and compare the records
	@eval "$$($(STACK_COMMAND) env)" && .venv/bin/python -m perf.resolution

tamper: servers ## Falsify exports of a private system and see whether the verifier finds it all (TAMPERINGS=1000)
	@TAMPERINGS=$(or $(TAMPERINGS),1000) .venv/bin/python -m perf.tamper

docs: $(STAMP) ## Generate docs/events, docs/openapi and docs/DECLINES.md from the code
	@.venv/bin/python -m common.docs lease_svc payment_svc ledger_svc

test: lint types contracts unit integration e2e ## Run everything that must pass

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
	@$(PYTEST) tests/e2e

servers: $(STAMP)
	@$(STACK_COMMAND) install

venv: $(STAMP) ## Make .venv with the pinned packages

$(STAMP): requirements.txt
	@$(PYTHON) common/stack/venv.py
