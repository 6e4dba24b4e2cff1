# Two commands are enough on a fresh machine: `make demo` and `make test`. Each sets up what it needs, once.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
OUT ?= demo
# a third of the tests' time is waiting, for servers and time limits: three workers keep two cores busy
WORKERS ?= 3
PYTEST := $(BIN)/python -m pytest -s
# the theme would announce the next version of mkdocs at each build
BUILD_DOCS := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

.DEFAULT_GOAL := help
.PHONY: help setup demo test check docs gate gate-alerts gate-nights gate-busy gate-patient bench lock clean

help: ## say what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

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
	$(BIN)/python -m pytest -m "not gate" --numprocesses=$(WORKERS) --dist=loadfile --no-loadscope-reorder $(ARGS)

check: $(READY) ## lint, types, spelling and documentation
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell
	@$(BUILD_DOCS)
	@echo "check passed: ruff (rules and format), mypy (strict), codespell, and the documentation built in site/ with every link"

docs: $(READY) ## build the documentation in site/, without network and with every link checked
	@$(BUILD_DOCS)
	@echo "open site/index.html"

gate: gate-alerts gate-nights ## the long reliability runs

# what the lanes count side by side
gate-alerts: export SIREN_TALLY := $(CURDIR)/.gate-counts
gate-alerts: $(READY) ## those of the alert river, two lanes side by side
	: > $(SIREN_TALLY)
	$(MAKE) --no-print-directory --keep-going --jobs=2 gate-busy gate-patient; \
	status=$$?; $(BIN)/python tests/support/tally.py; exit $$status

gate-nights: $(READY) ## those of the night river
	$(PYTEST) -m gate --ignore-glob='*/test_gate_*' $(ARGS)

# one lane keeps a core busy, the other mostly waits for somebody to die
BUSY := hostile ids soak alarms
PATIENT := broker buttons drift kills outages secrets slack uploads

gate-busy: $(READY)
	$(PYTEST) -m "gate or counted" $(BUSY:%=tests/gate/test_gate_%.py) $(ARGS)

gate-patient: $(READY)
	$(PYTEST) -m "gate or counted" $(PATIENT:%=tests/gate/test_gate_%.py) $(ARGS)

bench: $(READY) ## the performance suite
	$(BIN)/python -m benchmarks

lock: ## resolve the dependencies anew; no index host is written
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --upgrade --group dev pyproject.toml --output-file requirements.lock

clean: ## remove the virtual environment, the demo and the built documentation
	rm -rf $(VENV) demo site
