# Two commands: `make demo` and `make test`. Both set up .venv first, with the interpreter in PYTHON.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help setup demo test lint mutate bench gauntlet clean

help:            ## this list
	@grep -E '^[a-z-]+: .*##|^[a-z-]+:  *##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(READY): pyproject.toml constraints-dev.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints-dev.txt torch -e '.[dev]'
	touch $(READY)

setup: $(READY)  ## the development environment

demo: $(READY)   ## diagnose a real training on real JPEG photographs; prints where the report lies
	$(BIN)/python examples/data.py
	$(BIN)/bottleneck diagnose examples/cpu_preprocessing/train.py

# Tests that compare measured times (marker `timing`) run alone, one after the other; all others share the cores. What fails
# there is judged alone: a child that waits for a core for seconds is no defect.
JOBS ?= 2
test: $(READY) lint  ## everything: lint, types, tests
	@test -x "$${CHROMIUM:-/usr/bin/chromium}" || echo "no chromium: the page tests are skipped (Debian: apt-get install chromium)"
	@$(BIN)/pytest -n $(JOBS) -m "not timing" || $(BIN)/pytest -m "not timing" --last-failed --last-failed-no-failures none; \
		first=$$?; $(BIN)/pytest -m timing && exit $$first

lint: $(READY)   ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

mutate: $(READY) ## changes every threshold and operator of the rules; lists what no case notices
	$(BIN)/python tests/mutants.py

bench: $(READY)  ## overhead, start-up, record size, accuracy on planted causes; prints tables
	$(BIN)/python tests/benchmarks/run.py

STAGES ?= diagnose,truth
gauntlet: $(READY) ## how right the diagnosis is, on every case (hours): CASES="a b", STAGES=..., AGAIN=--again
	cd tests && ../$(BIN)/python -m gauntlet --stages $(STAGES) $(AGAIN) $(CASES)

clean:           ## remove the environment and what runs left
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
