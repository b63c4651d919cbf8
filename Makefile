PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup demo test faults lint bench evidence screenshots

setup:
	@$(PYTHON) scripts/setup.py $(VENV)

demo: setup
	@$(BIN)/python -m elfs_plugin demo $(ARGS)

test: setup
	@$(BIN)/python scripts/ensure_chromium.py
	@$(BIN)/python scripts/ensure_label_studio.py
	@$(BIN)/python -m pytest -n 2 --dist loadgroup --no-loadscope-reorder $(ARGS)

faults: setup
	@$(BIN)/python -m faults $(ARGS)

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache --no-logo
	@$(BIN)/oxlint --deny-warnings js tests/js

bench: setup
	@$(BIN)/python -m benchmarks $(ARGS)

evidence: setup
	@$(BIN)/python -m benchmarks.evidence $(ARGS)

screenshots: setup
	@$(BIN)/python scripts/ensure_chromium.py
	@$(BIN)/python -m scripts.screenshots $(ARGS)
