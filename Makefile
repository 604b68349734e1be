# Two commands for a fresh machine with Python >= 3.11: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BASE := .venv-base
PYTEST := $(BIN)/python -m pytest -n 2 --dist worksteal  # neighbouring tests share fixtures: they go to one process
unexport PYTHONDONTWRITEBYTECODE  # or every process that the tests start compiles the package and the tests again

BF16_TESTS := $(addprefix tests/training/, test_compiling.py test_trainer_settings.py test_accumulation.py \
	test_fit_resume.py) tests/runtime/test_engine.py tests/runtime/test_engine_many.py \
	tests/models/test_acceleration.py tests/experiment/test_learning.py

.PHONY: demo test test-slow test-bf16 test-base lint reference clean

demo: $(VENV)/ready  ## train six tasks over one frozen network on embedded data; ends with runs/demo/report.html
	$(BIN)/stencil demo --out runs/demo

test: $(VENV)/ready lint  ## lint, types, import contracts, and all tests but the slow ones
	$(PYTEST) -m "not slow"

test-slow: $(VENV)/ready  ## the tests marked slow: Ray, Slurm, torchrun, a browser, every shipped config, every line of the README
	$(PYTEST) -m slow

test-bf16: $(VENV)/ready  ## where a precision is left open: as on a processor that has bfloat16 if this has not, or the reverse
	$(PYTEST) -m "not slow" --bf16 other $(BF16_TESTS)

test-base: $(BASE)/ready  ## what works without the extra `train`, in an environment without PyTorch
	$(BASE)/bin/python -m pytest --confcutdir tests/without_torch tests/without_torch

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

reference: $(VENV)/ready  ## the Python API, from its docstrings: build/reference/index.html
	$(BIN)/python docs/reference.py build/reference

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

$(BASE)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(BASE)
	$(BASE)/bin/python -m pip install --quiet --constraint constraints.txt --editable . pytest pytest-timeout
	touch $@

clean:
	rm -rf $(VENV) $(BASE) build .mypy_cache .ruff_cache .pytest_cache
