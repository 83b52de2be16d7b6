# One entry point for everything. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2
# How often a test that failed is tried again; each that needed it is named at the end.
RERUNS ?= 0

.PHONY: help install proto proto-baseline buf toolchains test-clients demo test lint check sim \
  crash-states bench cluster clean

help:  ## This list.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

$(VENV)/.installed: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --group dev --editable '.[server]'
	@touch $@

install: $(VENV)/.installed  ## Make the virtual environment.

proto: install  ## Generate Python, the API reference and test vectors from proto/.
	$(BIN)/python -m grpc_tools.protoc -Iproto --python_out=. --pyi_out=. \
	  $$(cd proto && find . -name '*.proto' | sed 's,^\./,,' | sort)
	$(BIN)/python -m contract.reference > docs/api.md.new && mv docs/api.md.new docs/api.md
	$(BIN)/python -m contract.vectors

BUF := $(CURDIR)/var/buf/node_modules/.bin/buf
BUF_VERSION := 1.75.0
BASELINE := $(CURDIR)/proto/baseline.binpb
PROTO ?= proto

$(BUF):
	@mkdir -p var/buf
	@npm install --silent --prefix var/buf --no-save --no-package-lock @bufbuild/buf@$(BUF_VERSION)

buf: $(BUF)  ## Lint proto/ and look for breaking changes; needs npm.
	cd $(PROTO) && $(BUF) lint
	cd $(PROTO) && $(BUF) breaking --against $(BASELINE)
	cd $(PROTO) && $(BUF) breaking --against $(BASELINE) --config buf.stored.yaml

proto-baseline: $(BUF)  ## After a release: what it has in proto/ must not break from now on.
	cd proto && $(BUF) build --exclude-source-info -o $(BASELINE)

toolchains: install  ## What is missing to build the clients in other languages; INSTALL=1: get what Debian has.
	$(BIN)/python -m contract.toolchains $(if $(INSTALL),--install)

test-clients: install  ## Build the clients in all languages and run them against each other.
	@$(BIN)/python -m contract.toolchains || true
	$(BIN)/pytest -p no:xdist -rsR --reruns $(RERUNS) tests/clients

lint: install  ## Format, lint, types and layers.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint  ## Lint and the fast tests; about a minute.
	$(BIN)/pytest -q -n $(JOBS) --dist worksteal tests/unit tests/architecture tests/scenarios

test: lint  ## Lint and every test, 300 simulated seeds included.
	$(BIN)/pytest -n $(JOBS) --dist worksteal -rR --reruns $(RERUNS)

demo: install  ## Three nodes, a year of flights, one killed leader; proves that nothing is lost.
	$(BIN)/python -m examples.flights.demo

sim: install  ## Simulate: SEEDS=300 START=0, or BUDGET_MIN=80, or one SEED=17 twice with its trace.
	$(BIN)/python -m jepsen_like.sim $(if $(SEED),--seed $(SEED) \
	  $(if $(WITHOUT),--without $(WITHOUT)) $(if $(SKIP),--skip $(SKIP)) \
	  $(if $(STRIKES),--strikes $(STRIKES)) $(if $(OPERATIONS),--operations $(OPERATIONS)) \
	  $(if $(LOAD_MS),--load-ms $(LOAD_MS)) $(if $(PRODUCERS),--producers $(PRODUCERS)) \
	  $(if $(CONSUMERS),--consumers $(CONSUMERS)) $(if $(GROUPS),--groups $(GROUPS)) \
	  $(if $(MEMBERS),--members $(MEMBERS)),--start $(or $(START),0) \
	  $(if $(BUDGET_MIN),--minutes $(BUDGET_MIN),--seeds $(or $(SEEDS),300)))

crash-states: install  ## What power cuts leave of a disk, thousands of states: STATES=8000 SEED=1.
	$(BIN)/python -m jepsen_like.crash_states $(if $(STATES),--states $(STATES)) $(if $(SEED),--seed $(SEED))

bench: install  ## Beside Kafka on this machine; QUICK=1 for three minutes.
	$(BIN)/python -m benchmarks $(if $(QUICK),--quick)

cluster: install  ## Three nodes on loopback until Ctrl-C.
	$(BIN)/streamlog dev --nodes 3

clean:  ## Remove what the targets above made.
	rm -rf $(VENV) var build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
