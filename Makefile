# Two commands for a fresh machine with Python >= 3.11: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

TRAINING_TESTS := tests/training tests/runtime tests/models/test_acceleration.py tests/experiment/test_learning.py \
	tests/experiment/test_run.py

.PHONY: demo test test-bf16 lint clean

demo: $(VENV)/ready  ## train six tasks over one frozen network on embedded data; ends with runs/demo/report.html
	$(BIN)/stencil demo --out runs/demo

test: $(VENV)/ready lint  ## lint, types, import contracts, tests
	$(BIN)/python -m pytest -n 2

test-bf16: $(VENV)/ready  ## the tests that train, as on a processor that has bfloat16 if this has not, or the reverse
	$(BIN)/python -m pytest -n 2 --bf16 other $(TRAINING_TESTS)

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache
