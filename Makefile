# `make run` starts everything; `make test` checks everything.  Both install first.

PYTHON ?= $(firstword $(foreach name,python3 python3.13 python3.12 python3.11,\
	$(shell $(name) -c 'import sys; sys.version_info < (3, 11) or print("$(name)")' \
	2>/dev/null)) python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: run test test-slow chaos lint golden bench reproduce-multitrial clean help

help:  ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

run: $(VENV)/.run-installed  ## Start PostgreSQL, Redis, a worker and the site
	@exec $(BIN)/python manage.py up

test: lint $(VENV)/.browser-installed  ## Lint, then run the tests on real servers
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

test-slow: $(VENV)/.browser-installed  ## Run the long checks too, but for chaos
	$(BIN)/python -m pytest -m "not (chaos and slow)"

chaos: $(VENV)/.test-installed  ## Hit searches with 100 faults (a quarter of an hour)
	$(BIN)/python -m pytest -s -m "chaos and slow" tests/chaos

lint: $(VENV)/.test-installed  ## Check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy

golden: $(VENV)/.test-installed  ## Record the tiny searches anew; read the diff
	NASWEB_RECORD_GOLDEN=1 $(BIN)/python -m pytest -q tests/engine/test_golden.py

bench: $(VENV)/.test-installed  ## Measure the supernet's step, then every method's
	$(BIN)/python tests/benchmarks/step.py
	$(BIN)/python tests/benchmarks/methods.py

# TABLE=path names a CSV; else the site's table, else ../shared/data.
reproduce-multitrial: $(VENV)/.test-installed  ## Run the papers' searches on the table
	$(BIN)/python tests/benchmarks/multitrial.py $(TABLE)

clean:  ## Remove caches; .nasweb (your data) and .venv stay
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis build *.egg-info
	find nasweb searchjobs tests -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/bin/python: tools/preflight.py
	@$(PYTHON) tools/preflight.py
	@echo "Making a virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.run-installed: pyproject.toml | $(VENV)/bin/python
	@echo "Installing nasweb (PyTorch is large: a few minutes the first time)"
	@$(PIP) install -qq --editable '.[servers]'
	@touch $@

$(VENV)/.test-installed: pyproject.toml | $(VENV)/bin/python
	@echo "Installing nasweb and its tests (a few minutes the first time)"
	@$(PIP) install -qq --editable '.[servers,test,dev]'
	@touch $@ $(VENV)/.run-installed

# The browser tests take a Chromium of the system, else one that Playwright brings.
$(VENV)/.browser-installed: $(VENV)/.test-installed
	@if command -v chromium chromium-browser google-chrome >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "Installing Chromium with apt-get"; \
		apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; \
	else \
		echo "Installing Chromium with Playwright"; \
		$(BIN)/python -m playwright install chromium; \
	fi
	@touch $@
