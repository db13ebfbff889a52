# Everything runs in a virtual environment of its own: only Python >= 3.11 is needed.
PYTHON ?= python3
VENV ?= .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif

.PHONY: demo test test-fast lint types format docs clean

# What the demo needs: the core alone.
$(VENV)/.core: core/pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e core
	touch $@

# What development needs: every member of the workspace and the tools.
$(VENV)/.dev: $(VENV)/.core pyproject.toml $(wildcard modalities/*/pyproject.toml) $(wildcard applications/*/pyproject.toml) $(wildcard plugins/*/pyproject.toml)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e core -e applications/continual -e applications/federated -e modalities/audio -e modalities/graph -e modalities/image -e modalities/text -e plugins/tabular -e plugins/wasserstein --group dev
	touch $@

# What the documentation needs besides.
$(VENV)/.docs: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet -c constraints.txt --group docs
	touch $@

# Distill scikit-learn's handwritten digits and compare with baselines.
demo: $(VENV)/.core
	$(BIN)/attar demo --force

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2

test-fast: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 -m "not slow"

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy core/src applications/continual/src applications/federated/src modalities/audio/src modalities/graph/src modalities/image/src modalities/text/src plugins/tabular/src plugins/wasserstein/src

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Executes the tutorials; warnings are errors.
docs: $(VENV)/.docs
	$(BIN)/python -m sphinx -b html -n -W --keep-going -q docs docs/_build/html

clean:
	rm -rf $(VENV) build dist docs/_build .mypy_cache .pytest_cache .ruff_cache
