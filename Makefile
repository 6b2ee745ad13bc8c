# Everything runs from a virtual environment in .venv, made on first use. Needed: make, Python 3.11+.
# Another interpreter: make PYTHON=/path/to/python3 demo

.DEFAULT_GOAL := help
.PHONY: help demo test unit lint bench soak golden dashboards pictures chart venv lock clean FORCE

# No Python process here ever asks a cloud's metadata service for a credential.
export ALIBABA_CLOUD_ECS_METADATA_DISABLED := true
export PIP_DISABLE_PIP_VERSION_CHECK := 1

VENV := .venv
# An empty HOME, so that nothing depends on the files of whoever runs it. pip keeps the real one: its
# configuration lives there.
RUN := env HOME="$(CURDIR)/.home" $(VENV)/bin/python
PIP := $(VENV)/bin/python -m pip install -qq --require-hashes

help: ## this list
	@echo 'make TARGET, where TARGET is one of:'
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r name text; do \
		printf '  %-10s %s\n' "$$name" "$$text"; done

demo: $(VENV)/.runtime .home ## the exporter against a simulated cloud; Ctrl-C ends it
	@exec $(RUN) -m exporter demo

test: lint ## linters, types, import contracts and all tests; SHUFFLE=7 takes another order
	@$(RUN) -m pytest -n auto $(if $(SHUFFLE),--shuffle=$(SHUFFLE))

unit: lint ## the same without the tests that start a process or use a system tool: about a minute
	@$(RUN) -m pytest -n auto -m 'not real and not process and not soak'

lint: $(VENV)/.dev .home ## the linters, types and import contracts alone
	@$(RUN) -m ruff check --quiet
	@$(RUN) -m ruff format --check --quiet || { \
		echo 'Not formatted: run .venv/bin/ruff format' >&2; exit 1; }
	@$(RUN) -c 'from importlinter.cli import lint_imports_command as check; check()' --no-logo
	@$(RUN) -m mypy

golden: $(VENV)/.dev .home ## rewrite the golden files from what the code does now; read the diff
	@GOLDEN_UPDATE=1 $(RUN) -m pytest -q -k golden

dashboards: $(VENV)/.dev .home ## rewrite the JSON of grafana/dashboards from the code beside it
	@$(RUN) -m grafana.generate

pictures: $(VENV)/.dev .home ## redraw grafana/pictures; RENDER=... is the program that draws one
	@test -n '$(RENDER)' || { echo 'Give a program that draws: make pictures RENDER="program"; it is' \
		'called with a dashboard, the URL of a Prometheus and the picture to write.' >&2; exit 1; }
	@exec $(VENV)/bin/python -m tests.dashboards.pictures $(RENDER)

chart: ## the Helm chart as a package in dist, with rules and dashboards inside instead of links to them
	@rm -rf build/chart && mkdir -p build/chart
	@cp -RL deploy/helm/emr-serverless-spark-exporter build/chart
	@$(HELM) package build/chart/emr-serverless-spark-exporter --destination '$(TO)' \
		$(if $(VERSION),--version '$(VERSION)' --app-version '$(VERSION)')

HELM = helm
TO = dist

bench: $(VENV)/.dev .home ## benchmarks
	@exec env MALLOC_ARENA_MAX=2 MALLOC_MMAP_THRESHOLD_=524288 $(RUN) -m tests.bench

soak: $(VENV)/.dev .home ## the long tests
	@HYPOTHESIS_PROFILE=soak $(RUN) -m pytest -m soak

venv: $(VENV)/.dev ## .venv with what development needs

lock: ## rewrite the lock files; UPGRADE=1 takes the newest versions
	@$(FIND_PYTHON) && test -x .venv-lock/bin/uv || { \
		"$$python" -m venv --clear .venv-lock && .venv-lock/bin/python -m pip install -qq uv; }
	@$(COMPILE) -o requirements.lock --all-extras pyproject.toml
	@$(COMPILE) -o requirements-dev.lock -c requirements.lock --all-extras --group dev pyproject.toml
	@$(COMPILE) -o requirements-build.lock -c requirements-dev.lock --group pyproject.toml:build

# Neither the index nor the command line is recorded: a lock names versions and hashes, not hosts.
COMPILE = .venv-lock/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes \
	--no-header --no-emit-index-url $(if $(UPGRADE),--upgrade)

clean: ## delete everything that was made here
	@rm -rf .containers .venv .venv-lock .home .tools .hypothesis .import_linter_cache .mypy_cache \
		.pytest_cache .ruff_cache build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Sets the shell variable `python`. A shim on PATH may exist and yet not run, so each is tried.
FIND_PYTHON = for python in $(if $(PYTHON),'$(PYTHON)',python3.13 python3.12 python3.11 python3); do \
		"$$python" -c 'import ensurepip, sqlite3, ssl, sys, venv; sys.exit(sys.version_info < (3, 11))' \
			2>/dev/null && break; python=; done; \
	test -n "$$python" || { echo 'No usable Python 3.11 or newer was found$(if $(PYTHON), \
		at $(PYTHON)). Install one with its venv module (Debian: apt-get install python3 python3-venv)' \
		'or name it: make PYTHON=/path/to/python3' >&2; exit 1; }

# Made anew when its interpreter is gone, or when the last attempt was cut short.
$(VENV)/.made: $(if $(shell $(VENV)/bin/python -c 'print(1)' 2>/dev/null),,FORCE)
	@$(FIND_PYTHON); "$$python" -m venv --clear $(VENV)
	@touch $@

$(VENV)/.runtime: requirements.lock $(VENV)/.made
	@echo 'Installing what the exporter needs into $(VENV) ...' >&2
	@$(PIP) -r requirements.lock
	@touch $@

$(VENV)/.dev: requirements-dev.lock requirements.lock $(VENV)/.made
	@echo 'Installing what development needs into $(VENV) ...' >&2
	@$(PIP) -r requirements-dev.lock
	@touch $@ $(VENV)/.runtime

.home:
	@mkdir -p $@
