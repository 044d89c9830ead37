# Everything works on a machine with only Python >= 3.10 (venv, pip), git and make, as root or not.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

.PHONY: demo test quick faces check soak bench lowest clean help

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

# The user's install: the package and its command, nothing else.
demo:  $(VENV)/.demo ## put a real tree into the embedded default, read it back, compare (URL=... for another store)
	$(BIN)/persist demo $(URL)

test:  $(READY) ## the whole suite; starts real servers, each in an environment of its own
	$(PYTEST)

quick:  $(READY) ## the part without servers, and without what waits
	$(PYTEST) -m "not server and not slow" -q

faces:  $(READY) ## the frameworks themselves, each generation in an environment of its own: what they store goes through us
	$(PYTEST) tests/faces

soak:  $(READY) ## the whole suite with full counts instead of samples
	PERSISTENCE_FSSPEC_SOAK=1 $(PYTEST)

check:  $(READY) ## static checks
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports

bench:  $(READY) ## benchmarks; prints ratios, judges nothing
	$(BIN)/python -m pip install -q --disable-pip-version-check --group bench
	$(BIN)/python -m tests.benchmarks.import_time
	$(BIN)/python -m tests.benchmarks.transfers
	$(BIN)/python -m tests.benchmarks.flyte

lowest: ## the part without servers, on the oldest fsspec we accept
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install -q --disable-pip-version-check "pip>=25.1"
	.venv-lowest/bin/python -m pip install -q --disable-pip-version-check -e ".[cli]" --group tests --group doors --group drivers "fsspec==2025.10.0"
	.venv-lowest/bin/python -m pytest -m "not server" -q

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed, this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install -q --disable-pip-version-check -e ".[cli]"
	@touch $@

$(READY): pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install -q --disable-pip-version-check "pip>=25.1"
	$(BIN)/python -m pip install -q --disable-pip-version-check -e ".[cli]" --group check --group tests --group doors --group drivers
	@touch $@ $(VENV)/.demo

clean: ## remove what the targets above made
	rm -rf $(VENV) .venv-lowest .venvs .pytest_cache .mypy_cache .ruff_cache .hypothesis
