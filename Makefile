# The habits of this project; `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
# The first that runs, is of a supported version and can make a virtual environment (shims that run nothing exist).
CANDIDATES := python3.11 python3.12 python3.13 python3 python
SUITS := import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
PYTHON ?= $(shell for name in $(CANDIDATES); do $$name -c "$(SUITS)" 2>/dev/null && echo $$name && break; done)
# Python is to keep what it has compiled: otherwise each start of a part of the platform compiles a thousand modules again.
unexport PYTHONDONTWRITEBYTECODE
BIN := .venv/bin
HEADWATER := $(BIN)/headwater
SYNCED := .venv/.synced

.PHONY: help setup demo up down status test test-unit test-faults test-thorough lint bench soak requirements

help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(SYNCED) ## Make .venv with everything of the lock file in it

$(SYNCED): pyproject.toml uv.lock
	@test -n "$(PYTHON)" || { echo "setup: no Python 3.11 to 3.13 with venv was found. On Debian or Ubuntu: apt install python3-venv;" \
	  "or name one: make setup PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || { echo "setup: .venv with $$($(PYTHON) --version)"; $(PYTHON) -m venv .venv; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@echo "setup: installing what uv.lock names"
	@# --inexact keeps uv itself, which is not of the lock. Certificates are the system's: companies have their own.
	@VIRTUAL_ENV= UV_PYTHON_DOWNLOADS=never UV_SYSTEM_CERTS=1 $(BIN)/uv sync --quiet --frozen --all-extras --inexact --python $(BIN)/python
	@touch $@

demo: setup ## The whole path on real data: set up, start, stream, build, answer
	@$(HEADWATER) demo $(ARGS)

up: setup ## Start or repair the embedded stack
	@$(HEADWATER) up

down: ## Stop it (make down WIPE=1 forgets its data too)
	@test ! -x $(HEADWATER) || $(HEADWATER) down $(if $(WIPE),--wipe)

status: setup ## What runs, where, and how much memory it takes
	@$(HEADWATER) status

test: setup ## The tests: unit, dags, datasets, integration, faults, platform, truth
	@$(BIN)/pytest -q -m "not thorough" $(ARGS)

test-unit: setup ## The tests that need no service, within a minute
	@$(BIN)/pytest -q -n 2 tests/unit tests/dags $(ARGS)

test-faults: setup ## The tests that kill, corrupt and disconnect, one after the other
	@$(BIN)/pytest -q tests/faults $(ARGS)

test-thorough: setup ## What `make test` leaves out because it takes long
	@$(BIN)/pytest -q -m thorough $(ARGS)

lint: setup ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: setup ## Measure the streams, jobs and queries; results go to bench/results/
	@$(BIN)/python -m bench $(ARGS)

soak: setup ## Twenty minutes of steady events while processes are killed; nothing may be lost
	@$(BIN)/python -m bench.soak $(ARGS)

requirements: setup ## requirements.txt anew from the lock, for pip and the Docker image
	@{ head -2 requirements.txt; VIRTUAL_ENV= $(BIN)/uv export --frozen --quiet --no-dev --no-emit-project --no-annotate \
	   --extra embedded --extra api --no-header; } > requirements.txt.new
	@mv requirements.txt.new requirements.txt
