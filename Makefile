PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup demo test lint bench

setup:
	@$(PYTHON) scripts/setup.py $(VENV)

demo: setup
	@$(BIN)/python -m elfs_plugin demo $(ARGS)

test: setup
	@$(BIN)/python scripts/ensure_chromium.py
	@$(BIN)/python -m pytest $(ARGS)

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

bench: setup
	@$(BIN)/python -m benchmarks $(ARGS)
