# Two commands: `make study` runs the built-in study, `make test` checks everything.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= study
# Real data where a mirror lies beside the checkout; `make study NEUROCOMPARE_MIRROR=` tries the public sources instead.
NEUROCOMPARE_MIRROR ?= $(abspath $(wildcard ../shared/data))
export NEUROCOMPARE_MIRROR
# Threads that wait busily slow a shared machine down many times over.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: study test test-slow lint notebooks clean

study: $(VENV)/.installed
	$(BIN)/neurocompare run -o $(OUT)

# A process for each core, with one thread; a file's tests stay together, as they share what is costly to prepare.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile

test: lint
	$(PYTEST) -m "not slow"

test-slow: $(VENV)/.tested
	$(PYTEST) -m slow

lint: $(VENV)/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

notebooks: $(VENV)/.tested
	$(BIN)/python -m nbconvert --to notebook --execute --inplace --ExecutePreprocessor.record_timing=False notebooks/*.ipynb
	$(BIN)/ruff format notebooks

$(VENV)/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.tested: pyproject.toml $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info
