# make lab opens the notebooks, make test checks the whole kit; both create .venv on first use.
VENV     := .venv
PYTHON   := $(VENV)/bin/python
# CONSTRAINTS= takes the newest versions of all libraries instead of those that were tested together.
CONSTRAINTS ?= -c constraints.txt
PIP      := PYTHONWARNINGS=ignore $(PYTHON) -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS)
# A process without tests takes over half of those that another still has; the cells of a notebook stay together.
# A thread that waits for another leaves the processor to the rest meanwhile.
JOBS     ?= 2
PYTEST   := OMP_WAIT_POLICY=PASSIVE $(PYTHON) -m pytest -q -n $(JOBS)
UNIT     := $(PYTEST) --dist worksteal --doctest-modules --ignore=tests/browser tests gfe_core
NBVAL    := GFE_PREDICT=commit $(PYTEST) --dist loadfile --nbval --nbval-current-env \
            --nbval-sanitize-with tests/notebooks/nbval_sanitize.cfg --nbval-cell-timeout 120
# Node and npm come with the tools of .venv; package-lock.json names the versions of what npm installs.
NPM      := $(PYTHON) tests/widgets/front_end.py
NB       ?= notebooks/
LAB_ARGS ?=
LOOK     ?=

# The kernel of .venv goes before one that another installation left in the home folder.
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

test: lint types wheel unit notebooks-portable browser timed ## run every check, in this order (forty minutes on two cores)
	@echo "All checks passed."

check: lint types quick ## what to run while working: all but slow tests, notebooks and browser (6 minutes)

lint: $(VENV)/installed-dev ## rules and formatting of Python, notebooks and the views' scripts, whose types are checked too
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(NPM) run --silent lint

types: $(VENV)/installed-dev ## pyright
	$(PYTHON) -m pyright

bundles: $(VENV)/installed-dev ## write the views' bundles, which are committed
	$(NPM) run --silent format
	$(NPM) run --silent build

unit: $(VENV)/installed-dev ## unit tests and the examples in docstrings
	$(UNIT)

quick: $(VENV)/installed-dev ## the same without the tests marked slow
	$(UNIT) -m "not slow"

slow: $(VENV)/installed-dev ## the tests marked slow, and no others
	$(UNIT) -m "slow"

wheel: $(VENV)/installed-dev ## write dist/: the wheel and the source distribution, checked as they are uploaded
	@rm -rf build dist
	$(PYTHON) -m build --no-isolation
	$(PYTHON) -m twine check --strict dist/*
	$(VENV)/bin/check-wheel-contents dist/*.whl

notebooks: $(VENV)/installed-dev ## run the notebooks and compare every output (NB=one.ipynb)
	$(NBVAL) $(NB)

notebooks-portable: $(VENV)/installed-dev ## the notebooks without vector instructions: no output may depend on the processor
	ATEN_CPU_CAPABILITY=default $(NBVAL) $(NB)

browser: $(VENV)/installed-dev ## JupyterLab in Chromium: views, and every notebook's outputs (skipped without one, unless GFE_REQUIRE_BROWSER=1)
	$(PYTEST) --dist worksteal -m "browser and not timed" tests/browser

timed: $(VENV)/installed-dev ## how soon views answer a hand, in Chromium, with no other test beside
	$(PYTEST) -n 0 -rP -m timed tests/browser

refresh: $(VENV)/installed-dev ## run the notebooks in JupyterLab in Chromium and save them with stills (NB=one.ipynb)
	PYTHONPATH=tests/notebooks $(PYTHON) tests/browser/refresh_notebooks.py $(NB)

look: $(VENV)/installed-dev ## run the notebooks in a browser slowed six times and say what drew (LOOK=--reopened: as they are saved)
	PYTHONPATH=tests/notebooks $(PYTHON) tests/browser/look_at_notebooks.py $(LOOK) $(NB)

site: $(VENV)/installed-dev ## build the static pages into site/ (NB=one.ipynb: run only this one)
	@$(PYTHON) -m gfe_core site $(filter %.ipynb,$(NB))

handouts: $(VENV)/installed ## write handouts/: the notebooks without solutions and outputs, and a key for the teacher
	@$(PYTHON) -m gfe_core handouts

bench: $(VENV)/installed-dev ## how fast codes are found, beside other libraries, and what gradients cost (needs MNIST; half an hour)
	$(PYTHON) tests/benchmarks/bench_adjoints.py
	$(PYTHON) tests/benchmarks/bench.py

$(VENV)/installed: pyproject.toml constraints.txt | $(PYTHON)
	@echo "Installing gfe_core and its libraries into $(VENV) ..."
	@$(if $(TORCH_INDEX),$(PIP) torch torchvision --index-url $(TORCH_INDEX))
	@$(PIP) -e ".[lab]"
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed gfe_core/widgets/package-lock.json
	@echo "Installing the tools that check it ..."
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
