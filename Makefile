# One set of commands for people and for CI. `make` alone lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.NOTPARALLEL:
.DEFAULT_GOAL := help

# The first interpreter that really runs and fits: a version manager may leave names that do not run.
FITS := import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for name in python3.13 python3.12 python3.11 python3 python; do \
	"$$name" -c "$(FITS)" 2>/dev/null && echo "$$name" && break; done)

# uv trusts the certificates that this machine trusts, as pip does: a company's own may be among them.
export UV_SYSTEM_CERTS ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK ?= 1
# Threads that wait give their core away; see recoup.py.
export OMP_WAIT_POLICY ?= passive

VENV := .venv
READY := $(VENV)/.ready
BIN := $(VENV)/bin
UV := $(BIN)/uv
BENCHMARKS := $(sort $(filter-out bench-_%,$(patsubst experiments/benchmarks/%.py,bench-%,$(wildcard experiments/benchmarks/*.py))))

# What a user may give: `make run PORTFOLIO=folder-or-database-address`, `make test ARGS="-k queue"`.
PORTFOLIO ?=
ARGS ?=

.PHONY: help setup run serve test check lint types docs bench bento lock clean $(BENCHMARKS)

help:  ## List the commands
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## Make .venv with everything in it, at the locked versions

run: $(READY)  ## From a portfolio to a queue; PORTFOLIO=folder or database address, simulated without one
	$(BIN)/recoup run $(if $(PORTFOLIO),"$(PORTFOLIO)") $(ARGS)

serve: $(READY)  ## Start the scoring service and its pages
	$(BIN)/recoup serve $(ARGS)

# What Numba compiles is compiled once, beside the types, which take one core: or else by each worker of the tests.
COMPILES := tests/features/test_layouts.py tests/experiments/test_world.py

test: lint  ## Everything: form, types, all tests, the examples in docstrings, the documentation
	$(BIN)/python -m pytest -q $(COMPILES) >/dev/null & $(MAKE) --no-print-directory types; wait
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(ARGS)

check: lint types docs  ## The quick part: form, types, imports, documentation

lint: $(READY)  ## Form: ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)  ## Types: mypy, strict
	$(BIN)/mypy .

docs: $(READY)  ## The documentation against the code, and the import table
	$(BIN)/python -m pytest -q tests/test_docs.py tests/test_imports.py

bench: $(BENCHMARKS)  ## All benchmarks, one after the other; `make bench-NAME` runs one

$(BENCHMARKS): bench-%: $(READY)
	$(BIN)/python -m experiments.benchmarks.$* $(ARGS)

bento: $(READY)  ## Pack the service as a Bento, into var/bentoml; BENTOML_HOME=var/bentoml bentoml serve recoup:latest
	mkdir -p var/bentoml
	BENTOML_HOME=$(CURDIR)/var/bentoml BENTOML_DO_NOT_TRACK=True $(BIN)/bentoml build $(ARGS)

lock: $(UV)  ## Resolve the dependencies anew into requirements.lock; ARGS=--upgrade takes the newest
	$(UV) pip compile --quiet --universal --python-version 3.11 --all-extras --group dev \
		--generate-hashes --no-annotate --no-header $(ARGS) --output-file requirements.lock pyproject.toml

clean:  ## Remove .venv, caches and build results; var/ stays
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is written last, so that a set-up that stopped half-way starts again.
$(READY): pyproject.toml requirements.lock $(UV)
	rm -f $@
	$(UV) pip sync --quiet --python $(BIN)/python --compile-bytecode --require-hashes requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $@

# uv's own version and hashes are those of the lock.
$(UV): | requirements.lock
	@"$(PYTHON)" -c "$(FITS)" 2>/dev/null || { echo "Recoup needs Python 3.11, 3.12 or 3.13 with venv; found '$(PYTHON)'." \
		"Name one with: make setup PYTHON=/path/to/python" >&2; exit 1; }
	"$(PYTHON)" -m venv --clear $(VENV)
	sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > $(VENV)/uv.lock
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement $(VENV)/uv.lock
