# Two commands are enough on a fresh machine: `make demo` and `make test`. Each sets up what it needs, once.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
OUT ?= demo

.DEFAULT_GOAL := help
.PHONY: help setup demo test check gate bench lock clean

help: ## say what can be made
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

setup: $(READY) ## make the virtual environment and install missing programs

$(READY): requirements.lock requirements-uv.lock pyproject.toml
	python="$$(scripts/find-python)" && "$$python" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.lock
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-build-isolation --no-deps --editable .
	scripts/install-programs
	touch $@

demo: $(READY) ## rehearse a simulated alert and night end to end
	$(BIN)/siren demo --out $(OUT)

test: $(READY) ## run the tests
	$(BIN)/python -m pytest -m "not gate" $(ARGS)

check: $(READY) ## lint and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell

gate: $(READY) ## the long reliability runs
	$(BIN)/python -m pytest -m gate -s $(ARGS)

bench: $(READY) ## the performance suite
	$(BIN)/python -m benchmarks

lock: ## resolve the dependencies anew; no index host is written
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --upgrade --group dev pyproject.toml --output-file requirements.lock

clean: ## remove the virtual environment and the demo
	rm -rf $(VENV) demo
