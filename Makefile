# Two commands are the whole set-up: `make run` and `make test`. Both install first, once.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: run test check lint types imports unit slow format wiring lock bench clean help

help:  ## what each target does
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: $(INSTALLED)  ## the whole pipeline on the default data, then a question to the served model
	$(BIN)/pipeline run
	$(BIN)/pipeline ask

test: $(INSTALLED) lint types imports unit  ## every check and test

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)
	$(BIN)/mypy

imports: $(INSTALLED)
	$(BIN)/lint-imports

unit: $(INSTALLED)
	$(BIN)/pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder

slow: $(INSTALLED)  ## the long-running proofs that `make test` leaves out
	$(BIN)/pytest -m slow

format: $(INSTALLED)  ## put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

wiring: $(INSTALLED)  ## write dvc.yaml again from the stage records
	$(BIN)/python -m pipeline.runner.wiring

lock: $(INSTALLED)  ## choose versions anew within the ranges of pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --extra examples --extra ray --extra dask \
	    --extra bench --extra dev --group census --universal \
	    --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    --no-emit-index-url --no-emit-find-links --upgrade --quiet -o requirements.lock

bench: $(INSTALLED)  ## the benchmarks behind docs/benchmarks.md
	$(BIN)/python benchmarks/pipeline_run.py
	$(BIN)/python benchmarks/preprocess.py
	$(BIN)/python benchmarks/preprocess_engines.py
	$(BIN)/python benchmarks/train.py
	$(BIN)/python benchmarks/serving.py
	$(BIN)/python benchmarks/train_scale.py
	$(BIN)/python benchmarks/train_resume.py

clean:  ## remove the environment, logs and caches; data, models and MLflow's store stay
	rm -rf .venv .pipeline .mypy_cache .pytest_cache .ruff_cache .hypothesis

# Bytecode is compiled here, because importing TensorFlow without it takes four times as long.
$(INSTALLED): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 to 3.13 is needed, this is " + sys.version if not (3, 11) <= sys.version_info < (3, 14) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9,<1'
	VIRTUAL_ENV=.venv $(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes requirements.lock
	VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --no-deps --editable .
	touch $@
