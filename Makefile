# On a fresh machine with Python 3.11 or newer, `make reproduce` and `make test` need nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# One process a core, at most 8; the tests of a file stay together, since they share what is slow.
PARALLEL ?= --numprocesses=auto --maxprocesses=8 --dist=loadfile

.PHONY: help install reproduce test test-all lint bench clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

install: $(VENV)/installed ## make the environment and install the package into it

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

reproduce: install ## write every figure to figures/
	$(BIN)/scaling-theory reproduce --preset quick --output figures

lint: install ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint ## lint, types and tests
	$(BIN)/python -m pytest $(PARALLEL)

test-all: lint ## the same with the slow tests and new random examples
	$(BIN)/python -m pytest $(PARALLEL) -m 'slow or not slow' --hypothesis-profile=exploring

bench: install ## headline figures of speed, beside their peers
	$(BIN)/python benchmarks/allocation.py
	$(BIN)/python benchmarks/sae_step.py
	$(BIN)/python benchmarks/sae_superposed.py
	$(BIN)/python benchmarks/sae_real.py
	$(BIN)/python benchmarks/decoders.py
	$(BIN)/python benchmarks/fits.py
	$(BIN)/python benchmarks/frequencies.py

clean: ## remove the environment and caches
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis
