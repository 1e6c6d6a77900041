# Everything starts here: `make demo` shows the product, `make test` checks it. Needs Python >= 3.11, pip and make.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9

# pip asks nobody which pip is new: set-up is the time a newcomer waits. Bytecode is kept, whatever the shell says: the tests
# start hundreds of processes, and what checks their assertions is compiled with them.
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
unexport PYTHONDONTWRITEBYTECODE

# One worker more than there are cores (conftest.py), a file of tests on one of them: what its tests share is made once. One
# by one: ARGS=-n0. In the order of their names, or files of few tests would come last, and some of these take minutes.
TESTS := $(BIN)/python -m pytest --numprocesses=auto --maxprocesses=8 --dist=loadfile --no-loadscope-reorder --max-worker-restart=0

.DEFAULT_GOAL := help
.PHONY: help demo serve test test-all ready-all crash lint types bench docs lock vendor clean

help:  ## list the targets
	@echo 'Arguments for the command behind a target: make demo ARGS="--port 8800 --console-port 8801"'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "No '$(PYTHON)' here. Install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3 …" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "'$(PYTHON)' is $$($(PYTHON) --version 2>&1); Joulegate needs Python 3.11 or newer. Name one: make PYTHON=python3.12 …" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { echo "No virtual environment could be made; on Debian and Ubuntu: apt-get install python3-venv" >&2; rm -rf $(VENV); exit 2; }

# One stamp for each set of locked packages: run (serve), demo (run + the official SDK), dev (all of it). The locks are
# complete: --no-deps, or pip takes the newest release of what another package wants with an extra, which has no hash here.
# An editable install has no bytecode of ours; where none is kept, every start of a process would compile it (150 ms).
$(VENV)/.ready-%: requirements/%.txt requirements/build.txt pyproject.toml | $(BIN)/python
	@echo "Setting up $(VENV) from requirements/$*.txt …"
	@$(PIP) install --require-hashes --no-deps -r requirements/build.txt -r requirements/$*.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	-@$(BIN)/python -m compileall -q estimator migrations proxy
	@touch $@

# What translates (LiteLLM) comes on top. No resolver takes its wish for a certifi that was never published: --no-deps.
$(VENV)/.ready-translate: requirements/translate.txt | $(VENV)/.ready-dev
	@echo "Adding requirements/translate.txt …"
	@$(PIP) install --require-hashes --no-deps -r requirements/translate.txt
	@touch $@

# The FinOps validator of FOCUS files, for one test: it wants a newer Python than we do, so it has its own environment.
$(VENV)-focus/.ready: requirements/focus.txt requirements/focus.sh
	@PYTHON="$(PYTHON)" sh requirements/focus.sh $(VENV)-focus
	@mkdir -p $(@D) && touch $@

# The official client for Node, as its lock has it; npm's own settings say where from.
NODE_SDK := tests/sdk/node/node_modules/.package-lock.json
$(NODE_SDK): tests/sdk/node/package-lock.json
	@command -v npm >/dev/null || { echo "No 'npm' here, which the tests of the client for Node need; on Debian and Ubuntu: apt-get install nodejs npm" >&2; exit 2; }
	@npm ci --prefix tests/sdk/node --ignore-scripts --no-audit --no-fund --silent
	@touch $@

# The types that Grafana publishes, and TypeScript's compiler; package.json says every version, so there is no lock.
GRAFANA_TYPES := tests/dashboards/node/node_modules/.package-lock.json
$(GRAFANA_TYPES): tests/dashboards/node/package.json
	@command -v npm >/dev/null || { echo "No 'npm' here, which the tests of the dashboards' types need; on Debian and Ubuntu: apt-get install nodejs npm" >&2; exit 2; }
	@npm install --prefix tests/dashboards/node --ignore-scripts --no-audit --no-fund --silent
	@touch $@

demo: $(VENV)/.ready-demo  ## gate + console on SQLite with a simulated provider and live traffic, until Ctrl-C
	@$(BIN)/joulegate serve --demo $(ARGS)

serve: $(VENV)/.ready-run  ## the gate and the console for real (joulegate.toml is read where there is one)
	@$(BIN)/joulegate serve $(ARGS)

test: $(VENV)/.ready-dev  ## the tests that need nothing but Python (minutes)
	@$(TESTS) -m "not heavy" $(ARGS)

ready-all: $(VENV)/.ready-dev $(VENV)/.ready-sdks $(VENV)/.ready-engines $(VENV)/.ready-translate $(VENV)-focus/.ready $(NODE_SDK) $(GRAFANA_TYPES)  ## set up what test-all needs

test-all: ready-all  ## also the tests that need nginx, Prometheus, a browser, Node, ClickHouse's engine or many SDKs
	@$(TESTS) $(ARGS)

crash: $(VENV)/.ready-dev  ## 200 rounds of `kill -9` under load on each database, and a minute without one (half an hour)
	@CRASH_ROUNDS=200 CRASH_OUTAGE_S=60 $(BIN)/python -m pytest tests/crash -s -o faulthandler_timeout=0 $(ARGS)

lint: $(VENV)/.ready-dev  ## style, formatting and import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-cache

types: $(VENV)/.ready-dev  ## mypy, strict
	@$(BIN)/mypy

bench: $(VENV)/.ready-run  ## side by side with nginx and LiteLLM (needs nginx and wrk; see bench/README.md)
	@$(BIN)/python -m bench $(ARGS)

docs: $(VENV)/.ready-dev  ## check that every page, link and command in the documentation exists
	@$(BIN)/python -m pytest tests/test_docs.py tests/test_repository.py

lock:  ## rewrite requirements/*.txt from pyproject.toml; what is pinned stays so, but with ARGS=--upgrade
	@$(PYTHON) -m venv $(VENV)-lock && $(VENV)-lock/bin/python -m pip --quiet install uv==$(UV_VERSION)
	@UV=$(VENV)-lock/bin/uv sh requirements/lock.sh $(ARGS)

vendor: $(BIN)/python  ## fetch the scripts of others that the console has, as its vendored.toml says (needs npm)
	@$(BIN)/python requirements/vendor.py

clean:  ## remove the virtual environments, caches and what the demo wrote
	rm -rf $(VENV) $(VENV)-lock $(VENV)-focus joulegate-demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
