.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := bash
.SHELLFLAGS := -euo pipefail -c

PYTHON ?= python3.13
BIN := .venv/bin
READY := .venv/ready
SECURITY_READY := .venv-security/ready
LOAD_READY := out/load-bench/ready
CHAOSTOOLKIT_READY := .venv-chaostoolkit/ready
STACK ?= gameday
SEED ?= 1
UNIT := $(addprefix tests/,unit steps statemachine template house interleavings)

export SAM_CLI_TELEMETRY := 0

.PHONY: help setup demo run conditions conditions-off test pr check security unit integration interleavings side-by-side shifts kill-matrix interop injector-test format lock injector-bench alarm-bench judge-bench load-bench clean

help: ## Show this help.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

setup: $(READY) ## Make .venv with everything that is locked.

$(READY): requirements.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.13 is needed; name it with PYTHON=..."; exit 1; }
	@echo "Making .venv: about two minutes, once."
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY) ## Run the talk's three experiments on the embedded AWS.
	@$(BIN)/gameday demo

run: $(READY) ## Run one experiment on the embedded AWS: make run EXPERIMENT=events/smallest.json
	@test -n "$(EXPERIMENT)" || { echo "Say which: make run EXPERIMENT=events/smallest.json"; exit 3; }
	@$(BIN)/gameday run $(EXPERIMENT)

conditions: $(READY) ## List the conditions still on in your AWS account: make conditions STACK=gameday
	@$(BIN)/gameday conditions --aws --stack $(STACK)

conditions-off: $(READY) ## Turn them off, and end their runs.
	@$(BIN)/gameday conditions --aws --stack $(STACK) --off

test: check security unit integration ## Everything: format, lint, types, templates, security, all tests.

pr: test ## The definition of done.

check: $(READY) ## Format, lint, types and templates.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/sam validate --lint --template template.yaml
	$(BIN)/sam validate --lint --template sample_app/template.yaml
	$(BIN)/cfn-lint template.yaml sample_app/template.yaml sample_app/subscribers.yaml \
	  tests/interop/template.yaml

security: $(READY) $(SECURITY_READY) ## What checkov finds in the templates, but for the exceptions.
	$(BIN)/pytest tests/security

# Of its own, because checkov pins an old boto3.
$(SECURITY_READY): tests/security/requirements.txt
	@echo "Making .venv-security: half a minute, once."
	@$(PYTHON) -m venv .venv-security
	@.venv-security/bin/pip install --quiet --disable-pip-version-check --no-deps --no-compile \
	  --require-hashes --requirement $<
	@touch $@

unit: $(READY) ## The tests that need nothing started.
	$(BIN)/pytest --numprocesses auto --dist loadfile $(UNIT)

interleavings: $(READY) ## Try many orders of everything that may happen inside of the steps.
	INTERLEAVINGS=3000 $(BIN)/pytest tests/interleavings

integration: $(READY) ## The tests on the embedded AWS.
	$(BIN)/pytest tests/integration --ignore tests/integration/test_side_by_side.py \
	  --ignore tests/integration/test_shifts.py

side-by-side: $(READY) ## Fifty runs on fifty targets that die at random (SEED says how).
	$(BIN)/pytest tests/integration/test_side_by_side.py --side-by-side 50 --seed $(SEED)

shifts: $(READY) ## A window of eleven minutes, handed on from worker to worker; a quarter of an hour.
	$(BIN)/pytest tests/integration/test_shifts.py

kill-matrix: $(READY) ## Let a run die in every state in every way; writes docs/kill-matrix.md.
	$(BIN)/pytest tests/integration/test_kill_matrix.py --all-kill-points

interop: $(READY) ## Run every condition on every system that obeys it; writes docs/conditions-measured.md.
	@command -v npm >/dev/null || { echo "Node and npm are needed: failure-lambda is theirs."; exit 1; }
	$(BIN)/pytest tests/interop

injector-test: ## The injector's tests on another Python: make injector-test OTHER=python3.12
	@test -n "$(OTHER)" || { echo "Say which: make injector-test OTHER=python3.12"; exit 3; }
	$(OTHER) -m venv out/injector
	out/injector/bin/pip install --quiet --disable-pip-version-check pytest pytest-socket hypothesis boto3 aiohttp aws-lambda-powertools
	out/injector/bin/python -m pytest $(wildcard tests/unit/test_injector*.py)

format: $(READY) ## Format the code.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

injector-bench: $(READY) ## What the injector costs an invocation while it injects nothing.
	PYTHONPATH=injector/python $(BIN)/python benchmarks/injector_idle_cost.py

alarm-bench: $(READY) $(CHAOSTOOLKIT_READY) ## How soon a condition is off after an alarm; QUICK=--quick for five runs.
	PYTHONPATH=functions:. $(BIN)/python -m benchmarks.alarm_to_off $(QUICK)

$(CHAOSTOOLKIT_READY): benchmarks/chaostoolkit.txt
	@echo "Making .venv-chaostoolkit: half a minute, once."
	@$(PYTHON) -m venv .venv-chaostoolkit
	@.venv-chaostoolkit/bin/pip install --quiet --disable-pip-version-check --no-deps \
	  --require-hashes --requirement $<
	@touch $@

judge-bench: $(READY) ## How often the judge is wrong, by simulated runs; writes docs/judge.md and its figures.
	OPENBLAS_NUM_THREADS=1 PYTHONPATH=functions:. $(BIN)/python -m benchmarks.judge

load-bench: $(READY) $(LOAD_READY) ## One load worker beside hey, wrk, Locust and Artillery; writes docs/load.md. QUICK=--quick
	PYTHONPATH=functions:. $(BIN)/python -m benchmarks.load $(QUICK)

$(LOAD_READY): benchmarks/load/requirements.txt benchmarks/load/package-lock.json
	@command -v npm >/dev/null || { echo "npm is needed: apt-get install npm"; exit 1; }
	@echo "Making out/load-bench: a minute, once."
	@$(PYTHON) -m venv out/load-bench/venv
	@out/load-bench/venv/bin/pip install --quiet --disable-pip-version-check --no-deps \
	  --require-hashes --requirement $<
	@mkdir -p out/load-bench/artillery
	@cp benchmarks/load/package.json benchmarks/load/package-lock.json benchmarks/load/.npmrc out/load-bench/artillery
	@npm ci --prefix out/load-bench/artillery --ignore-scripts --no-audit --no-fund --silent
	@touch $@

lock: $(READY) ## Lock the dependencies anew, with hashes and without the address of any index.
	$(BIN)/uv pip compile pyproject.toml --extra dev --python-version 3.13 --generate-hashes \
	  --no-header --no-annotate --quiet --upgrade --output-file requirements.txt
	$(BIN)/uv pip compile pyproject.toml --constraint requirements.txt --python-version 3.13 \
	  --generate-hashes --no-header --no-annotate --quiet --output-file dependencies/requirements.txt
	$(BIN)/uv pip compile --group pyproject.toml:security --python-version 3.13 --generate-hashes \
	  --no-header --no-annotate --quiet --upgrade --output-file tests/security/requirements.txt
	$(BIN)/uv pip compile --group pyproject.toml:chaostoolkit --python-version 3.13 --generate-hashes \
	  --no-header --no-annotate --quiet --upgrade --output-file benchmarks/chaostoolkit.txt
	printf '%s\n' 'chaos-lambda==0.3' 'ssm-cache<3' | $(BIN)/uv pip compile - --python-version 3.13 \
	  --generate-hashes --no-header --no-annotate --quiet --upgrade \
	  --output-file tests/interop/libraries/python/requirements.txt
	npm install --prefix tests/interop/libraries/node --package-lock-only \
	  --omit-lockfile-registry-resolved --no-audit --no-fund
	$(BIN)/uv pip compile --group pyproject.toml:load --python-version 3.13 --generate-hashes \
	  --no-header --no-annotate --quiet --upgrade --output-file benchmarks/load/requirements.txt
	npm install --prefix benchmarks/load --package-lock-only --ignore-scripts --no-audit --no-fund --silent

clean: ## Remove everything that was made.
	rm -rf .venv .venv-chaostoolkit .venv-security .aws-sam .gameday out
