# make lab opens the notebooks; make test checks the whole kit. Both create .venv on first use.
VENV     := .venv
PYTHON   := $(VENV)/bin/python
# CONSTRAINTS= installs the newest versions of all libraries instead of those that were tested together.
CONSTRAINTS ?= -c constraints.txt
PIP      := PYTHONWARNINGS=ignore $(PYTHON) -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS)
# worksteal: an idle process takes over half of another's remaining tests. loadfile: the cells of a notebook stay together.
# loadscope: tests of a file that share a page stay together, as tests/browser/conftest.py says.
# OMP_WAIT_POLICY=PASSIVE: a waiting thread leaves the processor to the others.
JOBS     ?= 2
# A browser waits for its kernel, and the kernel for its browser.
BROWSERS ?= 3
PYTEST   := OMP_WAIT_POLICY=PASSIVE $(PYTHON) -m pytest -q -n $(JOBS) --durations=20 --durations-min=5
UNIT     := $(PYTEST) --dist worksteal --doctest-modules --ignore=tests/browser tests gfe_core
NBVAL    := GFE_PREDICT=commit $(PYTEST) --dist loadfile --nbval --nbval-current-env \
            --nbval-sanitize-with tests/notebooks/nbval_sanitize.cfg --nbval-cell-timeout 120
# Node and npm come with the tools of .venv; package-lock.json pins the versions of the npm packages.
NPM      := $(PYTHON) tests/widgets/front_end.py
RACE     := $(PYTHON) tests/benchmarks/race.py
# Methods that race with more images than 100; the others are slower with 100 and take long.
LEADERS  := LBFGS "botorch L-BFGS-B" "botorch, each sample stops" "optimistix L-BFGS" "optimistix BFGS"
NB       ?= notebooks/
LAB_ARGS ?=
LOOK     ?=

# The kernel of .venv takes precedence over one that another installation left in the home folder.
export JUPYTER_PREFER_ENV_PATH := 1
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help lab test check lint types bundles unit quick slow wheel notebooks notebooks-portable browser timed refresh look site handouts bench

help: ## list these targets
	@echo "usage: make TARGET"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-20s %s\n", $$1, $$2 }' Makefile
	@echo "variables: NB=notebooks/00_start_here.ipynb  LAB_ARGS=--no-browser  JOBS=2  TORCH_INDEX=https://download.pytorch.org/whl/cpu"

lab: $(VENV)/installed ## open the notebooks in JupyterLab
	@$(PYTHON) -m gfe_core lab notebooks/00_start_here.ipynb $(LAB_ARGS)

test: lint types wheel unit notebooks-portable browser timed ## run every check, in this order (twenty minutes on two fast cores, an hour on two slow ones)
	@echo "All checks passed."

check: lint types quick ## run the checks for everyday work: all but slow tests, notebooks and browser (some minutes)

lint: $(VENV)/installed-dev ## check rules and formatting of Python, notebooks and the views' scripts, and the scripts' types
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(NPM) run --silent lint

types: $(VENV)/installed-dev ## check the types of Python with pyright
	$(PYTHON) -m pyright

bundles: $(VENV)/installed-dev ## write the views' bundles, which are committed
	$(NPM) run --silent format
	$(NPM) run --silent build

unit: $(VENV)/installed-dev ## run the unit tests and the examples in docstrings
	$(UNIT)

quick: $(VENV)/installed-dev ## run the unit tests and examples, except the tests marked slow
	$(UNIT) -m "not slow"

slow: $(VENV)/installed-dev ## run only the tests marked slow
	$(UNIT) -m "slow"

wheel: $(VENV)/installed-dev ## build the wheel and the source distribution into dist/, and check both as for an upload
	@rm -rf build dist
	$(PYTHON) -m build --no-isolation
	$(PYTHON) -m twine check --strict dist/*
	$(VENV)/bin/check-wheel-contents dist/*.whl

notebooks: $(VENV)/installed-dev ## run the notebooks and compare every output (NB=one.ipynb)
	$(NBVAL) $(NB)

notebooks-portable: $(VENV)/installed-dev ## the same without vector instructions: no output may depend on the processor
	ATEN_CPU_CAPABILITY=default $(NBVAL) $(NB)

browser: $(VENV)/installed-dev ## test views and notebook outputs in JupyterLab in Chromium (skipped without Chromium, unless GFE_REQUIRE_BROWSER=1)
	$(PYTEST) -n $(BROWSERS) --dist loadscope -m "browser and not timed" tests/browser

timed: $(VENV)/installed-dev ## test how fast views respond in Chromium, with no other test running
	$(PYTEST) -n 0 -rP -m timed tests/browser

refresh: $(VENV)/installed-dev ## run the notebooks in JupyterLab in Chromium and save them with stills (NB=one.ipynb)
	PYTHONPATH=tests/notebooks $(PYTHON) tests/browser/refresh_notebooks.py $(NB)

look: $(VENV)/installed-dev ## run the notebooks in a browser slowed down six times and list what drew (LOOK=--reopened: open them as saved)
	PYTHONPATH=tests/notebooks $(PYTHON) tests/browser/look_at_notebooks.py $(LOOK) $(NB)

site: $(VENV)/installed-dev ## build the static pages into site/ (NB=one.ipynb: run only this one)
	@$(PYTHON) -m gfe_core site $(filter %.ipynb,$(NB))

handouts: $(VENV)/installed ## write handouts/: the notebooks without solutions and outputs, and a key for the teacher
	@$(PYTHON) -m gfe_core handouts

bench: $(VENV)/installed-dev ## measure the speed of encoding, beside other libraries, and the cost of gradients (needs MNIST; an hour)
	@$(PIP) -e ".[bench]"
	$(PYTHON) tests/benchmarks/bench_adjoints.py
	$(PYTHON) tests/benchmarks/bench.py
	$(RACE) --images 100 --repeats 1 --patience 5
	$(RACE) --methods $(LEADERS)
	$(RACE) --methods $(LEADERS) --repeats 1 --decoders mlp conv --latents 64
	$(RACE) --methods $(LEADERS) --repeats 1 --decoders one_pass --images 10000

$(VENV)/installed: pyproject.toml constraints.txt | $(PYTHON)
	@echo "Installing gfe_core and its libraries into $(VENV) ..."
	@$(if $(TORCH_INDEX),$(PIP) torch torchvision --index-url $(TORCH_INDEX))
	@$(PIP) -e ".[lab]"
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed gfe_core/widgets/package-lock.json
	@echo "Installing the development tools ..."
	@$(PIP) -e ".[dev]"
	@$(NPM) ci --ignore-scripts --loglevel=error --no-fund --no-audit
	@touch $@

$(PYTHON):
	@for python in python3.13 python3.12 python3.11 python3; do \
	  if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "Creating $(VENV) with $$($$python --version) (about two minutes and some GB, the first time only) ..."; \
	    $$python -m venv $(VENV) && exit 0; \
	    rm -rf $(VENV); \
	    echo "$$python could not create $(VENV): on Debian and Ubuntu install its venv package (apt install python3-venv)." >&2; \
	    exit 1; \
	  fi; \
	done; \
	echo "No Python 3.11 or newer found. Install one from https://www.python.org or use conda (see README.md)." >&2; \
	exit 1
