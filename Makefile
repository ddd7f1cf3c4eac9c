# What CI and people call. Needs Python 3.11 or newer; everything else is installed into .venv.
PYTHON ?= python3
HOST = 127.0.0.1
PORT ?= 8501
# One more than a CI machine has cores: a fifth of the time, tests wait
WORKERS ?= 3
BIN := .venv/bin
RUN := $(BIN)/python -m

.PHONY: run test check bench coverage mutants catalogue lock app tools

# --lifespan on: a start that failed ends the process, instead of answering 500 to everything
run: app
	$(RUN) uvicorn asgi:app --host $(HOST) --port $(PORT) --lifespan on --timeout-graceful-shutdown 3 --no-access-log

test: tools
	$(RUN) pytest -n $(WORKERS) --dist worksteal $(ARGS)

check: tools
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy
	$(BIN)/python $(BIN)/lint-imports
	$(RUN) core check-migrations

bench: tools
	$(PYTHON) .ci/install.py .venv-bench requirements-bench.lock
	$(RUN) tests.bench

# Which branches of core no test reaches; fails below the floor in pyproject.toml
coverage: tools
	$(RUN) coverage erase
	$(RUN) coverage run -m pytest -n $(WORKERS) -m "quick or long" $(ARGS)
	$(RUN) coverage combine --quiet
	$(RUN) coverage report

# Changes decisions in the code, one at a time, to see whether tests notice: make mutants ARGS=core/resolving
mutants: tools
	test -x .venv-mutants/bin/cosmic-ray || { $(PYTHON) -m venv --clear .venv-mutants && \
		.venv-mutants/bin/pip install -q --no-deps --require-hashes -r requirements-mutants.lock; } # yattag has no wheel
	.venv-mutants/bin/python -m tests.mutants $(ARGS)

# What is known of models, anew from the packages of requirements-catalogue.lock, which are read and thrown away
catalogue: tools
	.ci/catalogue/make $(ARGS)

# Pins stay where pyproject.toml allows them: make lock ARGS=--upgrade, or ARGS="--upgrade-package streamlit"
lock: tools
	.ci/lock $(ARGS)

app:
	@$(PYTHON) .ci/install.py .venv requirements-app.lock

tools: app
	@$(PYTHON) .ci/install.py .venv requirements.lock
