# A fresh machine needs Python 3.10 to 3.13 with its venv module, git and make; all else is set up here, in .venv and .venvs.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The newest Airflow that we test with; `make test-matrix` has the others.
AIRFLOW := 3.3.2
CONSTRAINTS := constraints/airflow-$(AIRFLOW).txt

# The first interpreter that Airflow can live on, or what the caller names: make test PYTHON=/path/to/python3.12
SUPPORTED := import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))
PYTHON ?= $(or $(firstword $(foreach python,python3 python3.13 python3.12 python3.11 python3.10,\
	$(shell $(python) -c '$(SUPPORTED)' 2>/dev/null && echo $(python)))),$(error No Python 3.10 to 3.13 found: name one with PYTHON=))

BIN := .venv/bin
READY := .venv/ready
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help setup test lint test-matrix demo build constraints clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## Make .venv with the newest Airflow, this package and every tool

# uv does the installing, as it is many times faster; pip only brings uv.
$(READY): pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(CONSTRAINTS) uv
	$(BIN)/uv pip install --quiet --python .venv --constraints $(CONSTRAINTS) --editable '.[amazon,parquet]' --group dev
	@touch $@

test: $(READY) ## Run every test on the newest Airflow (ARGS="-k sensor" to choose)
	$(BIN)/python -m pytest $(ARGS)

lint: $(READY) ## Check style (ruff) and types (mypy)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test-matrix: $(READY) ## Run the unit tests and the main job on every supported Airflow (ONLY="2.11 3.3.2-py3.13" to choose)
	$(BIN)/python scripts/matrix.py test $(ONLY)

demo: $(READY) ## Run an example DAG on real Airflow against the emulator, and show the report
	$(BIN)/python -m scripts.demo

build: $(READY) ## Build the wheel and the sdist into dist/, and check them
	rm -rf dist
	$(BIN)/python -m build --installer uv
	$(BIN)/twine check --strict dist/*

constraints: $(READY) ## Resolve constraints/ anew, for the days that scripts/matrix.py names
	$(BIN)/python scripts/matrix.py compile $(ONLY)

clean: ## Remove what make has made
	rm -rf .venv .venvs build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
