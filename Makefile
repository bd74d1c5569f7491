# What one types here. Every target says what it does; `make` alone lists them.
# Nothing needs root or a running service. A virtual environment lies in .venv.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Python keeps the bytecode of what it imports, whatever the shell says: the suite and the demo start hundreds of
# processes, and each would compile Django and torch anew (seconds a process).
export PYTHONDONTWRITEBYTECODE :=

VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.made
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	2>/dev/null && echo $$p && break; done)
# T=tests/api runs one folder; SERVE=0 ends the demo after the leaderboard.
T ?= tests
SERVE ?= 1
# How many of the slowest tests are listed; 0 lists all.
DURATIONS ?= 40
# The whole suite runs in a process more than there are cores, since many tests wait for others, at most in four;
# one folder in one.
JOBS ?= $(if $(filter tests,$(T)),$(shell echo $$(( $$(nproc 2>/dev/null || echo 2) + 1 ))),0)
# Folders that need neither database nor broker nor torch, without what starts many processes.
FAST := tests/scoring tests/rules tests/client tests/config/test_env.py
SLOW := $(addprefix --ignore=tests/scoring/,attacks bench scorer cli decode test_fuzz.py test_resource_limits.py \
	metrics/test_counting.py kernels/test_memory.py)

# uv checks every file against the hashes of the locks, those of an editable install's dependencies too.
PIP := $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint requirements.lock \
	--build-constraints requirements-build.lock
SAY := @printf '\033[1m==> %s\033[0m\n'

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

# --- Installing -----------------------------------------------------------------------------------

$(BIN)/uv:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3"; exit 1; }
	$(SAY) "Making a virtual environment in $(VENV)"
	@if command -v uv >/dev/null 2>&1; then uv venv --quiet --seed --allow-existing --python "$(PYTHON)" $(VENV); \
	else "$(PYTHON)" -m venv $(VENV) || { echo "Install Debian's python3-venv, or uv"; exit 1; }; fi
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		--requirement requirements-build.lock

$(STAMPS)/demo: pyproject.toml requirements.lock | $(BIN)/uv
	$(SAY) "Installing the site, the scorer and the embedded servers"
	@$(PIP) --editable '.[site,client,demo]'
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/dev: pyproject.toml requirements.lock | $(BIN)/uv
	$(SAY) "Installing the site, the scorer, the embedded servers and the tools of development"
	@$(PIP) --editable '.[site,client,demo,s3,dev]'
	@mkdir -p $(STAMPS) && touch $@ $(STAMPS)/demo

# torch comes by pip, which finds a CPU build where the machine offers one; torchvision without its
# dependencies, or it would bring the CUDA build back in (decision 062).
$(STAMPS)/baselines: pyproject.toml requirements.lock | $(STAMPS)/dev
	$(SAY) "Installing torch and the baselines (the longest step)"
	@$(BIN)/python -c 'import torch' 2>/dev/null || \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	@$(PIP) --no-deps torchvision==0.28.0
	@$(PIP) --editable '.[baselines]'
	@touch $@

.PHONY: install install-demo install-baselines
install: $(STAMPS)/dev ## Install everything for development but torch
install-demo: $(STAMPS)/demo
install-baselines: $(STAMPS)/baselines ## Install torch and the reference baselines too

# --- Running --------------------------------------------------------------------------------------

.PHONY: demo
demo: install-demo ## Load, score and serve both challenges (SERVE=0: end after the leaderboard)
	@$(BIN)/python -m challenge.demo.serve $(if $(filter 0,$(SERVE)),--no-serve)

# --- Testing --------------------------------------------------------------------------------------

.PHONY: chromium
chromium:
	@bash .ci/chromium

.PHONY: test
test: install install-baselines chromium ## Run the whole suite, or one folder: make test T=tests/api
	$(SAY) "Testing $(T)"
	@CHROMIUM_PATH="$$(bash .ci/chromium --path)" $(BIN)/python -m pytest \
		--numprocesses $(JOBS) --maxprocesses 4 --dist worksteal --durations $(DURATIONS) $(T)

.PHONY: fast
fast: install ## Run the tests without database, broker, browser or torch
	@$(BIN)/python -m pytest -q $(FAST) $(SLOW)

.PHONY: check
check: install install-baselines ## Lint, types, import directions, migrations, templates, compose file, API schema
	@PATH="$(CURDIR)/$(BIN):$$PATH" bash .ci/check

.PHONY: docs
docs: install ## Build the documents as a site into build/docs
	$(SAY) "The documents, in build/docs/index.html"
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

.PHONY: format
format: install ## Format the Python code
	@$(BIN)/ruff check --quiet --fix-only . && $(BIN)/ruff format .

.PHONY: bench
bench: install install-baselines chromium ## Measure the engine, the pages and the baselines
	$(SAY) "The scoring engine"
	@$(BIN)/python -m scoring bench
	$(SAY) "How often intervals hold the truth"
	@$(BIN)/python -m tests.bench.intervals
	$(SAY) "What known attacks cost"
	@$(BIN)/python -m tests.scoring.attacks.costs
	$(SAY) "What 200 submissions teach about hidden labels"
	@$(BIN)/python -m tests.bench.label_attack
	$(SAY) 'A whole FLAIR #1 submission, from the zip to its row'
	@$(BIN)/python -m tests.bench.full_size
	$(SAY) "The baselines"
	@$(BIN)/python -m baselines bench
	@$(MAKE) bench-pages

.PHONY: bench-pages
bench-pages: install chromium ## Measure the pages: 1,000 teams, Lighthouse, readers beside uploads
	$(SAY) "The pages with 1,000 teams and 10,000 submissions"
	@export CHROMIUM_PATH="$$(bash .ci/chromium --path)"; missed=0; \
	$(BIN)/python -m tests.bench.pages || missed=1; \
	printf '\n'; $(BIN)/python -m tests.bench.desk || missed=1; \
	printf '\n'; $(BIN)/python -m tests.bench.lighthouse || missed=1; \
	printf '\n'; $(BIN)/python -m pytest -q -s tests/uploads/test_starvation.py || missed=1; \
	exit $$missed

.PHONY: pictures
pictures: install chromium ## Take pictures of every page (390 and 1440 px, light and dark) into docs/images
	$(SAY) "The pages, one by one"
	@CHROMIUM_PATH="$$(bash .ci/chromium --path)" $(BIN)/python -m tests.web.screenshots

.PHONY: fuzz
fuzz: install ## Throw 20,000 altered archives and rasters at the scorer
	$(SAY) "Fuzzing the scoring engine"
	@$(BIN)/python -W ignore -m tests.scoring.fuzz --cases 20000
	$(SAY) "Fuzzing its kernels, as committed and with clang's checks"
	@$(BIN)/python -m tests.scoring.kernels.fuzz --cases 5000
	@$(BIN)/python -m tests.scoring.kernels.fuzz --cases 5000 --checked

.PHONY: fuzz-api
fuzz-api: install ## Put thousands of requests to the API, all of schemathesis' checks on
	$(SAY) "Fuzzing the API"
	@FUZZ_EXAMPLES=40 $(BIN)/python -m pytest tests/api/test_fuzz.py

# --- Keeping --------------------------------------------------------------------------------------

.PHONY: kernels
kernels: install ## Compile the score engine's kernels from C to the LLVM IR that is committed
	@$(BIN)/python -m scoring.engine.kernels.build

.PHONY: lock
UPGRADE ?= 1
LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate $(if $(UPGRADE),--upgrade)
lock: $(BIN)/uv ## Resolve dependencies anew into the locks (UPGRADE= keeps versions that still fit)
	@$(LOCK) --extra site --extra client --extra demo --extra s3 --extra dev pyproject.toml \
		--output-file requirements.lock
	@printf 'hatchling>=1.27\nuv\n' | \
		$(LOCK) --constraint requirements.lock - --output-file requirements-build.lock

.PHONY: clean
clean: ## Stop the embedded servers and remove .data (databases, uploads, labels of the demo)
	@[ ! -x $(BIN)/python ] || $(BIN)/python -m challenge.embedded stop
	@rm -rf .data
