# Two commands do everything on a machine with Python 3.11-3.13, pip, make and git:
#   make demo    the demo study, from simulated reads and plates to its report
#   make test    lint and the whole test suite
PYTHON ?= python3
VENV ?= .venv
CORES ?= 2
BIN := $(VENV)/bin
SNAKEMAKE := $(BIN)/snakemake --cores $(CORES)


.PHONY: demo test test-slurm environment lock reference clean

demo: $(VENV)/.run
	$(SNAKEMAKE)
	$(SNAKEMAKE) --report results/report/snakemake_report.html
	@echo
	@echo "The report:              $(CURDIR)/results/report/report.html"
	@echo "Snakemake's own report:  $(CURDIR)/results/report/snakemake_report.html"

test: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/python -m pytest -n $(CORES) --cov --cov-report=term

# The private environment: versions and hashes come from the lock, nothing else.
$(VENV)/.run: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "hpaxis needs Python 3.11, 3.12 or 3.13: make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.test: $(VENV)/.run requirements-test.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-test.lock
	@touch $@

# Longer checks, each its own.
test-slurm: $(VENV)/.slurm
	VENV=$(VENV) tests/executors/run_slurm.sh

$(VENV)/.slurm: $(VENV)/.run requirements-slurm.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-slurm.lock
	@touch $@

environment: $(VENV)/.test

# For maintainers: resolve the lock again, and write what is generated from the schemas.
lock:
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --no-header pyproject.toml -o requirements.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --extra test -c requirements.lock pyproject.toml -o requirements-test.lock

	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --extra slurm -c requirements.lock pyproject.toml -o requirements-slurm.lock

reference: $(VENV)/.run
	$(BIN)/python -m hpaxis.reference > config/README.md

clean:
	rm -rf results logs benchmarks_run .snakemake
