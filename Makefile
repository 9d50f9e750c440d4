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

.PHONY: help setup test test-all lint test-matrix test-distributed test-stores test-lowest test-ui demo docs build constraints clean fault-matrix guards fuzz bench

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## Make .venv with the newest Airflow, this package and every tool

# uv does the installing, as it is many times faster; pip only brings uv.
$(READY): pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(CONSTRAINTS) uv
	$(BIN)/uv pip install --quiet --python .venv --constraints $(CONSTRAINTS) --editable '.[amazon,channels,emulator,parquet]' --group dev
	@touch $@

# What kills whole deployments, or runs every sample and fault, takes its time: `make test-all`.
LENGTHY := all_channels kills kills_live live secrets sensor_outcomes ten_thousand time_limits token_life ways_to_run ways_to_start

test: $(READY) ## Run the tests on the newest Airflow (ARGS="-k sensor" to choose, ARGS="-n 0 --pdb" to look into one)
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal -m "not live" \
		tests/unit tests/support tests/integration tests/faults/test_regressions.py \
		$(LENGTHY:%=--ignore=tests/integration/test_%.py) $(ARGS)

test-all: $(READY) ## Run all tests on the newest Airflow, those that take their time, too
	$(BIN)/python -m pytest $(ARGS)

lint: $(READY) ## Check style (ruff), arrows between modules (import-linter), their length and types (mypy)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache --no-logo
	@find airflow_provider_apns -name '*.py' -exec awk \
		'FNR == 301 { print FILENAME ": more than 300 lines"; long = 1 } END { exit long }' {} +
	$(BIN)/mypy

test-matrix: $(READY) ## Run the unit tests and the main job on every supported Airflow (ONLY="2.11 3.3.2-py3.13" to choose)
	$(BIN)/python scripts/matrix.py test $(ONLY)

test-lowest: $(READY) ## Run the unit tests with the lowest version of every declared dependency
	$(BIN)/python -m scripts.lowest

test-ui: $(READY) ## Look at a live Airflow in a real browser (ARGS="--screenshots docs/images" keeps the pictures)
	$(BIN)/python -m scripts.chromium
	$(BIN)/python -m pytest tests/ui $(ARGS)

# An environment of its own, since Airflow loads every provider that it finds.
DISTRIBUTED := .venvs/distributed
$(DISTRIBUTED)/ready: $(READY) pyproject.toml constraints/distributed.txt
	$(BIN)/uv venv --quiet --clear --python $(PYTHON) $(DISTRIBUTED)
	$(BIN)/uv pip install --quiet --python $(DISTRIBUTED) --constraints constraints/distributed.txt \
		--editable '.[amazon,parquet]' --group test --group distributed apache-airflow==$(AIRFLOW)
	@touch $@

test-distributed: $(DISTRIBUTED)/ready ## Kill parts of a whole distributed deployment, and show that nothing is lost or leaked
	$(DISTRIBUTED)/bin/python -m tests.system $(ARGS)

STORES := .venvs/stores
$(STORES)/ready: $(READY) pyproject.toml constraints/stores.txt
	$(BIN)/uv venv --quiet --clear --python $(PYTHON) $(STORES)
	$(BIN)/uv pip install --quiet --python $(STORES) --constraints constraints/stores.txt \
		--editable '.[amazon,azure,channels,emulator,google,parquet]' --group test --group stores apache-airflow==$(AIRFLOW)
	@touch $@

test-stores: $(STORES)/ready ## Publish to real stores: S3, Azurite and an emulator of Google Cloud Storage
	$(STORES)/bin/python -m pytest tests/stores $(ARGS)

BENCH := .venvs/bench
$(BENCH)/ready: $(READY) pyproject.toml constraints/bench.txt
	$(BIN)/uv venv --quiet --clear --python $(PYTHON) $(BENCH)
	$(BIN)/uv pip install --quiet --python $(BENCH) --constraints constraints/bench.txt \
		--editable '.[amazon,parquet]' --group bench apache-airflow==$(AIRFLOW)
	@touch $@

bench: $(BENCH)/ready ## Measure us beside other providers, and write docs/benchmarks.md (ONLY="import poll" to choose)
	$(BENCH)/bin/python -m benchmarks $(ONLY)

demo: $(READY) ## Run an example DAG on real Airflow against the emulator, and show the report
	$(BIN)/python -m scripts.demo

docs: $(READY) ## Build the documentation into site/
	$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python .venvs/docs
	$(BIN)/uv pip sync --quiet --python .venvs/docs constraints/docs.txt
	NO_MKDOCS_2_WARNING=1 .venvs/docs/bin/mkdocs build --strict

build: $(READY) ## Build the wheel and the sdist into dist/, check them, and try them in environments of their own
	rm -rf dist
	$(BIN)/python -m build --installer uv
	$(BIN)/twine check --strict dist/*
	$(BIN)/python -m pytest tests/release $(ARGS)

constraints: $(READY) ## Resolve constraints/ anew, for the days that scripts/matrix.py names
	$(BIN)/python scripts/matrix.py compile $(ONLY)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.10 --upgrade --no-header --no-annotate \
		--no-emit-index-url --group docs --output-file constraints/docs.txt

clean: ## Remove what make has made
	rm -rf .venv .venvs build dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis

fault-matrix: $(READY) ## Let everything go wrong in every way, and write docs/fault-matrix.md
	$(BIN)/python -m tests.faults.matrix --write docs/fault-matrix.md $(ARGS)

guards: $(READY) ## Change each line of the modules that guard, one at a time, and see a test fail (mutmut)
	$(BIN)/python -m tests.faults.guards

# Atheris has wheels for few releases of Python, so it has an environment of its own, with nothing but what it looks at.
FUZZ := .venvs/fuzz
FUZZ_SECONDS ?= 60

fuzz: $(READY) ## Fuzz all that reads bytes from outside, guided by coverage (FUZZ_SECONDS=600 for each target)
	@$(BIN)/python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
		|| { echo 'make fuzz needs Python 3.11 to 3.13: make fuzz PYTHON=/path/to/python3.12, after make clean'; exit 1; }
	$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python $(FUZZ)
	$(BIN)/uv pip sync --quiet --python $(FUZZ) constraints/fuzz.txt
	FUZZ_SECONDS=$(FUZZ_SECONDS) $(FUZZ)/bin/python -m tests.fuzz.fuzz
