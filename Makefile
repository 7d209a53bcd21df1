# `make` or `make help` lists the targets. PYTHON chooses the interpreter that the virtual environment is made with.

.DEFAULT_GOAL := help
SHELL := /bin/sh

PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$name"; break; }; done)
PY := .venv/bin/python
PIP_INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes --requirement
# Between 2 and 4 test processes; each has servers of its own.
JOBS ?= $(shell cores=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); \
	[ "$$cores" -gt 4 ] && echo 4 || { [ "$$cores" -lt 2 ] && echo 2 || echo "$$cores"; })
PYTEST := $(PY) -m pytest
# Tests of a module together, long ones first.
SHARED := -n $(JOBS) --dist loadgroup --no-loadscope-reorder
COMPILE := $(PY) -m uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate pyproject.toml

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: .venv/.dev ## Make the virtual environment with everything for development

.PHONY: up
up: .venv/.runtime ## Run everything on this machine; Ctrl-C stops it
	@$(PY) -m cli up

.PHONY: listen
listen: .venv/.runtime ## Show the webhooks of `OPENSCRIP_WEBHOOK_ALLOW_PRIVATE=1 make up`, verified
	@$(PY) -m cli webhooks listen --register

.PHONY: test
test: lint types ## Check style, types and imports, and run the whole test suite
	$(PYTEST) $(SHARED)

.PHONY: test-fast
test-fast: .venv/.dev ## Run the tests that need no servers
	$(PYTEST) -n $(JOBS) -m "not slow" tests/domain

.PHONY: lint
lint: .venv/.dev ## Check style, format and import contracts
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	.venv/bin/lint-imports

.PHONY: types
types: .venv/.dev ## Check types
	$(PY) -m mypy .

.PHONY: format
format: .venv/.dev ## Format the code
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

.PHONY: examples
examples: .venv/.dev ## Run the acceptance examples of the specification
	$(PYTEST) $(SHARED) -m example -q

.PHONY: replay
replay: .venv/.dev ## Replay recorded workflow histories
	$(PYTEST) -k replay tests/workflows

.PHONY: bench
bench: .venv/.runtime ## Measure throughput and latency against pgbench on this machine
	$(PY) -m cli bench

.PHONY: bench-tiers
bench-tiers: .venv/.runtime ## Measure a period end of a tier with 100,000 holders, alone and beside events
	$(PY) -m cli bench --only tiers --holders 100000

.PHONY: bench-volume
bench-volume: .venv/.runtime ## Measure ingest into empty books, and again after a million entries of 100,000 participants
	$(PY) -m cli bench --only volume --entries 1000000

.PHONY: bench-workers
bench-workers: .venv/.runtime ## Measure ingest with one, two and four worker processes
	for workers in 1 2 4; do OPENSCRIP_WORKER_PROCESSES=$$workers $(PY) -m cli bench --only batch --only single || exit 1; done

.PHONY: rush
rush: .venv/.dev ## Send 10,000 redemptions by 500 clients at a reward's last 100 units
	OPENSCRIP_RUSH=10000x500 $(PYTEST) -s tests/e2e/test_reward_rush.py

.PHONY: reports
reports: .venv/.dev ## Time reports and pages of the journal over a million entries
	OPENSCRIP_REPORT_ENTRIES=1000000 $(PYTEST) -s tests/api/test_report_volume.py

.PHONY: chaos
chaos: .venv/.dev ## Break processes and connections under load, then judge the books: SEED=7 MINUTES=2
	$(PY) -m chaos $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES))

.PHONY: fuzz
fuzz: .venv/.dev ## Send 1,000 made-up requests at every operation (OPENSCRIP_FUZZ_SEED, _EXAMPLES, _PHASES, _PATHS)
	OPENSCRIP_FUZZ=1 $(PYTEST) -s tests/api/surface/test_fuzz.py

.PHONY: year
year: .venv/.dev ## Run a year of automations for 1,000 participants, with two outages
	OPENSCRIP_YEAR=1000 $(PYTEST) -s tests/e2e/test_automation_year.py

.PHONY: mutants
mutants: .venv/.dev ## Seed deliberate defects one by one and see that the tests notice each
	$(PY) -m tests.mutants.run --jobs $(JOBS)

.PHONY: crashes
crashes: .venv/.dev ## Kill APIs and workers right before and after every kind of commit
	OPENSCRIP_CRASHES=all $(PYTEST) tests/faults tests/workflows/test_killed_api.py

.PHONY: load
load: .venv/.runtime ## Send load to a running stack
	$(PY) -m cli load

.PHONY: lock
lock: .venv/.dev ## Pin the dependencies again
	$(COMPILE) -o requirements.lock
	$(COMPILE) --group dev -o requirements-dev.lock

.PHONY: clean
clean: ## Remove the virtual environment and caches; data stays
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

# The stamps are newer than the lock files they were made from.
.venv/.made:
	@if [ -z "$(PYTHON)" ]; then echo "OpenScrip needs Python 3.11 or newer: install it, or name it with make PYTHON=..." >&2; exit 1; fi
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		version=$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
		echo "$(PYTHON) can't make virtual environments: install python$$version-venv (Debian, Ubuntu: apt install python$$version-venv)" >&2; exit 1; }
	@echo "making the virtual environment in .venv"
	@$(PYTHON) -m venv .venv
	@touch $@

.venv/.runtime: requirements.lock | .venv/.made
	@echo "installing what requirements.lock names"
	@$(PIP_INSTALL) requirements.lock
	@$(MAKE) --no-print-directory .venv/bin/openscrip
	@touch $@

.venv/.dev: requirements-dev.lock | .venv/.made
	@echo "installing what requirements-dev.lock names"
	@$(PIP_INSTALL) requirements-dev.lock
	@$(MAKE) --no-print-directory .venv/bin/openscrip
	@touch .venv/.runtime $@

.venv/bin/openscrip:
	@printf '#!/bin/sh\ncd "$$(dirname "$$0")/../.." && exec .venv/bin/python -m cli "$$@"\n' > $@
	@chmod +x $@
