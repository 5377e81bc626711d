# The front door. `make` prints the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
CLIENTS := .venv-clients
CLIENTS_STAMP := $(CLIENTS)/.ready
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help setup clients demo format lint types floors test conformance docs bench faults check clean

help: ## print the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## make the virtual environment with Stoker and its tools in it

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "cannot set up: Stoker needs Python 3.11 or newer; pass PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --group dev
	@touch $@

clients: $(CLIENTS_STAMP) ## make the one with released Slurm clients, which the tests run

$(CLIENTS_STAMP): pyproject.toml $(STAMP)
	$(BIN)/python -m venv $(CLIENTS)
	$(CLIENTS)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(CLIENTS)/bin/python -m pip install --quiet --disable-pip-version-check --group clients
	@touch $@

demo: setup ## run real work on a private Stoker, killing the daemon on the way
	$(BIN)/stoker demo

format: setup ## put the code into its layout
	$(BIN)/ruff format src tests bench docs
	$(BIN)/ruff check --fix --quiet src tests bench docs

lint: setup ## check layout and rules
	$(BIN)/ruff format --check src tests bench docs
	$(BIN)/ruff check src tests bench docs

types: setup ## check the types
	$(BIN)/mypy
	$(BIN)/basedpyright

floors: setup ## check that imports go down only
	$(BIN)/lint-imports

test: setup clients ## run the tests
	$(PYTEST) -n auto --dist worksteal

conformance: setup ## replay recorded cases of a real Slurm: CASES=DIR, K=PATTERN, SHOW=ID
	cd tests && ../$(BIN)/python -m conformance $(if $(CASES),--cases '$(abspath $(CASES))') $(if $(K),-k '$(K)') $(if $(SHOW),--show '$(SHOW)') $(ARGS)

docs: setup ## print into docs/*.md what the code declares
	$(BIN)/python -m docs

bench: setup ## measure: throughput, latency, recovery
	$(BIN)/python -m bench

faults: setup ## kill, fill, exhaust: the fault campaign: SECONDS=540, SEED=N, ARGS=
	cd tests && ../$(BIN)/python -m campaign --seconds $(or $(SECONDS),540) $(if $(SEED),--seed $(SEED)) $(ARGS)

check: lint types floors test ## what CI runs

clean: ## remove what setup and the tools made
	rm -rf $(VENV) $(CLIENTS) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
