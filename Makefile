# The habits of this project; `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= $(firstword $(foreach name,python3.13 python3.12 python3.11 python3,$(shell command -v $(name))))
BIN := .venv/bin
HEADWATER := $(BIN)/headwater
SYNCED := .venv/.synced

.PHONY: help setup demo up down status test test-unit lint bench requirements

help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(SYNCED) ## Make .venv with everything of the lock file in it

$(SYNCED): pyproject.toml uv.lock
	@test -x $(BIN)/python || { echo "setup: .venv with $(PYTHON)"; "$(PYTHON)" -c 'import sys; \
	  sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "Python 3.11 to 3.13 is needed; name one: make setup PYTHON=/path/to/python3.11")' \
	  && "$(PYTHON)" -m venv .venv || { echo "setup: no .venv could be made; on Debian or Ubuntu: apt install python3-venv"; rm -rf .venv; exit 1; }; }
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@# --inexact keeps uv itself, which is not of the lock.
	@VIRTUAL_ENV= UV_PYTHON_DOWNLOADS=never $(BIN)/uv sync --frozen --all-extras --inexact --python $(BIN)/python
	@touch $@

demo: setup ## The whole path on real data: set up, start, stream, build, answer
	@$(HEADWATER) demo

up: setup ## Start or repair the embedded stack
	@$(HEADWATER) up

down: ## Stop it (make down WIPE=1 forgets its data too)
	@test ! -x $(HEADWATER) || $(HEADWATER) down $(if $(WIPE),--wipe)

status: setup ## What runs, where, and how much memory it takes
	@$(HEADWATER) status

test: setup ## All tests: unit, integration, faults, truth
	@$(BIN)/pytest -q $(ARGS)

test-unit: setup ## The tests that need no service, within a minute
	@$(BIN)/pytest -q -n 2 tests/unit tests/dags $(ARGS)

lint: setup ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: setup ## Measure the streams, jobs and queries; results go to bench/results/
	@$(BIN)/python -m bench $(ARGS)

requirements: setup ## requirements.txt anew from the lock, for pip and the Docker image
	@{ head -2 requirements.txt; VIRTUAL_ENV= $(BIN)/uv export --frozen --quiet --no-dev --no-emit-project --no-annotate \
	   --extra embedded --no-header; } > requirements.txt.new
	@mv requirements.txt.new requirements.txt
