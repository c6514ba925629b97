# make quickstart | test | quick | lint | bench | chaos | fuzz | docs | reference | container
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# processes of daily tests; all tests have one more, as those that start clusters mostly wait
WORKERS ?= 2

.PHONY: quickstart test quick lint bench chaos fuzz docs reference container browser

# the last lines say what to do next
quickstart: $(STAMP)
	$(BIN)/tts-bench run quickstart
	$(BIN)/tts-bench report results/quickstart
	@printf '%s\n' '' 'Next:' \
		'  open results/quickstart/report.html in a browser; it needs no network' \
		'  read docs/start/reading.md: what its curves, tables and images say' \
		'  write a study of your own: docs/start/study.md, then $(BIN)/tts-bench run mine.yaml'

test: $(STAMP) browser
	$(BIN)/python -m pytest -n $$(($(WORKERS) + 1)) --dist loadscope --no-loadscope-reorder

quick: $(STAMP)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder -m "not slow"

browser:
	@sh tests/browser.sh >/dev/null

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)
	$(BIN)/python -m bench.benchmarks all

# a thousand mishaps; writes results/chaos.md
chaos: $(STAMP)
	PYTHONPATH=.:tests $(BIN)/python -m chaos

# inputs made at random, so many of each kind
fuzz: $(STAMP)
	FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-2000} $(BIN)/python -m pytest tests/fuzz

# the site's pages that are made from the code
reference: $(STAMP)
	$(BIN)/python -m bench.commands.pages

# the image for CPUs, and an image drawn in it; where no container tool works, it says so
container:
	@sh tests/container.sh

docs: $(STAMP)
	$(BIN)/zensical build --strict --clean

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)
