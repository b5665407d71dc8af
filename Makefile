# Everything runs inside ./.venv, which the first target that needs it sets up. Needs python3 (3.11 or newer) with pip,
# a C compiler and make.

PYTHON ?= python3
RANKS ?= 2
RUN_OPTIONS ?= systems/mtj.py -o results/mtj --force
# Tests of one file share what they make; two files at once keep two cores busy.
TEST_OPTIONS ?= -n 2 --dist loadfile
BENCH_OPTIONS ?=

UV_VERSION := 0.13.8
UV := .uv/bin/uv
BIN := .venv/bin
READY := .venv/.ready

# uv takes this interpreter and fetches no other; one thread per rank unless the caller says otherwise.
export UV_PYTHON := $(PYTHON)
export UV_PYTHON_DOWNLOADS := never

.DEFAULT_GOAL := help
.PHONY: help setup run test test-all lint types bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

setup: $(READY) ## build the virtual environment in ./.venv (once, about two minutes)

run: setup ## the whole chain on two ranks, from a lattice to switching; writes to ./results
	$(BIN)/mpiexec -n $(RANKS) $(BIN)/python -m mpi4py drivers/pipeline.py $(RUN_OPTIONS)

test: setup ## the test suite
	$(BIN)/python -m pytest -m "not slow" $(TEST_OPTIONS)

test-all: setup ## with the tests that take more than about ten seconds, or repeat on more ranks what another one shows
	$(BIN)/python -m pytest $(TEST_OPTIONS)

lint: setup ## ruff
	$(BIN)/ruff check .

types: setup ## mypy
	$(BIN)/mypy

bench: setup ## the benchmarks, each of which checks its answer before the clock, and one table of them all
	@$(BIN)/python benchmarks/all.py $(BENCH_OPTIONS)

clean: ## remove the virtual environment and caches; ./results stays
	rm -rf .venv .uv uv.lock .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -exec rm -rf {} +

# Depends on pyproject.toml alone, so that a later call touches no network.
$(READY): pyproject.toml | $(UV)
	@echo "Setting up ./.venv; the first time Kwant is built from source, which takes about two minutes ..."
	$(UV) sync
	@touch $@

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	@echo "Installing uv $(UV_VERSION) into ./.uv ..."
	$(PYTHON) -m pip install --quiet --target .uv uv==$(UV_VERSION)
