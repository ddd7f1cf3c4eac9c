# What CI and people call. Needs Python 3.11 or newer; everything else is installed into .venv.
PYTHON ?= python3
HOST = 127.0.0.1
PORT ?= 8501
BIN := .venv/bin

.PHONY: run test check bench lock

run: .venv/installed
	$(BIN)/uvicorn asgi:app --host $(HOST) --port $(PORT) --timeout-graceful-shutdown 3 --no-access-log \
		$(if $(wildcard .env),--env-file .env)

test: .venv/installed
	$(BIN)/pytest -n 2 $(ARGS)

check: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m core check-migrations

bench: .venv/installed .venv-bench/installed
	$(BIN)/python -m tests.bench

lock:
	test -d .venv || $(PYTHON) -m venv .venv
	$(BIN)/pip install -q uv
	$(BIN)/uv pip compile --universal --generate-hashes --python-version 3.11 --extra app --group dev \
		--no-emit-index-url --no-annotate --no-header --upgrade pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --universal --generate-hashes --python-version 3.11 \
		--no-emit-index-url --no-annotate --no-header --upgrade requirements-bench.in -o requirements-bench.lock

.venv/installed: requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed.")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install -q --disable-pip-version-check --no-deps --only-binary :all: --require-hashes -r requirements.lock
	$(BIN)/pip check --disable-pip-version-check
	touch $@

.venv-bench/installed: requirements-bench.lock
	test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	.venv-bench/bin/pip install -q --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
		-r requirements-bench.lock
	.venv-bench/bin/pip check --disable-pip-version-check
	touch $@
