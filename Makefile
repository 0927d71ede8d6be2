# Two commands do everything on a machine with Python 3.11-3.13, pip, make and git:
#   make demo    the demo study, from simulated reads and plates to its report
#   make test    lint and the whole test suite
# `make help` lists the rest.
PYTHON ?= python3
VENV ?= .venv
CORES ?= 2
BIN := $(VENV)/bin
SNAKEMAKE := $(BIN)/snakemake --cores $(CORES)
PYTEST := $(BIN)/python -m pytest -n $(CORES) --dist loadgroup --no-loadscope-reorder
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: calibration-cortisol check-haircort check-readers help demo test environment benchmark published rebuilt selfcheck calibration crosscheck test-slurm test-containers test-deploy test-chaos load fuzz site lock reference pictures templates trace gallery house clean check-locks

demo: $(VENV)/.run  ## the demo study, from simulated reads and plates to its report
	$(SNAKEMAKE)
	$(SNAKEMAKE) --report results/report/snakemake_report.html
	@echo
	@echo "The report:              $(CURDIR)/results/report/report.html"
	@echo "Snakemake's own report:  $(CURDIR)/results/report/snakemake_report.html"

test: $(VENV)/.test  ## lint and the whole test suite, with coverage where tests are short
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(PYTEST) -m "not long" --cov --cov-report=term
	$(PYTEST) -m long

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)/\1  \2/p' $(MAKEFILE_LIST) | awk '{name = $$1; $$1 = ""; printf "make %-14s%s\n", name, $$0}'

environment: $(VENV)/.test  ## only set up the private environment, with what the tests need

# The private environment: versions and hashes come from the lock, nothing else.
$(VENV)/.run: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "hpaxis needs Python 3.11, 3.12 or 3.13: make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) --require-hashes -r requirements.lock
	$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.test: $(VENV)/.run requirements-test.lock
	$(PIP) --require-hashes -r requirements-test.lock
	@touch $@

$(VENV)/.site: $(VENV)/.run requirements-site.lock
	$(PIP) --require-hashes -r requirements-site.lock
	@touch $@

$(VENV)/.check: $(VENV)/.test requirements-check.lock
	$(PIP) --require-hashes -r requirements-check.lock
	@touch $@

$(VENV)/.slurm: $(VENV)/.run requirements-slurm.lock
	$(PIP) --require-hashes -r requirements-slurm.lock
	@touch $@

benchmark: $(VENV)/.run  ## speed beside other tools, in one run, as ratios
	$(BIN)/python benchmarks/amplicon_calling.py
	$(BIN)/python benchmarks/whole_run.py --cores $(CORES)

published: $(VENV)/.check  ## hpaxis on published data: DATA=folder [OUT=build/published.md]
	@test -n "$(DATA)" || { echo "make published DATA=folder [OUT=build/published.md]"; exit 2; }
	$(BIN)/python benchmarks/published $(DATA) --out $(or $(OUT),build/published.md)

rebuilt: $(VENV)/.run  ## the published study rebuilt from its printed statistics, and what hpaxis says of it
	$(BIN)/python benchmarks/rebuilt.py

selfcheck: $(VENV)/.run  ## studies of known truth through the workflow: pass or fail per line (under 5 minutes): [FULL=yes, an hour]
	$(BIN)/python benchmarks/selfcheck $(if $(filter yes,$(FULL)),--full) --cores $(CORES)

calibration: $(VENV)/.run  ## does 95 % mean 95 %? writes docs/calibration_*.md (long)
	$(BIN)/python benchmarks/calibrate_methylation.py --cores $(CORES)
	$(BIN)/python benchmarks/calibrate_templates.py
	$(BIN)/python benchmarks/calibrate_moderation.py --cores $(CORES)
	$(BIN)/python benchmarks/calibrate_inference.py --cores $(CORES)
	$(BIN)/python benchmarks/calibrate_programme.py --cores $(CORES)

calibration-cortisol: $(VENV)/.run  ## do intervals of hair cortisol hold the truth when runs differ? [STUDIES=100]
	$(BIN)/python benchmarks/calibrate_cortisol.py --studies $(or $(STUDIES),100)

crosscheck: $(VENV)/.test  ## the moderation stage against R (installs Debian's R packages; root)
	@Rscript -e 'for (p in c("sandwich", "car", "emmeans", "lavaan", "clubSandwich", "AER", "mice", "lme4", "lmerTest", "MASS", "metafor")) loadNamespace(p)' >/dev/null 2>&1 || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends r-base-core r-cran-sandwich r-cran-car r-cran-emmeans r-cran-lavaan r-cran-clubsandwich r-cran-aer r-cran-mice r-cran-lme4 r-cran-lmertest r-cran-mass r-cran-metafor >/dev/null; }
	$(BIN)/python tests/moderation/crosscheck/compare.py
	$(BIN)/python tests/programme/crosscheck/compare.py

test-slurm: $(VENV)/.slurm  ## the demo through a real one-node SLURM, bytes compared: [STUDY=folder] [LOSE=yes, its node] (Debian, root)
	VENV=$(VENV) tests/executors/run_slurm.sh

test-containers: $(VENV)/.run  ## the demo in the image: podman, Apptainer, and a container a rule; bytes compared (Debian, root)
	VENV=$(VENV) tests/executors/run_containers.sh

test-deploy: $(VENV)/.check  ## a template as module (path, git, catalogue), --directory, fs storage, an S3-like store; bytes compared: [DESIGN=dyads] [WAYS=...]
	$(BIN)/python tests/executors/deploy.py --design $(or $(DESIGN),dyads) $(if $(WAYS),--ways $(WAYS)) --cores $(CORES)

test-chaos: $(VENV)/.test  ## harm runs at random points and compare the bytes after the rerun: POINTS=50 SEED=1 (root for some)
	$(BIN)/python tests/executors/chaos.py --points $(or $(POINTS),50) --seed $(or $(SEED),1)

load: $(VENV)/.run  ## plan 2,000 libraries, run 100 plates and 1,000 libraries, count 20 million read pairs (hours)
	$(BIN)/python benchmarks/load.py

check-haircort: $(VENV)/.run  ## four real hair plates well by well: DATA=checkout of PalomaContreras25/HairCort-Evaluation-Nist2020
	@test -n "$(DATA)" || { echo "make check-haircort DATA=folder"; exit 2; }
	$(BIN)/python tests/cortisol/conformance/check_haircort.py $(DATA)

check-readers: $(VENV)/.run  ## every absorbance file of a folder against the values beside it: DATA=allotropy checkout
	@test -n "$(DATA)" || { echo "make check-readers DATA=folder, such as a checkout of Benchling-Open-Source/allotropy"; exit 2; }
	$(BIN)/python tests/cortisol/conformance/check_readers.py $(DATA)

fuzz: $(VENV)/.test  ## damage every kind of input file in many new ways (20 minutes)
	HYPOTHESIS_PROFILE=long $(BIN)/python -m pytest tests/study/test_fuzz.py

check-locks: $(VENV)/.test  ## resolve every lock with pip 23.2 and with the newest, without installing (fetches all packages)
	LOCKS=yes $(BIN)/python -m pytest tests/environment

# For maintainers: resolve the locks again, and write what is generated from the schemas.
LOCK := uv pip compile -q --universal --no-strip-extras --python-version 3.11 --generate-hashes --no-annotate --no-header pyproject.toml
lock:
	$(LOCK) -o requirements.lock
	$(LOCK) --extra test -c requirements.lock -o requirements-test.lock
	$(LOCK) --extra check --extra bigwig -c requirements.lock -o requirements-check.lock
	$(LOCK) --extra slurm -c requirements.lock -o requirements-slurm.lock
	$(LOCK) --extra site -c requirements.lock -o requirements-site.lock

site: $(VENV)/.site  ## the documentation as a site: build/site/docs/index.html
	$(BIN)/sphinx-build -E -W --keep-going -q -b html -c docs . build/site
	@echo "The site: $(CURDIR)/build/site/docs/index.html"

reference: $(VENV)/.run
	$(BIN)/python -m hpaxis.reference > config/README.md
	$(BIN)/python -m hpaxis.reference outputs > docs/outputs.md
	$(BIN)/python -m hpaxis.reference settings > scripts/hpaxis/settings.pyi

pictures: demo  ## the pictures of README and docs, from the demo's own figures
	cp results/report/figures/models/competence/slopes.svg docs/answer.svg
	cp results/report/figures/methylation/gene.svg docs/gene.svg

templates: $(VENV)/.test  ## every template: run, every number traced, both bundles verified and searched for small counts (hours): [DESIGN="dyads hair"]
	$(BIN)/python tests/designs/templates.py $(if $(DESIGN),--design $(DESIGN)) --cores $(CORES)

trace: demo  ## every number of the demo's report, traced to the tables of its run
	$(BIN)/python tests/designs/templates.py --trace config/config.yaml

gallery: templates  ## docs/gallery.md, its pictures, and the templates' reports below build/site/reports
	$(BIN)/python tests/designs/gallery.py

house: $(VENV)/.run  ## draw CONTRIBUTING.md's pictures of the library from its imports
	$(BIN)/python docs/house.py

clean:  ## remove the demo's results and logs
	rm -rf results logs .snakemake
