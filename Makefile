# Two commands matter: `make demo` and `make test`. Both need Python 3.11 or 3.12 and nothing else.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: demo test check chaos bench clean

demo: .venv/.core
	$(BIN)/watchgate demo

test: check
	$(BIN)/python -m pytest -n 2 --dist loadscope

check: .venv/.all
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Three hundred kills of the real process at every step of the commit protocol, and sixty faults of a cluster with its
# broker, about an hour; `make test` does thirty and seven. WATCHGATE_SEED=N for another order of the faults.
chaos: .venv/.all
	WATCHGATE_KILLS=300 $(BIN)/python -m pytest tests/chaos
	WATCHGATE_FAULTS=60 $(BIN)/python -m pytest tests/cluster/test_faults.py

bench: .venv/.all
	$(BIN)/python benchmarks/embedded.py

.venv/.core: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] <= (3, 12) else "Watchgate needs Python 3.11 or 3.12; set PYTHON=/path/to/python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) --editable .
	touch $@

.venv/.all: .venv/.core
	$(PIP) --editable '.[flink,bench,train,test]'
	touch $@

clean:
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
