# Everything happens in .venv inside this checkout; remove that folder to start afresh.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check format lock cards install install-dev clean

# torch comes first and exactly: a range could fetch a build of several gigabytes.
$(VENV)/.runtime: requirements/runtime.txt requirements/torch.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -r requirements/torch.txt
	$(BIN)/python -m pip install --quiet -r requirements/runtime.txt
	$(BIN)/python -m pip install --quiet --no-deps -e .
	touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements/dev.txt
	$(BIN)/python -m pip install --quiet -r requirements/dev.txt
	touch $@

install: $(VENV)/.runtime
install-dev: $(VENV)/.dev

## demo: install, then read a real chest radiograph with the bundled starter models
demo: $(VENV)/.runtime
	$(BIN)/hilum read --example --out out

## test: install, then everything that check does, then the fast tests
test: check
	$(BIN)/python -m pytest -n auto

## check: format, lint, strict types, import contracts
check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

## cards: make the report cards of the bundled models anew; DATA is the folder of the NIH pictures
DATA ?= ../shared/data/nih_chestxray14
SCORES = docs/cards/starter-expert-scores.csv
cards: $(VENV)/.runtime
	$(BIN)/hilum evaluate card starter-expert --data $(DATA) --scores $(SCORES) --out docs/cards/starter-expert
	$(BIN)/hilum evaluate card starter-reporter --data $(DATA) --scores $(SCORES) --out docs/cards/starter-reporter

## lock: write the exact versions anew (then look at the difference); torch stands alone in requirements/torch.txt
COMPILE = $(BIN)/pip-compile --quiet --upgrade --strip-extras --no-header --no-annotate --no-emit-index-url --no-emit-find-links --unsafe-package torch
lock: $(VENV)/.dev
	$(COMPILE) --allow-unsafe -c requirements/torch.txt -o requirements/runtime.txt pyproject.toml
	$(COMPILE) -o requirements/dev.txt requirements/dev.in

clean:
	rm -rf $(VENV) out build dist
