# Everything a user needs: every target sets up .venv itself.
PYTHON ?= python3
BIN := .venv/bin
DEMO ?= runs/demo
ZOO ?= runs/zoo
REPRODUCTION ?= runs/reproduce
export DS_BUILD_OPS = 0
export TOKENIZERS_PARALLELISM = false

.PHONY: demo zoo reproduce test test-long lint format setup clean

setup: .venv/.ready

# torch comes first and alone: the constraints file then takes the CPU build where the package index offers one.
.venv/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -c constraints.txt torch
	$(BIN)/pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@

demo: setup  ## render a world, train, predict, score, write the page
	$(BIN)/llava-corr demo --out $(DEMO)

zoo: setup  ## train the tiny twins on the embedded world (up to 2 hours) and replace data/zoo by them
	$(BIN)/llava-corr zoo --out $(ZOO)
	rm -rf data/.zoo && cp -r $(ZOO)/zoo data/.zoo
	rm -rf data/zoo && mv data/.zoo data/zoo

reproduce: setup  ## the paper's tables in miniature (hours; each row by itself: llava-corr reproduce --rows no_cem)
	$(BIN)/llava-corr reproduce --out $(REPRODUCTION)
	$(BIN)/llava-corr tables --out $(REPRODUCTION)

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
