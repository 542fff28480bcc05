# make demo   a generated shop, from database to predictions, as one page in demo-out/
# make test   every test, doctest and README block; those of docs/ and CONTRIBUTING are of make docs
# make check  format, lint, types, import layers, fast tests without servers, 5 cases a property: before every commit
# make soak   long property runs and kill tests, written to benchmarks/results/soak.json
# make bench  every benchmark, written to benchmarks/results/
# make notebooks   runs every notebook from top to bottom
# make docs   the documentation site, in site/, where a warning is an error; and runs all that its pages say
# make clean  removes everything made here, the environment too
#
# PYTHON=... picks the interpreter (3.11 or later), VENV=... the environment, PIP_FLAGS=... is given to every pip call.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help demo test check soak bench notebooks docs clean

VENV ?= .venv
PIP_FLAGS ?=
SUITABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13 /usr/bin/python3; do \
	"$$p" -c '$(SUITABLE)' 2>/dev/null && { echo "$$p"; break; }; done)

BIN := $(VENV)/bin
# one dot per package, errors as they are
PIP := $(BIN)/python -m pip --disable-pip-version-check install --progress-bar off $(PIP_FLAGS) -c constraints.txt
DOTS := | awk '/^ *(Collecting|Using cached|Downloading|Building)/ {printf "."; fflush()} END {print " done"}'
# two workers, each with one thread, use two cores best
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 NUMBA_NUM_THREADS=1
WORKERS ?= 2
PYTEST := $(ONE_THREAD) $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

$(BIN)/python:
	@[ -n "$(PYTHON)" ] && "$(PYTHON)" -c '$(SUITABLE)' || { \
		echo "relgraph needs Python 3.11 or later with venv; found none. Install it, or: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "[1/3] environment in $(VENV) with $$("$(PYTHON)" --version)"
	@"$(PYTHON)" -m venv $(VENV)

# torch first, so that no other requirement picks another build of it
$(VENV)/.torch: constraints.txt | $(BIN)/python
	@printf '[2/3] torch, the large one '
	@$(PIP) setuptools torch $(DOTS)
	@touch $@

$(VENV)/.demo: pyproject.toml $(VENV)/.torch
	@printf '[3/3] relgraph and its libraries '
	@$(PIP) --no-build-isolation -e '.[boosting]' $(DOTS)
	@touch $@

$(VENV)/.dev: pyproject.toml $(VENV)/.torch
	@printf '[3/3] relgraph, its libraries and the tools of its tests '
	@$(PIP) --no-build-isolation -e '.[dev]' $(DOTS)
	@touch $(VENV)/.demo $@

demo: $(VENV)/.demo
	@$(BIN)/relgraph demo --out demo-out

test: $(VENV)/.dev
	$(PYTEST) --durations=15 -m 'not docs'

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	RELGRAPH_HYPOTHESIS=5 $(PYTEST) -q -m 'not slow and not data and not servers and not docs'

soak: $(VENV)/.dev
	$(ONE_THREAD) $(BIN)/python benchmarks/soak.py --workers $(WORKERS)

bench: $(VENV)/.dev
	@shopt -s nullglob; for script in benchmarks/bench_*.py; do echo "== $$script"; $(BIN)/python "$$script"; done
	$(BIN)/python benchmarks/tables.py

notebooks: $(VENV)/.dev
	$(ONE_THREAD) $(BIN)/python notebooks/execute.py

docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	$(PYTEST) -m docs tests/test_readme.py tests/test_contributing.py

clean:
	rm -rf $(VENV) build dist *.egg-info demo-out runs site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
