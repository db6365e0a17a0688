# `make demo` and `make test` set up all they need, and are quick the second time.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CLIENTS := .venv-clients
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints/dev.txt
# More than cores: many tests wait for a stage.
WORKERS ?= 3
# Compiled files make a start two to three times faster; some environments switch them off.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test lint types arrows unit test-labs test-kills test-clients test-localstack test-docker benchmarks soak picture constraints clean

help:
	@echo "make demo          train and judge a real model on a throwaway stage"
	@echo "make test          lint, types, import contracts, unit tests, the labs' starters and references"
	@echo "make soak          a hundred thousand requests to endpoints, bad ones and dying containers among them"
	@echo "make test-labs     the whole proof of every lab"
	@echo "make test-kills    kill a stage at random moments: nothing acknowledged is lost"
	@echo "make test-clients  the built wheel, the sagemaker SDK, a network of loopback only"
	@echo "make test-localstack  the labs and the authorisation on LocalStack from PyPI (Python 3.13), without Docker"
	@echo "make test-docker   docker-compose.yml with an engine: LocalStack, and the stage in front of it"
	@echo "make benchmarks    measure; each figure is a ratio in one run"
	@echo "make picture       draw the verdict in the README anew"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Stagemaker needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another: make PYTHON=python3.12 demo")'
	@echo "Making a virtual environment in $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.stage: $(BIN)/python pyproject.toml constraints/dev.txt
	@echo "Installing the stage and what the labs use (a minute or two the first time) ..."
	@$(PIP) --editable '.[stage,labs]'
	@$(BIN)/python -m compileall -q infra harness
	@touch $@

$(VENV)/.dev: $(VENV)/.stage
	@echo "Installing linters and test tools ..."
	@$(PIP) --editable '.[stage,labs,dev]'
	@touch $@

demo: $(VENV)/.stage
	@$(BIN)/python -m stagemaker_labs.demo 03

test: lint types arrows unit

lint: $(VENV)/.dev
	@echo "Linting ..."
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .

types: $(VENV)/.dev
	@echo "Checking types ..."
	@$(BIN)/mypy --no-error-summary infra harness tests benchmarks

arrows: $(VENV)/.dev
	@echo "Checking that imports point down the house ..."
	@$(BIN)/lint-imports --no-cache > $(VENV)/arrows.log || { cat $(VENV)/arrows.log; exit 1; }

unit: $(VENV)/.dev
	@echo "Running the tests ..."
	@$(BIN)/pytest -q -n $(WORKERS) --dist loadfile --ignore tests/clients --ignore tests/kills --ignore tests/localstack \
	  --ignore tests/docker $(addprefix --deselect $(PROOF)::,$(WRONG_WORKS)) tests

# The wrong works take minutes and grow with the labs; `make test` has the starters and the references.
PROOF := tests/labs/test_proof.py
WRONG_WORKS := test_wrong_work_fails_at_its_own_check_in_its_own_words test_reference_after_wrong_work_passes

test-labs: $(VENV)/.dev
	@echo "Proving every lab: starter, reference, wrong works ..."
	@$(BIN)/pytest -q -n $(WORKERS) $(PROOF)

benchmarks: $(VENV)/.dev
	@$(BIN)/python benchmarks

soak: $(VENV)/.dev
	@$(BIN)/python benchmarks/soak.py

picture: $(VENV)/.stage
	@mkdir -p .build
	@$(BIN)/python -m stagemaker_labs.demo 03 --file labs/03-builtin-xgboost/author/wrong/label_last.py \
	  --verdict-json $(CURDIR)/.build/verdict.json || test $$? -eq 1
	@$(BIN)/python -m stagemaker_labs.render --svg docs/verdict.svg .build/verdict.json
	@echo "drawn: docs/verdict.svg"

# A client beside a current boto3 and the SageMaker SDK, apart from the stage.
$(CLIENTS)/.ready: $(BIN)/python pyproject.toml constraints/clients.txt
	@echo "Installing the clients' environment in $(CLIENTS) ..."
	@$(BIN)/python -m venv $(CLIENTS)
	@$(CLIENTS)/bin/python -m pip --disable-pip-version-check install --quiet --constraint constraints/clients.txt \
	  --editable '.[labs,sdk]'
	@touch $@

test-kills: $(VENV)/.dev
	@echo "Killing a stage at random moments ..."
	@$(BIN)/pytest -q -s tests/kills

test-clients: $(VENV)/.dev $(CLIENTS)/.ready
	@echo "Testing the SageMaker SDK and the client's own installation ..."
	@CLIENTS_PYTHON=$(CURDIR)/$(CLIENTS)/bin/python $(BIN)/pytest -q tests/clients

# LocalStack in an environment of its own; what cannot run is said, with a count.
test-localstack: $(VENV)/.dev
	@PYTHONPATH=tests/helpers $(BIN)/python tests/localstack/run.py

test-docker: $(VENV)/.dev
	@$(BIN)/python tests/docker/run.py

constraints:
	@uv pip compile --quiet --universal --python-version 3.11 --extra stage --extra labs --extra dev \
	  --no-header --no-annotate pyproject.toml --output-file constraints/dev.txt
	@uv pip compile --quiet --universal --python-version 3.11 --extra labs --extra sdk \
	  --no-header --no-annotate pyproject.toml --output-file constraints/clients.txt

clean:
	@rm -rf $(VENV) $(CLIENTS) .venv-localstack .build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
