# Everything runs in a virtual environment that make sets up by itself; only Python 3.11 or newer and make must be there.
PYTHON ?= python3
VENV ?= .venv
# Two more than there are cores: many tests wait for networks that take their time.
WORKERS ?= $(shell echo $$(( $$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2) + 2 )))
PYTEST_ARGS ?=
BENCH_ARGS ?=
NETWORKS_ARGS ?=
BREAKS_ARGS ?=
FAULTS_ARGS ?=
SCREENS_ARGS ?=
RESUME_ARGS ?=
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?=

BIN := $(VENV)/bin
READY := $(VENV)/.ready-$(subst /,_,$(PYTHON))
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

.PHONY: help demo test check lint types man cover compiled installs bench networks breaks faults resume hostile fuzz screens clean

help:
	@echo "make demo    send real files from one process to another and compare them"
	@echo "make test    run the tests (PYTEST_ARGS='tests/files -k name', WORKERS=2)"
	@echo "make check   lint, types and test"
	@echo "make cover   run the tests of what runs in their own processes, and check the coverage"
	@echo "make man     write the manual pages in docs/man anew"
	@echo "make installs  install it with pip, pipx and uv, and with the oldest versions that it takes"
	@echo "make bench   compare the throughput with that of others, as root (BENCH_ARGS=...)"
	@echo "make networks  connect through all kinds of NAT, as root (NETWORKS_ARGS=...)"
	@echo "make breaks    break paths during transfers, and measure relays, as root (BREAKS_ARGS=...)"
	@echo "make faults    let a thousand transfers go wrong at random moments, as root (FAULTS_ARGS=...)"
	@echo "make resume    kill transfers of much and of many, run them again, and tell what that costs (RESUME_ARGS=...)"
	@echo "make hostile   meet peers that break the protocol in every way"
	@echo "make fuzz      feed all that reads bytes from outside with anything (FUZZ_SECONDS=60, FUZZ_TARGETS=...)"
	@echo "make screens   play both sides on real terminals, and write docs/screens.md and docs/terminals.svg, as root (SCREENS_ARGS=...)"
	@echo "make clean   remove what make made"
	@echo "PYTHON=/path/to/python3.12 chooses another Python than python3"

demo: $(READY)
	@$(BIN)/python tests/demo/demo.py

# COVER=yes: every test runs once all the same, and what cover measures is measured.
ifdef COVER
test: cover
	$(PYTEST) $(UNMEASURED)
else
test: compiled
	$(PYTEST) $(PYTEST_ARGS)
endif

check: lint types test

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	bash -n .ci/run

types: $(READY)
	$(BIN)/mypy

man: $(READY)
	$(BIN)/python tests/app/test_app_manpages.py

# What runs in the tests' own processes; measuring every p2pcopy that the end-to-end tests start would take an hour.
UNMEASURED := tests/e2e tests/interop

cover: compiled
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n $(WORKERS) --dist loadgroup $(UNMEASURED:%=--ignore %) $(PYTEST_ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=90
	$(BIN)/coverage report --fail-under=100 --include="$$($(BIN)/python tests/test_architecture.py)"

installs: $(READY)
	PYTHONPATH=tests $(BIN)/python -m installs

bench: compiled
	PYTHONPATH=tests $(BIN)/python -m bench $(BENCH_ARGS)

networks: $(READY)
	PYTHONPATH=tests $(BIN)/python -m lab.matrix $(NETWORKS_ARGS)

breaks: $(READY)
	PYTHONPATH=tests $(BIN)/python -m lab.breaks $(BREAKS_ARGS)

faults: compiled
	PYTHONPATH=tests:tests/e2e $(BIN)/python -m faults $(FAULTS_ARGS)

resume: compiled
	PYTHONPATH=tests $(BIN)/python -m resume $(RESUME_ARGS)

hostile: compiled
	cd tests && PYTHONPATH=.:e2e:net $(abspath $(BIN))/python -m hostile

screens: $(READY)
	cd tests && PYTHONPATH=.:ui:e2e $(abspath $(BIN))/python -m screens $(SCREENS_ARGS)

# Where there is no wheel of atheris, hypothesis draws the inputs.
fuzz: compiled
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: --group fuzz || echo "atheris cannot be installed here"
	PYTHONPATH=tests $(BIN)/python -m fuzz --seconds $(FUZZ_SECONDS) $(FUZZ_TARGETS)

clean:
	rm -rf $(VENV) .bench .fuzz build dist htmlcov demo-output .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find p2pcopy tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Else every process of a test compiles p2pcopy again where PYTHONDONTWRITEBYTECODE is set: half of the time that it takes to start.
compiled: $(READY)
	@$(BIN)/python -m compileall -q p2pcopy tests -x node_modules

# The version is in p2pcopy/__init__.py, and the installed metadata repeats it. Old versions of pip know no dependency groups.
$(READY): pyproject.toml p2pcopy/__init__.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "p2pcopy needs Python 3.11 or newer, and $(PYTHON) is not: try make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments: install its venv module (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@echo "setting up $(VENV)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --group dev --editable .
	@touch $@
