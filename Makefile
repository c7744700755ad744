# Everything a user needs: `make demo` and `make test` set up .venv themselves.
PYTHON ?= python3
BIN := .venv/bin
DEMO ?= runs/demo
export DS_BUILD_OPS = 0
export TOKENIZERS_PARALLELISM = false

.PHONY: demo test test-long lint format setup clean

setup: .venv/.ready

# torch comes first and alone: the constraints file then takes the CPU build where the package index offers one.
.venv/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -c constraints.txt torch
	$(BIN)/pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@

demo: setup  ## render a world, train, predict, score, write the page
	$(BIN)/llava-corr demo --out $(DEMO)

test: setup  ## lint, types, tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -q -m "not slow and not gpu"

test-long: setup
	$(BIN)/pytest -q -m "slow"

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf runs
