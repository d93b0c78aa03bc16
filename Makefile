# Every target sets up what it needs first, once. `make` lists them.
# pip's own settings (mirrors, certificates, caches) come from the environment.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
SETUP := $(VENV)/.setup
DASHBOARD := api/dashboard/index.html
# A Node.js that is new enough comes first in PATH, wherever it is.
NODE = export PATH="$$($(PY) -m deploy.local node | tail -n 1):$$PATH" && cd dashboard &&
LOCK = $(BIN)/pip-compile --quiet --strip-extras --unsafe-package=coby --generate-hashes \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links

# make faults CASE=2 SEED=1 ROUNDS=50 · make demo FOR=60 · make test TESTS=word · make bench sim-test ARGS=…
# Most of the tests' time is waiting for servers, so two sets of them side by side; a module's tests stay together.
PYTEST := $(PY) -m pytest -n 2 --dist loadscope
FOR ?=
CASE ?=
SEED ?=
ROUNDS ?=
SOAK ?=
TESTS ?=
ARGS ?=

.PHONY: help setup servers dashboard dashboard-check dashboard-test dashboard-bench screenshots demo live test test-long check fmt lint types imports docs-test bench faults load pages-load replay-load sim-test drill frames up down proto lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | \
		while IFS=$$'\t' read -r name what; do printf '  make %-11s %s\n' "$$name" "$$what"; done

setup: $(SETUP) servers ## the environment in .venv and the local servers (other targets do it by themselves)

# A version this is not written for would fail later, and less clearly.
$(VENV)/.python:
	@command -v $(PYTHON) >/dev/null || { echo "error no_python: $(PYTHON) is not here; wanted is Python 3.11 or later (make PYTHON=…)" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error old_python: $$($(PYTHON) --version) is too old; wanted is Python 3.11 or later (make PYTHON=…)" >&2; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
		{ echo "error no_venv: $(PYTHON) has no venv; on Debian: apt-get install python3-venv" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(SETUP): requirements-dev.lock pyproject.toml | $(VENV)/.python
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-dev.lock
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

# No stamp: it is quick when all is there, and the downloads may be gone though .venv is not.
servers: $(SETUP)
	@$(PY) -m deploy.local fetch --or-docker

dashboard: $(DASHBOARD) ## build the dashboard, which the API serves at /

dashboard/node_modules/.package-lock.json: dashboard/package-lock.json dashboard/.npmrc | $(SETUP)
	$(NODE) npm ci --no-audit --no-fund
	@touch $@

$(DASHBOARD): dashboard/node_modules/.package-lock.json dashboard/index.html dashboard/vite.config.ts \
		$(shell find dashboard/src dashboard/public -type f 2>/dev/null)
	$(NODE) npm run --silent build
	@touch $@

dashboard-check: dashboard/node_modules/.package-lock.json ## its format, types and unit tests
	$(NODE) npm run --silent format-check && npm run --silent types && npm test --silent

# Without Node.js and without a registry all the rest is there: the API says at / what is missing.
dashboard-test: setup dashboard ## the dashboard in a real Chromium on a running COBY; ARGS="tests/e2e/live.test.ts -t gap" selects
	@$(NODE) npm run --silent e2e -- $(ARGS)

# On a quiet machine: ten seconds, or an hour for the memory (ARGS="--seconds 3600"), and the sizes of the files.
dashboard-bench: setup dashboard ## the heatmap's frames, script and memory in Chromium without a GPU, as JSON; ARGS="--seconds 3600"
	@$(NODE) npm run --silent bench -- $(ARGS)

screenshots: setup dashboard ## the pictures of the documents, made anew
	@mkdir -p docs/pictures
	@$(NODE) COBY_SCREENSHOTS=../docs/pictures npm run --silent e2e -- tests/e2e/screenshots.test.ts

demo: setup ## the whole pipeline on simulated exchanges, with the dashboard; FOR=60 ends after 60 s with a verdict
	@$(MAKE) --no-print-directory dashboard || echo "the dashboard could not be built: the demo goes on without it" >&2
	$(PY) -m deploy.local.demo $(if $(FOR),--for $(FOR)) $(ARGS)

live: setup ## the same on the real exchanges
	@$(MAKE) --no-print-directory dashboard || echo "the dashboard could not be built: it goes on without it" >&2
	$(PY) -m deploy.local.demo --live $(if $(FOR),--for $(FOR)) $(ARGS)

test: setup ## the tests on real servers, without the long ones; TESTS=word selects, long ones too
	$(PYTEST) $(if $(TESTS),-k '$(TESTS)',-m 'not long') $(ARGS)

test-long: setup ## all tests
	$(PYTEST) $(ARGS)

check: setup dashboard dashboard-check ## what CI runs: format, lint, types, imports, docs test, tests, a handful in Chromium
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST) -m 'not long' $(ARGS)
	@$(NODE) npm run --silent e2e -- tests/e2e/check.test.ts

fmt: $(SETUP) ## format the code, mend what the linter can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lint: $(SETUP) ## format and lint, changing nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(SETUP) ## mypy --strict
	$(BIN)/mypy

imports: $(SETUP) ## who may import whom
	$(BIN)/lint-imports

docs-test: setup ## every setting, command, table and topic is in the documents
	$(PY) -m pytest -k docs $(ARGS)

bench: setup ## measure side by side, into bench/results.json
	$(PY) -m tests.bench $(ARGS)

faults: setup ## deal faults to a running pipeline, check every invariant; CASE= SEED= ROUNDS= (SOAK=30: minutes), all without
	$(PY) -m tests.faults $(if $(CASE),--case $(CASE)) $(if $(SEED),--seed $(SEED)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SOAK),--soak $(SOAK)) $(ARGS)

sim-test: setup ## 200 bad days of every simulated exchange in memory (ARGS="--days both": plain ones too), 3 over real sockets
	$(PY) -m tests.sim $(ARGS)
	$(PYTEST) tests/integration/test_real_sockets.py tests/integration/test_real_bad_days.py

load: setup ## ten exchanges at 2,000 frames/s for ten minutes: latency of each hop, memory, what went blind
	$(PY) -m tests.load $(ARGS)

pages-load: setup ## the largest pages of the API: seconds, memory, how long they hold others up (ARGS="--rounds 9")
	$(PY) -m tests.pages_load $(ARGS)

replay-load: setup ## replays beside ten live exchanges at 1,000 frames/s and at rest: pace, ten at once, what live feels (ARGS=--alone: pace alone)
	$(PY) -m tests.replay_load $(ARGS)

drill: setup ## is a backup worth anything? back up, drop, restore, catch up, hashes equal
	$(PY) -m tests.drill $(ARGS)

frames: setup ## what coby decode makes of the recorded frames, into docs/frames.md
	$(PY) -m tests.frames_report

up: setup ## start Kafka, TimescaleDB and Redis alone; settings into .local/env
	$(PY) -m deploy.local up

down: $(SETUP) ## stop them, our programs, and what a crash left
	$(PY) -m deploy.local down

# Into the folder of each .proto, as a module and its types.
proto: $(SETUP) ## renew the modules generated from .proto files
	@for file in $$(git ls-files --cached --others --exclude-standard '*.proto'); do \
		folder=$$(dirname $$file); echo $$file; \
		$(PY) -m grpc_tools.protoc -I $$folder --python_out=$$folder --pyi_out=$$folder $$file || exit; \
	done

lock: $(SETUP) ## renew the lock files from pyproject.toml
	$(LOCK) --extra=server --output-file=requirements.lock pyproject.toml
	$(LOCK) --constraint=requirements.lock --extra=dev --output-file=requirements-dev.lock pyproject.toml

# down first: data of running servers must not go. --one-file-system: nor anything mounted.
clean: ## stop all and remove .venv, .local and caches of tools (downloads stay in COBY_CACHE)
	@if [ -x $(PY) ] && [ -d .local ]; then $(PY) -m deploy.local down; fi
	rm -rf --one-file-system dashboard/node_modules api/dashboard .local $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
